"""Decide when a batch that is not full is sent: one flush interval after its first entry.

What must stay true: this module has no clock, thread or source of chance, so that
`benchmarks/fleet.py` can run the code of ten thousand processes in one.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

JITTER = 0.1  # the part of an interval by which the interval may be shorter or longer


class FlushInterval:
    """The time until the next batch that is not full. Not thread-safe.

    After a start, and after an interval without entries, the time is random within the interval.
    """

    __slots__ = ("_due", "_is_resting", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = -inf
        self._is_resting = True

    def begin(self, now: float, random: Callable[[], float]) -> None:
        """Note that a batch is taken, so that later entries are due an interval from now."""
        self._is_resting = False
        self._due = now + interval(self._seconds, random)

    def rest(self) -> None:
        """Note that no entry waits."""
        self._is_resting = True

    def remaining(self, now: float, random: Callable[[], float]) -> float:
        """Return the seconds until the waiting entries are due; zero or less means now."""
        if self._is_resting:
            self._is_resting = False
            wait = phase if self._due <= now else interval
            self._due = now + wait(self._seconds, random)
        return self._due - now


def interval(seconds: float, random: Callable[[], float]) -> float:
    """Return the flush interval with jitter, so that the flushes of many clients spread."""
    return seconds * (1 - JITTER + 2 * JITTER * random())


def phase(seconds: float, random: Callable[[], float]) -> float:
    """Return the interval after a start or after an interval without entries.

    The result spreads the flushes of clients that started at the same time. The jitter of
    `interval` alone would need minutes to spread them.
    """
    return seconds * (JITTER + random())
