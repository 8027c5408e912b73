"""The fixtures that all tests share, and a check that no thread is left."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

pytest.register_assert_rewrite("tests.contracts", "tests.support", "tests.budget")

from tests.support.loggers import Recorder  # noqa: E402 - its asserts are rewritten by now
from voyage_logger import VoyageLogger  # noqa: E402
from voyage_logger._base import diagnostics  # noqa: E402
from voyage_logger.devserver import DevServer  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.loggers import MakeLogger


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the developer's shell reaches a test, and no line was said before it."""
    for name in [name for name in os.environ if name.startswith("VOYAGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(diagnostics, "_last_said", {})


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)
        assert not thread.is_alive(), f"{thread.name} is left behind"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer() as server:
        yield server


@pytest.fixture
def make_logger(server: DevServer) -> Iterator[MakeLogger]:
    """Makes loggers that deliver to the server, and closes them."""
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
    """A logger that sends when told to: the interval is longer than any test."""
    return make_logger(flush_interval=600)
