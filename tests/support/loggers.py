"""Tools to watch a logger: a transport that keeps entries, and functions to wait and check."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from voyage_logger import BaseTransport, Kind, Outcome, VoyageLogger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voyage_logger import Stats
    from voyage_logger.devserver import DevServer

MakeLogger = Callable[..., VoyageLogger]

_LEAST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.01  # seconds between two checks of `until`


def until(condition: Callable[[], object], timeout: float = 30.0) -> None:
    """Wait until a condition is true. The pauses between two checks leave the CPU free."""
    deadline = time.monotonic() + timeout
    nothing, pause = threading.Event(), _LEAST_PAUSE
    while not condition():
        assert time.monotonic() < deadline, f"the condition is still false after {timeout} s"
        nothing.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


class Recorder(BaseTransport):
    """A transport that keeps all entries in a list, and sends no entry to a server."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        self.entries += [json.loads(entry) for entry in entries]
        return Outcome(Kind.DELIVERED)


def sign_ins(server: DevServer) -> int:
    """Return how many sign-ins the server has received."""
    return sum(request.endpoint == "sign-in" for request in server.requests)


def assert_law(stats: Stats) -> None:
    """Check that each accepted entry is counted once, and that the losses by reason add up."""
    assert stats.accepted == stats.delivered + stats.rejected + stats.dropped + stats.pending
    assert stats.rejected == sum(stats.rejected_by.values())
    assert stats.dropped == sum(stats.dropped_by.values())
