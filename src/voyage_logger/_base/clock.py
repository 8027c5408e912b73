"""The monotonic clock, which measures all waiting times and time limits.

What must stay true: the monotonic clock continues to run while the tests of an app freeze time. If
the clock stopped, a time limit would never be reached. To freeze time, the test library freezegun
replaces the functions of `time` in every module, even `time.monotonic`. If a module of this package
can be imported while time is frozen, the module must use the clock of this file.
Source: https://github.com/spulec/freezegun
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def monotonic(_clock: Callable[[], float] = time.monotonic) -> float:
    """Return the time of the monotonic clock in seconds. This clock never goes backward."""
    return _clock()  # freezegun does not replace the default values of arguments.


def real_clock(_clock: Callable[[], float] = time.monotonic) -> Callable[[], float]:
    """Return the function that `monotonic` calls. Calling this function directly is faster."""
    return _clock
