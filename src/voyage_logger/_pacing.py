"""When the next request is due, and which failure in a row it was: pure bookkeeping.

What must stay true: no clock, thread or source of chance of its own, so that a model of ten
thousand processes can be run on the very code that one process runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger import _retry
from voyage_logger._outcome import Kind

if TYPE_CHECKING:
    from collections.abc import Callable


class Rhythm:
    """When entries that are too few to make a batch are sent all the same.

    Args:
        flush_interval: The setting, seconds.

    Not thread-safe: the worker's own.
    """

    __slots__ = ("_due", "_flush_interval")

    def __init__(self, flush_interval: float) -> None:
        self._flush_interval = flush_interval
        self._due: float | None = None

    def begin(self, now: float, random: Callable[[], float]) -> None:
        """Notes that a batch is taken; what comes from now on has its own time."""
        self._due = now + _retry.interval(self._flush_interval, random)

    def rest(self) -> None:
        """Notes that nothing waits."""
        self._due = None

    def remaining(self, now: float, random: Callable[[], float]) -> float:
        """Seconds until what waits is due; zero or less: now."""
        if self._due is None:
            self.begin(now, random)
        assert self._due is not None  # noqa: S101 - for the type checker
        return self._due - now


class Failures:
    """The attempts that have failed in a row. Not thread-safe: the worker's own.

    Attributes:
        attempts: How many, whatever the reason.
        unauthorized: How many of the latest because the token was refused.
    """

    __slots__ = ("attempts", "unauthorized")

    def __init__(self) -> None:
        self.attempts = self.unauthorized = 0

    def add(self, kind: Kind) -> int:
        """Counts a failure; gives the number of the attempt for `_retry.pause`."""
        self.attempts += 1
        self.unauthorized = self.unauthorized + 1 if kind is Kind.UNAUTHORIZED else 0
        return self.unauthorized or self.attempts

    def clear(self) -> None:
        """Ends the row: a batch was delivered."""
        self.attempts = self.unauthorized = 0
