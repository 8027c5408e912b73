"""When the next request is due, and which failure in a row it was: pure bookkeeping.

What must stay true: no clock, thread or source of chance of its own, so that a model of ten
thousand processes can be run on the very code that one process runs.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from voyage_logger._delivery import backoff
from voyage_logger.transports import Kind

if TYPE_CHECKING:
    from collections.abc import Callable


FORGIVENESS = 0.5  # failures that a success makes up for
_MOST = 8.0  # failures: with them every pause has reached its cap


class Rhythm:
    """When entries that are too few to make a batch are sent all the same.

    An interval after the first of them; the first time, and after an interval in which there was
    nothing to send, at random within it.

    Args:
        flush_interval: The setting, seconds.

    Not thread-safe: the worker's own.
    """

    __slots__ = ("_due", "_flush_interval", "_is_resting")

    def __init__(self, flush_interval: float) -> None:
        self._flush_interval = flush_interval
        self._due = -inf
        self._is_resting = True

    def begin(self, now: float, random: Callable[[], float]) -> None:
        """Notes that a batch is taken; what comes from now on has its own time."""
        self._is_resting = False
        self._due = now + backoff.interval(self._flush_interval, random)

    def rest(self) -> None:
        """Notes that nothing waits."""
        self._is_resting = True

    def remaining(self, now: float, random: Callable[[], float]) -> float:
        """Seconds until what waits is due; zero or less: now."""
        if self._is_resting:
            self._is_resting = False
            was_quiet = self._due <= now
            wait = backoff.phase if was_quiet else backoff.interval
            self._due = now + wait(self._flush_interval, random)
        return self._due - now


class Failures:
    """The attempts that have failed, as the next pause counts them.

    A success makes up for half a failure. If it made up for all of them, a backlog that the server
    cannot take at once would be offered to it again within half a second of each refusal, by each
    client that has just got a batch through. Like this, pauses grow while more than a third of the
    attempts fail.

    Not thread-safe: the worker's own.

    Attributes:
        in_a_row: How many of the latest attempts failed, whatever the reason.
        unauthorized: How many of the latest because the token was refused.
    """

    __slots__ = ("_level", "in_a_row", "unauthorized")

    def __init__(self) -> None:
        self._level = 0.0
        self.in_a_row = self.unauthorized = 0

    def add(self, kind: Kind) -> float:
        """Counts a failure; gives the number of the attempt for `_retry.pause`."""
        self._level = min(self._level + 1, _MOST)
        self.in_a_row += 1
        self.unauthorized = self.unauthorized + 1 if kind is Kind.UNAUTHORIZED else 0
        return self.unauthorized or self._level

    def ease(self) -> None:
        """Begins anew with short pauses: somebody waits for the next attempts."""
        self._level = 0.0

    def make_up(self) -> None:
        """Counts a success: the server has dealt with a batch."""
        self._level = max(0.0, self._level - FORGIVENESS)
        self.in_a_row = self.unauthorized = 0
