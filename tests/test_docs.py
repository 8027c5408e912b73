"""What the documentation shows works: snippets, doctests, commands, links."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import voyage_logger

if TYPE_CHECKING:
    from voyage_logger.devserver import DevServer

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = [
    found.name
    for found in pkgutil.walk_packages(voyage_logger.__path__, "voyage_logger.")
    if not found.name.endswith("__main__")
]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_snippets_run(
    page: Path,
    server: DevServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A page's snippets run from top to bottom, and the client has nothing to complain of."""
    for variable, value in server.environ.items():
        monkeypatch.setenv(variable, value)
    namespace: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(compile(snippet, name(page), "exec"), namespace)  # noqa: S102 - our own pages
    logger = namespace.get("logger")
    if isinstance(logger, voyage_logger.VoyageLogger):
        logger.close()
    assert "voyage-logger" not in capfd.readouterr().err


@pytest.mark.parametrize("module", MODULES)
def test_doctests(module: str) -> None:
    """The examples in docstrings show what they say."""
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file that is there."""
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_readme_begins_with_the_two_commands() -> None:
    """Two commands do all the set-up, and stand at the top."""
    indented = [line for line in PAGES[0].read_text().splitlines() if line.startswith("    ")]
    assert indented[:2] == [
        "    pip install -e '.[dev]' && voyage-logger demo",
        "    pip install -e '.[dev]' && pytest",
    ]
