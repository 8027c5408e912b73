"""Fixtures for all tests, and a check that no thread of a test runs after the test."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

# If this variable is set, Python writes no bytecode files. Then each of the child processes would
# compile the package again. Child processes inherit the environment variables of this process.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest.register_assert_rewrite("tests.contracts", "tests.support", "tests.budget")

from tests.support.loggers import Recorder  # noqa: E402 - after `register_assert_rewrite`
from voyage_logger import VoyageLogger  # noqa: E402
from voyage_logger._base import diagnostics  # noqa: E402
from voyage_logger.devserver import DevServer  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.loggers import MakeLogger


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's environment variables, and delete the reports of earlier tests."""
    for name in [name for name in os.environ if name.startswith("VOYAGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(diagnostics, "_last_said", {})


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Fail a test that leaves a thread running."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)
        assert not thread.is_alive(), f"{thread.name} is still running"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer() as server:
        yield server


@pytest.fixture
def make_logger(server: DevServer) -> Iterator[MakeLogger]:
    """Return a function that makes loggers for the server. The fixture closes these loggers."""
    loggers: list[VoyageLogger] = []

    def make(app_name: str = "app", **settings: Any) -> VoyageLogger:
        if "transport" not in settings:
            settings = {
                "base_url": server.url,
                "api_key": server.api_key,
                "api_secret": server.api_secret,
                **settings,
            }
        loggers.append(VoyageLogger(app_name, **settings))
        return loggers[-1]

    yield make
    for logger in loggers:
        logger.close(timeout=0)


@pytest.fixture
def logger(make_logger: MakeLogger) -> VoyageLogger:
    """Return a logger that sends only when a test flushes, because `flush_interval` is long."""
    return make_logger(flush_interval=600)


@pytest.fixture
def credentials(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment variables that hold the server's URL and credentials."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a path for a spool folder that does not exist yet."""
    return tmp_path / "spool"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Return a function that returns the lines written to stderr since its previous call."""

    def lines() -> list[str]:
        return capsys.readouterr().err.splitlines()

    return lines
