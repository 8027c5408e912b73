"""Decide when to send a batch that is not full: after about one flush interval.

What must stay true: this module does not read a clock, start a thread or generate random numbers.
So `benchmarks/fleet.py` can simulate ten thousand clients in one process.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

JITTER = 0.1  # An interval is up to 10 % shorter or longer than the setting `flush_interval`.


class FlushInterval:
    """Computes when the worker must send the next batch that is not full. Not thread-safe.

    After a start, and after an interval without entries, the next interval has a random length.
    """

    __slots__ = ("_due", "_is_resting", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = -inf
        self._is_resting = True

    def begin(self, now: float, random: Callable[[], float]) -> None:
        """Record that the worker takes a batch now. The next batch is due after one interval."""
        self._is_resting = False
        self._due = now + interval(self._seconds, random)

    def rest(self) -> None:
        """Record that no entry is waiting."""
        self._is_resting = True

    def remaining(self, now: float, random: Callable[[], float]) -> float:
        """Return the seconds until entries are due. If entries are due now, return 0 or less."""
        if self._is_resting:
            self._is_resting = False
            wait = phase if self._due <= now else interval
            self._due = now + wait(self._seconds, random)
        return self._due - now


def interval(seconds: float, random: Callable[[], float]) -> float:
    """Return the flush interval with jitter, so that many clients do not flush at the same time."""
    return seconds * (1 - JITTER + 2 * JITTER * random())


def phase(seconds: float, random: Callable[[], float]) -> float:
    """Return the length of the first interval after a start or after an interval without entries.

    The length is 10 % to 110 % of the flush interval. Without `phase`, clients that started at the
    same time would send their batches at the same moments for several minutes.
    """
    return seconds * (JITTER + random())
