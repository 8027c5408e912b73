"""Checks of the package's structure: imports of its rooms, public names, and size of files."""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import voyage_logger
from tests.support.imports import (
    RANKS,
    Import,
    circles,
    foreign,
    imports_in,
    private,
    room_of,
    sources_in,
    upward,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(voyage_logger.__file__).parent
TESTS = Path(__file__).parents[1]
SOURCES = sources_in(PACKAGE)
FILES = {f"src/{path}": text for path, text in SOURCES.items()} | {
    f"tests/{path}": text for path, text in sources_in(TESTS).items()
}

# A file of the package has at most 350 lines, and a function has at most 50 lines. Most functions
# are short. The limits for tests are larger, because some tests run long scenarios.
FILE_LINES = {"src": 350, "tests": 1150}
FUNCTION_LINES = {"src": 50, "tests": 90}
SHORT_SHARE = {"src": 0.9, "tests": 0.89}

VAGUE_NAMES = {"utils", "helpers", "common", "misc"}


@functools.cache  # computed on demand, because each pytest worker imports this file
def package_imports() -> set[Import]:
    return imports_in(SOURCES)


def found_in(rule: Callable[[set[Import]], set[Import]], path: str, source: str) -> set[Import]:
    """Return the imports that a rule reports if a file with this text is added to the package."""
    return rule(package_imports() | imports_in({path: source}, SOURCES)) - rule(package_imports())


def shown(imports: set[Import]) -> list[str]:
    return sorted(map(str, imports))


def test_every_room_has_a_rank() -> None:
    """Each room of the package has a rank."""
    assert {room_of(each.importer) for each in package_imports()} <= RANKS.keys()


def test_rooms_import_only_rooms_below_them() -> None:
    """No room of the package imports a room of the same rank or of a higher rank."""
    assert shown(upward(package_imports())) == []


def test_no_modules_import_each_other() -> None:
    """No modules import each other in a circle, even if the imports are only for type checkers."""
    assert [sorted(circle) for circle in circles(package_imports())] == []


def test_rooms_import_no_private_helper_of_another_room() -> None:
    """A room imports only the public names of another room."""
    assert shown(private(package_imports())) == []


def test_foreign_modules_have_one_importer() -> None:
    """Only one module imports the HTTP client, and only one module imports the file locks."""
    assert shown(foreign(package_imports())) == []


@pytest.mark.parametrize(
    ("path", "source", "kind"),
    [
        ("_entry/wrong.py", "from voyage_logger._queue import memory", "run time"),
        ("_entry/wrong.py", "import voyage_logger._queue.memory", "run time"),
        ("_entry/wrong.py", "from .._queue.memory import MemoryQueue", "run time"),
        ("_entry/new/__init__.py", "from ..._queue.memory import MemoryQueue", "run time"),
        (
            "_entry/wrong.py",
            "if TYPE_CHECKING:\n    from voyage_logger._queue.memory import MemoryQueue",
            "types only",
        ),
        (
            "_entry/wrong.py",
            "if typing.TYPE_CHECKING:\n    import voyage_logger._queue.memory",
            "types only",
        ),
        (
            "_entry/wrong.py",
            "def f():\n    with x:\n        from voyage_logger._queue import memory",
            "in a function",
        ),
        ("_entry/wrong.py", "import_module('voyage_logger._queue.memory')", "in a string"),
        ("_entry/wrong.py", "NAME = 'voyage_logger._queue.memory.MemoryQueue'", "in a string"),
        (
            "_entry/wrong.py",
            "LATE = {'x': '_queue.memory'}\nimportlib.import_module(f'voyage_logger.{LATE[x]}')",
            "in a string",
        ),
    ],
)
def test_guard_sees_an_import_that_points_upward(path: str, source: str, kind: str) -> None:
    """The check finds each way to import a module of a higher room."""
    (found,) = found_in(upward, path, source)
    assert (room_of(found.importer), found.imported) == ("_entry", "voyage_logger._queue.memory")
    assert found.kind == kind


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("transports/wrong.py", "from voyage_logger._queue.lanes import Record"),
        ("_queue/wrong.py", "from voyage_logger.transports import Outcome"),
        ("devserver/wrong.py", "from voyage_logger._entry.line import printable"),
        ("devserver/wrong.py", "from voyage_logger._base.levels import LEVELS"),
        ("cli/wrong.py", "from voyage_logger.testing import capture_logs"),
        ("_logger/wrong.py", "from voyage_logger import VoyageLogger"),
        ("_base/wrong.py", "import voyage_logger"),
        ("_delivery/wrong.py", "from voyage_logger.cli import main"),
    ],
)
def test_guard_sees_a_room_beside_or_above_the_importer(path: str, source: str) -> None:
    """The check finds an import of a room of the same rank or of a higher rank."""
    assert len(found_in(upward, path, source)) == 1


def test_guard_allows_integrations_to_import_the_public_names() -> None:
    """A module of the planned room `integrations` is allowed to import the public names."""
    source = "from voyage_logger import VoyageLogger"
    assert not found_in(upward, "integrations/flask.py", source)


@pytest.mark.parametrize(
    "back",
    [
        "from voyage_logger._queue.first import f",
        "if TYPE_CHECKING:\n    from voyage_logger._queue.first import F",
        "def f():\n    from voyage_logger._queue import first",
        "import_module('.first', __package__)",
    ],
)
def test_guard_sees_a_circle_inside_a_room(back: str) -> None:
    """The check finds two modules of one room that import each other."""
    there = "from voyage_logger._queue.second import g"
    planted = {"_queue/first.py": there, "_queue/second.py": back}
    found = circles(package_imports() | imports_in(planted, SOURCES)) - circles(package_imports())
    assert found == {frozenset({"voyage_logger._queue.first", "voyage_logger._queue.second"})}


def test_guard_sees_a_circle_of_three() -> None:
    """The check finds a circle of three modules that import each other."""
    arrows = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]
    facts = {Import(f"voyage_logger.{one}", f"voyage_logger.{other}") for one, other in arrows}
    assert circles(facts) == {frozenset(f"voyage_logger.{name}" for name in "abc")}


@pytest.mark.parametrize(
    "source",
    [
        "from voyage_logger._queue.memory import _helper",
        "from voyage_logger.transports._session import Session",
        "from voyage_logger.transports import _session",
        "def f():\n    import voyage_logger.transports._session",
    ],
)
def test_guard_sees_a_private_helper_of_another_room(source: str) -> None:
    """The check finds an import of a private name or a private module of another room."""
    assert len(found_in(private, "_delivery/wrong.py", source)) == 1


def test_guard_allows_private_modules_in_their_own_room() -> None:
    """A room is allowed to import its own private modules."""
    source = "from voyage_logger.transports._session import Session"
    assert not found_in(private, "transports/new.py", source)


@pytest.mark.parametrize(
    "source",
    [
        "import requests",
        "import urllib3.util",
        "from requests.adapters import HTTPAdapter",
        "from fcntl import lockf",
        "def f():\n    import msvcrt",
        "if TYPE_CHECKING:\n    import requests",
        "import_module('requests')",
    ],
)
def test_guard_sees_a_foreign_module_in_a_second_file(source: str) -> None:
    """The check finds a second module that imports the HTTP client or the file locks."""
    assert len(found_in(foreign, "transports/_wrong.py", source)) == 1


def unguarded(tree: ast.AST, *, is_late: bool = False) -> Iterator[int]:
    """Yield the lines of imports that run in a function, but not inside `with loading:`."""
    for node in ast.iter_child_nodes(tree):
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(node, (ast.Import, ast.ImportFrom)) and is_late:
            yield node.lineno
        elif isinstance(node, ast.With):
            holds = any(ast.unparse(item.context_expr) == "loading" for item in node.items)
            yield from unguarded(node, is_late=is_late and not holds)
        else:
            yield from unguarded(node, is_late=is_late or is_function)


def test_late_imports_hold_the_lock_that_a_fork_waits_for() -> None:
    """A child that is forked during an import would wait forever when it imports the module."""
    exempt = ("cli/", "devserver/")  # They fork nothing, and no app imports them in a thread.
    found = {
        path: lines
        for path, text in SOURCES.items()
        if not path.startswith(exempt) and (lines := list(unguarded(ast.parse(text))))
    }
    # This function runs during the import of the package.
    assert found.keys() == {"_entry/json_codecs.py"}


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("def f():\n    import gzip", 1),
        ("def f():\n    with other:\n        from gzip import compress", 1),
        ("def f():\n    with loading:\n        import gzip", 0),
        ("if TYPE_CHECKING:\n    import gzip", 0),
    ],
)
def test_guard_sees_a_late_import_without_the_lock(source: str, count: int) -> None:
    """The check finds imports in functions, unless a `with loading:` surrounds them."""
    assert len(list(unguarded(ast.parse(source)))) == count


def test_private_access_has_its_reason() -> None:
    """Each access to a private attribute has a stated reason, except in a few listed files."""
    lines = [
        (path, line)
        for path, text in SOURCES.items()
        for line in text.splitlines()
        if "noqa: SLF001" in line and "sys._getframe(" not in line
    ]
    unexplained = [path for path, line in lines if "- an object of this class" not in line]
    # Some lines of these files do not state their reason yet.
    known = {
        "_base/frozen.py",
        "_base/pickling.py",
        "_logger/logger.py",
        "_delivery/pool_hosts.py",
        "cli/spool/_replaying.py",
        "transports/_api_transport.py",
    }
    assert set(unexplained) <= known


@pytest.mark.parametrize("path", FILES)
def test_files_stay_readable(path: str) -> None:
    """No file is too long, and no file has a vague name such as "utils"."""
    assert len(FILES[path].splitlines()) <= FILE_LINES[path.partition("/")[0]]
    assert Path(path).stem.strip("_") not in VAGUE_NAMES


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_functions_stay_short(folder: str) -> None:
    """No function is too long, and most functions are short."""
    lengths = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, text in FILES.items()
        if path.startswith(folder)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    long = {place: lines for place, lines in lengths.items() if lines > FUNCTION_LINES[folder]}
    assert not long
    short = [place for place, lines in lengths.items() if lines < 20]
    assert len(short) >= SHORT_SHARE[folder] * len(lengths)


def test_public_surface() -> None:
    """If the names that users can import change, this test fails."""
    assert voyage_logger.__all__ == [
        "DEFAULT_REDACTED_KEYS",
        "AuthenticationError",
        "BaseTransport",
        "ConfigurationError",
        "ConnectionFailed",
        "DeliveryError",
        "EntriesLost",
        "FlushResult",
        "Journey",
        "Kind",
        "LogFields",
        "Outcome",
        "Stats",
        "TimelineStep",
        "Transport",
        "VoyageError",
        "VoyageLogger",
        "__version__",
        "current_journey",
        "flush_on_sigterm",
        "propagate",
    ]


def test_public_methods() -> None:
    """If the public methods of a logger change, this test fails."""
    public = [name for name in dir(voyage_logger.VoyageLogger) if not name.startswith("_")]
    assert sorted(public) == [
        "app_name",
        "base_url",
        "batch_size",
        "bind",
        "capture_uncaught",
        "close",
        "context",
        "continue_journey",
        "critical",
        "debug",
        "environment",
        "error",
        "exception",
        "flush",
        "flush_interval",
        "info",
        "journey",
        "log",
        "stats",
        "verify",
        "warn",
        "warning",
    ]
