"""What the tests share: the dev server, loggers that point at it, and a look for what is left."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from voyage_logger import BaseTransport, Kind, Outcome, VoyageLogger
from voyage_logger._base import diagnostics
from voyage_logger.devserver import DevServer

pytest.register_assert_rewrite("queue_contract", "queue_model", "spooling")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    MakeLogger = Callable[..., VoyageLogger]


_LEAST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.01  # seconds, between two looks of `until`


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


def until(condition: Callable[[], object], timeout: float = 30.0) -> None:
    """Watches for a state that nobody announces, without taking a core from who brings it about."""
    deadline = time.monotonic() + timeout
    nothing, pause = threading.Event(), _LEAST_PAUSE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        nothing.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


class Recorder(BaseTransport):
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        self.entries += [json.loads(entry) for entry in entries]
        return Outcome(Kind.DELIVERED)


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
