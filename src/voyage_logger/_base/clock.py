"""The monotonic clock, which measures all waiting times and time limits.

What must stay true: this clock keeps running while the tests of an app freeze time. If the clock
stopped, a time limit would never be reached. The test library freezegun freezes time: in every
module, it replaces the functions that were imported from `time`, even `time.monotonic`. Therefore
a module of this package that may be imported while time is frozen must use this clock.
Source: https://github.com/spulec/freezegun
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def monotonic(_clock: Callable[[], float] = time.monotonic) -> float:
    """Return the seconds of a clock that never goes backward, even if the system time changes."""
    return _clock()  # freezegun does not replace the default values of arguments.


def real_clock(_clock: Callable[[], float] = time.monotonic) -> Callable[[], float]:
    """Return the function that `monotonic` calls, for a caller that needs a faster call."""
    return _clock
