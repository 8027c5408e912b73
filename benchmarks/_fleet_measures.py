"""What a load over time is like: its peak, and how much of it comes in waves.

A wave is measured by the share of the arrivals that keep to one rhythm: the amplitude of the
counts at the period of the rhythm, divided by their sum. It is 1 if all come at one moment of each
period and 0 if every moment gets as many; a smooth wave peaks at 1 + 2x that times the mean. (The
autocorrelation of the counts would not tell: each process by itself is periodic, so it is high also
for a fleet that is spread as evenly as can be.)
"""

from __future__ import annotations

import cmath
from math import pi
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PEAK_SECONDS = 5  # a flush interval: what comes within it can be smoothed by a short queue
WAVE_SECONDS = 60
PERIODS = (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0)


def peak(load: Sequence[float], start: int, end: int, seconds: int = PEAK_SECONDS) -> float:
    """The highest mean of so many seconds in a row."""
    return max(sum(load[at : at + seconds]) / seconds for at in range(start, end - seconds + 1))


def mean(load: Sequence[float], start: int, end: int) -> float:
    return sum(load[start:end]) / (end - start)


def wave(load: Sequence[float], start: int, end: int) -> float:
    """The strongest wave of any minute: the share of it that keeps to a rhythm of 2 to 15 s."""
    windows = range(start, end - WAVE_SECONDS + 1, WAVE_SECONDS // 4)
    return max(_rhythm(load[at : at + WAVE_SECONDS]) for at in windows)


def _rhythm(counts: Sequence[float]) -> float:
    total = sum(counts)
    if not total:
        return 0.0
    level = _without_trend(counts)
    amplitudes = (
        abs(sum(count * cmath.exp(2j * pi * at / period) for at, count in enumerate(level)))
        for period in PERIODS
    )
    return max(amplitudes) / total


def _without_trend(counts: Sequence[float]) -> list[float]:
    """The counts less their straight line, for a load that goes down evenly is no wave."""
    middle = (len(counts) - 1) / 2
    average = sum(counts) / len(counts)
    spread = sum((at - middle) ** 2 for at in range(len(counts)))
    slope = sum((at - middle) * count for at, count in enumerate(counts)) / spread
    return [count - average - slope * (at - middle) for at, count in enumerate(counts)]


def drained(entries: Sequence[int], start: int, end: int, steady: float) -> int | None:
    """Seconds until no more than the steady load of entries is stored for ten of them."""
    ten = 10
    for at in range(start, end - ten):
        if 0.5 * steady < mean(entries, at, at + ten) < 1.1 * steady:
            return at - start
    return None
