"""When the next request is due, and how many attempts have failed: pure bookkeeping.

What must stay true: this module has no clock, thread or source of chance, so that
`benchmarks/fleet.py` can run the code of ten thousand processes in one.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from voyage_logger._delivery import backoff
from voyage_logger.transports import Kind

if TYPE_CHECKING:
    from collections.abc import Callable


FORGIVENESS = 0.5  # the part of a failure that a success makes up for
_MOST = 8.0  # failures, after which every pause has reached its cap


class Rhythm:
    """Decides when a batch is sent that is not full: one interval after its first entry.

    After a start, and after an interval without entries, the time is random within the interval.

    Not thread-safe: only the worker's loop uses it.
    """

    __slots__ = ("_due", "_flush_interval", "_is_resting")

    def __init__(self, flush_interval: float) -> None:
        self._flush_interval = flush_interval
        self._due = -inf
        self._is_resting = True

    def begin(self, now: float, random: Callable[[], float]) -> None:
        """Note that a batch is taken, so that later entries are due an interval from now."""
        self._is_resting = False
        self._due = now + backoff.interval(self._flush_interval, random)

    def rest(self) -> None:
        """Note that no entry waits."""
        self._is_resting = True

    def remaining(self, now: float, random: Callable[[], float]) -> float:
        """Return the seconds until the waiting entries are due; zero or less means now."""
        if self._is_resting:
            self._is_resting = False
            was_quiet = self._due <= now
            wait = backoff.phase if was_quiet else backoff.interval
            self._due = now + wait(self._flush_interval, random)
        return self._due - now


class Failures:
    """The attempts that have failed, as the next pause counts them.

    A success makes up for half a failure, so pauses grow while more than a third of the attempts
    fail. If a success made up for all failures, each client with a backlog would ask an overloaded
    server again within half a second of each refusal.

    Not thread-safe: only the worker's loop uses it.

    Attributes:
        in_a_row: The number of latest attempts that failed, for any reason.
        unauthorized: The number of latest attempts that failed because the token was refused.
    """

    __slots__ = ("_level", "in_a_row", "unauthorized")

    def __init__(self) -> None:
        self._level = 0.0
        self.in_a_row = self.unauthorized = 0

    def add(self, kind: Kind) -> float:
        """Count a failure; return the number of the attempt for `backoff.pause`."""
        self._level = min(self._level + 1, _MOST)
        self.in_a_row += 1
        self.unauthorized = self.unauthorized + 1 if kind is Kind.UNAUTHORIZED else 0
        return self.unauthorized or self._level

    def ease(self) -> None:
        """Start again with short pauses."""
        self._level = 0.0

    def make_up(self) -> None:
        """Count a success: the server has answered for a batch."""
        self._level = max(0.0, self._level - FORGIVENESS)
        self.in_a_row = self.unauthorized = 0
