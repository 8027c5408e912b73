"""What tests use to watch a logger: a transport that keeps entries, and a wait for a state."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from voyage_logger import BaseTransport, Kind, Outcome, VoyageLogger

if TYPE_CHECKING:
    from collections.abc import Sequence

MakeLogger = Callable[..., VoyageLogger]

_LEAST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.01  # seconds, between two looks of `until`


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
