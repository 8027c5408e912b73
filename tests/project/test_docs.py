"""The snippets, doctests, commands and links in the documentation work."""

from __future__ import annotations

import doctest
import importlib
import logging
import pkgutil
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import voyage_logger
from tests.support.processes import python
from voyage_logger._base import stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.loggers import MakeLogger
    from voyage_logger.devserver import DevServer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)
MODULES = [
    found.name
    for found in pkgutil.walk_packages(voyage_logger.__path__, "voyage_logger.")
    if not found.name.endswith("__main__")
]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Return the root logger, and restore its handlers and level after the test."""
    root = logging.getLogger()
    level = root.level
    monkeypatch.setattr(root, "handlers", [*root.handlers])
    yield root
    root.setLevel(level)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_snippets_run(
    page: Path,
    server: DevServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The Python snippets of a page run one after the other, and the client reports no problem."""
    for variable, value in server.environ.items():
        monkeypatch.setenv(variable, value)
    for module in (sys, threading):  # the snippets of a page can replace these hooks
        monkeypatch.setattr(module, "excepthook", module.excepthook)
    namespace: dict[str, object] = {}
    # A page can name a permanent folder for the spool. The test uses a temporary folder instead.
    text = page.read_text().replace('"/var/lib/my-app/', f'"{tmp_path}/')
    for snippet in SNIPPET.findall(text):
        exec(compile(snippet, name(page), "exec"), namespace)  # noqa: S102 - our own pages
    logger = namespace.get("logger")
    if isinstance(logger, voyage_logger.VoyageLogger):
        logger.close()
    assert "voyage-logger" not in capfd.readouterr().err


def test_handler_of_the_docs_makes_entries(
    server: DevServer, make_logger: MakeLogger, root: logging.Logger
) -> None:
    """The `logging` handler from the docs turns log records into complete entries."""
    root.handlers.clear()
    logger = make_logger(flush_interval=600)
    (recipe,) = (
        snippet
        for page in PAGES
        for snippet in SNIPPET.findall(page.read_text())
        if "logging.Handler" in snippet
    )
    exec(compile(recipe, "recipe", "exec"), {"logger": logger})  # noqa: S102 - our own page

    def charge() -> None:
        try:
            raise ValueError("declined")
        except ValueError:
            logging.getLogger("shop").exception("Order %d", 5)

    with logger.journey("checkout"):
        charge()
    logging.getLogger("shop").info("Order 6")  # this level is below the root logger's level
    assert logger.flush()
    first, second, _, last = server.entries()
    assert (first["level"], first["message"]) == ("warn", "Card declined once")
    assert (second["level"], second["message"]) == ("error", "Order 5")
    assert second["method_name"] == "charge"
    assert second["event_flow_name"] == "checkout"
    assert second["meta_data"]["logger"] == "shop"
    assert second["exception_info"].endswith("ValueError: declined\n")
    assert (last["level"], last["message"]) == ("info", "Order 6")


def test_every_reason_of_a_dropped_entry_is_documented() -> None:
    """The tables of docs/delivery.md list the reasons that the code uses, and no others."""
    reasons = {value for name, value in vars(stats).items() if name.isupper()}
    section = (ROOT / "docs/delivery.md").read_text().split("## The reasons in `stats()`")[1]
    section = section.split("| `rejected_by` |")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert listed - {"dropped_by"} == reasons


def test_architecture_names_files_that_exist() -> None:
    """All files that the page about the architecture mentions exist."""
    page = (ROOT / "docs/architecture.md").read_text()
    rooms = "|".join(path.name for path in (ROOT / "src/voyage_logger").iterdir() if path.is_dir())
    named = set(re.findall(rf"`((?:{rooms}|tests)/[\w/]+\.py)`", page))
    missing = {
        path
        for path in named
        if not any((root / path).exists() for root in (ROOT, ROOT / "src/voyage_logger"))
    }
    assert len(named) > 20
    assert not missing


def test_fixture_of_the_docs_works(tmp_path: Path) -> None:
    """The pytest fixture from the docs works, and the test that uses this fixture passes."""
    page = (ROOT / "docs" / "devserver.md").read_text()
    (fixture,) = (snippet for snippet in SNIPPET.findall(page) if "pytest.fixture" in snippet)
    (example,) = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    (tmp_path / "conftest.py").write_text(fixture)
    (tmp_path / "test_app.py").write_text(example)
    (tmp_path / "my_app.py").write_text(
        "from voyage_logger import VoyageLogger\n"
        "logger = VoyageLogger('my-app')\n"
        "def place_order(number):\n"
        "    logger.info('Order %s placed', number)\n"
    )
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_are_correct(module: str) -> None:
    """The examples in docstrings print the results that the docstrings show."""
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link leads to an existing file, and to an existing heading."""
    for target in re.findall(r"\]\(([^):]+)\)", page.read_text()):
        file, _, heading = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.exists(), target
        assert not heading or heading in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes from the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text).lower().replace(" ", "-") for text in headings}


def test_each_promise_links_to_tests() -> None:
    """Each promise in the README has a link to a file with tests."""
    _, section = PAGES[0].read_text().split("\n## What it promises\n")
    promises = re.split(r"^\d+\. ", section.partition("\n## ")[0], flags=re.MULTILINE)[1:]
    assert len(promises) == 9
    for promise in promises:
        files = re.findall(r"\]\((tests/[^)]+)\)", promise)
        assert files, promise
        for file in files:
            assert re.search(r"^ *def test_", (ROOT / file).read_text(), re.MULTILINE), file


def test_readme_begins_with_the_two_commands() -> None:
    """The first two commands in the README install the package and run the demo or the tests."""
    indented = [line for line in PAGES[0].read_text().splitlines() if line.startswith("    ")]
    assert indented[:2] == [
        "    pip install -e '.[dev]' && voyage-logger demo",
        "    pip install -e '.[dev]' && pytest",
    ]
