"""The monotonic clock, by which all waits and limits run.

What must stay true: it goes on while an app's tests freeze time. freezegun replaces the functions
of `time`, `monotonic` included, in every module that has them; by a clock that stands still no
limit would ever be reached.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def monotonic(_clock: Callable[[], float] = time.monotonic) -> float:
    """Seconds that pass whatever happens to the time of day."""
    return _clock()  # a default is a place where nobody replaces it
