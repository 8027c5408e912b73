"""Decide when to send a batch that is not full: after about one flush interval.

What must stay true: this module has no clock, no thread and no random numbers of its own. So
`benchmarks/fleet.py` can run the code of ten thousand clients in one process.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

JITTER = 0.1  # An interval is up to 10 % shorter or longer than its setting.


class FlushInterval:
    """Computes when the next batch that is not full is due. Not thread-safe.

    After a start, and after an interval without entries, the wait is a random part of the interval.
    """

    __slots__ = ("_due", "_is_resting", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = -inf
        self._is_resting = True

    def begin(self, now: float, random: Callable[[], float]) -> None:
        """Record that a batch is taken now. Later entries are due one interval from now."""
        self._is_resting = False
        self._due = now + interval(self._seconds, random)

    def rest(self) -> None:
        """Record that no entry is waiting."""
        self._is_resting = True

    def remaining(self, now: float, random: Callable[[], float]) -> float:
        """Return the seconds until the waiting entries are due. Zero or less means: send now."""
        if self._is_resting:
            self._is_resting = False
            wait = phase if self._due <= now else interval
            self._due = now + wait(self._seconds, random)
        return self._due - now


def interval(seconds: float, random: Callable[[], float]) -> float:
    """Return the flush interval with jitter, so that many clients do not flush at the same time."""
    return seconds * (1 - JITTER + 2 * JITTER * random())


def phase(seconds: float, random: Callable[[], float]) -> float:
    """Return the first interval after a start, or after an interval without entries.

    The result spreads the flushes of clients that started at the same time. With the jitter of
    `interval` alone, the flushes would spread only after minutes.
    """
    return seconds * (JITTER + random())
