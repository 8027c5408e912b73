"""The shape of the package: its layers, its public names, the size of its files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import voyage_logger

PACKAGE = Path(voyage_logger.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize(
    ("others", "door"),
    [({"requests", "urllib3"}, "_session.py"), ({"fcntl", "msvcrt"}, "os_locks.py")],
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
    assert len(path.read_text().splitlines()) <= 385
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
