"""The monotonic clock, by which all waits and limits run.

What must stay true: it goes on while an app's tests freeze time. freezegun replaces the functions
of `time`, `monotonic` included, in every module that has them; by a clock that stands still no
limit would ever be reached. A module that is imported late, maybe while time is frozen, takes the
clock from here, for a default of its own (`time.monotonic`) would be the frozen one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def monotonic(_clock: Callable[[], float] = time.monotonic) -> float:
    """Seconds that pass whatever happens to the time of day."""
    return _clock()  # a default is a place where nobody replaces it


def real_clock(_clock: Callable[[], float] = time.monotonic) -> Callable[[], float]:
    """The function behind `monotonic`, for who keeps it and asks it with each log call."""
    return _clock
