"""The shape of the package: its layers, its public names, the size of its files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import voyage_logger

PACKAGE = Path(voyage_logger.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the bottom up. A module may import from its own layer and from those below it.
LAYERS = [
    {"_levels", "_errors", "_stats", "_wire", "_version", "_values", "_callables", "_ticketed"},
    {"_forking", "_pickling", "_echo", "_clock"},
    {"_redaction"},
    {
        "_outcome",
        "_plain",
        "_printing",
        "_trimming",
        "_timeline",
        "_carrier",
        "_exceptions",
        "_sampling",
        "_log_fields",
        "_encoding",
        "_json",
        "_settings",
        "_retry",
        "_pacing",
        "_batching",
        "_records",
        "_keeping",
        "_readable",
    },
    {"_diagnostics", "_fields", "_queue", "transports"},
    {"spool"},
    {"_entry", "_context", "_tickets"},
    {"_losses", "_delivery"},
    {"_worker"},
    {"_hosts", "_process", "_pipeline", "_sigterm"},
    {"_flood"},
    {"_intake"},
    {"_journey", "_log_methods", "_uncaught", "_scope_methods"},
    {"_logger"},
    {"__init__", "__main__", "cli", "devserver"},
]


def names_imported(path: Path) -> set[str]:
    """The first names below the package that a module imports at run time."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("voyage_logger"):
            below = (node.module or "").split(".")[1:2]
            found |= set(below) or {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                (alias.name.split(".")[1:2] or ["__init__"])[0]
                for alias in node.names
                if alias.name.split(".")[0] == "voyage_logger"
            }
    return found


def family(path: Path) -> str:
    """The module's first name below the package: a folder counts as one."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def layer(name: str) -> int:
    (found,) = [number for number, names in enumerate(LAYERS) if name in names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """No module imports from a layer above its own."""
    own = layer(family(path))
    upward = {name for name in names_imported(path) if layer(name) > own}
    assert not upward


def test_every_module_has_a_layer() -> None:
    """A new module is given its place here before it is used."""
    assert {family(path) for path in MODULES} == set.union(*LAYERS)


def test_dev_server_knows_nothing_of_the_client() -> None:
    """The server imports the wire's constants and no more, so it can judge the client."""
    for path in (PACKAGE / "devserver").glob("*.py"):
        assert names_imported(path) <= {"_wire", "devserver"}


@pytest.mark.parametrize(
    ("others", "door"),
    [({"requests", "urllib3"}, "_session.py"), ({"fcntl", "msvcrt"}, "_system.py")],
    ids=["the HTTP stack", "locks of files"],
)
def test_only_one_module_imports(others: set[str], door: str) -> None:
    """What differs between versions, or between systems, has one door."""
    importing = [
        path.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and any(
            name.split(".")[0] in others
            for name in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
            )
        )
    ]
    assert set(importing) == {door}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_readable(path: Path) -> None:
    """A file that grows beyond 360 lines holds more than one idea."""
    assert len(path.read_text().splitlines()) <= 360
    assert path.stem not in {"utils", "helpers", "common", "_utils", "_helpers", "_common"}


def test_public_surface() -> None:
    """What users may import changes on purpose only."""
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
    """What a logger can do changes on purpose only."""
    public = [name for name in dir(voyage_logger.VoyageLogger) if not name.startswith("_")]
    assert sorted(public) == [
        "bind",
        "capture_uncaught",
        "close",
        "context",
        "continue_journey",
        "critical",
        "debug",
        "error",
        "exception",
        "flush",
        "info",
        "journey",
        "log",
        "stats",
        "verify",
        "warn",
        "warning",
    ]


def test_map_in_the_package_s_docstring_is_complete() -> None:
    """The docstring of `__init__` names every module of the pipeline."""
    for path in PACKAGE.iterdir():
        name = path.stem
        if name not in {"__init__", "__main__", "__pycache__", "py", "_version"}:
            assert name in (voyage_logger.__doc__ or ""), name
