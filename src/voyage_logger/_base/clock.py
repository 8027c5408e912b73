"""The monotonic clock, which measures all waits and limits.

What must stay true: the clock goes on while an app's tests freeze time, because a stopped clock
never reaches a limit. freezegun replaces the functions of `time` in every module that imports them,
even `time.monotonic`. So a module that may be imported while time is frozen uses this clock.
Source: https://github.com/spulec/freezegun
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def monotonic(_clock: Callable[[], float] = time.monotonic) -> float:
    """Return seconds that no change of the system's time affects."""
    return _clock()  # freezegun does not replace the defaults of arguments.


def real_clock(_clock: Callable[[], float] = time.monotonic) -> Callable[[], float]:
    """Return the function that `monotonic` calls; a log call uses it directly to save time."""
    return _clock
