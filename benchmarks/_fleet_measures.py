"""Measures the load over time: its peak, and the size of its waves. See docs/fleet.md.

The size of a wave is the share of arrivals that follow one rhythm. The size is the amplitude of the
counts at the period of the rhythm, divided by the sum of the counts. The size is 1 if all arrivals
come at the same moment of each period, and 0 if the arrivals are even. If a smooth wave has the
size x, its peak is (1 + 2x) times the mean. The code does not use the autocorrelation of the
counts, which is high even for a steady load, because each process sends periodically.
"""

from __future__ import annotations

import cmath
from math import pi
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PEAK_SECONDS = 5  # one flush interval, because the server's queue absorbs a shorter peak
WAVE_SECONDS = 60
PERIODS = (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0)


def peak(load: Sequence[float], start: int, end: int, seconds: int = PEAK_SECONDS) -> float:
    """Return the highest mean load in any period of `PEAK_SECONDS` seconds."""
    return max(sum(load[at : at + seconds]) / seconds for at in range(start, end - seconds + 1))


def mean(load: Sequence[float], start: int, end: int) -> float:
    return sum(load[start:end]) / (end - start)


def wave(load: Sequence[float], start: int, end: int) -> float:
    """Return the size of the largest wave in any minute, for waves with a period of 2 to 15 s."""
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
    """Return the counts minus their linear trend. A load that decreases evenly is not a wave."""
    middle = (len(counts) - 1) / 2
    average = sum(counts) / len(counts)
    spread = sum((at - middle) ** 2 for at in range(len(counts)))
    slope = sum((at - middle) * count for at, count in enumerate(counts)) / spread
    return [count - average - slope * (at - middle) for at, count in enumerate(counts)]


def drained(entries: Sequence[int], start: int, end: int, steady: float) -> int | None:
    """Return the seconds until entries are stored no faster than they are logged.

    The rate of stored entries is a mean of ten seconds. Return None if this rate stays too high.
    """
    ten = 10
    for at in range(start, end - ten):
        if 0.5 * steady < mean(entries, at, at + ten) < 1.1 * steady:
            return at - start
    return None
