"""The monotonic clock, which measures all waits and limits.

What must stay true: the clock goes on while an app's tests freeze time. freezegun replaces the
functions of the module `time`, `monotonic` included, in every module that imports them. A limit is
never reached by a clock that stands still. A module that may be imported while time is frozen takes
the clock from this file, because its own default `time.monotonic` could be the frozen function.
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
    """Return the function behind `monotonic`, which saves each log call one call."""
    return _clock
