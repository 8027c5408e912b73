"""Telling an entry from an echo: something that was logged because entries are being sent.

An app may turn every record of the standard library's `logging` into an entry, urllib3's at DEBUG
and our own lines among them. Each request would then make entries for a next one, for ever.

What must stay true: what runs `apart` makes no entries, whatever handlers, loggers and pipelines
lie between; all else does, also destructors that the garbage collector happens to run in there.
"""

from __future__ import annotations

import sys
import weakref
from threading import get_ident
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_P = ParamSpec("_P")
_R = TypeVar("_R")

# The threads that run something apart, mostly none: so this much can be asked at each log call.
# Without a lock, for a thread adds and removes itself only. A forked child may find threads in it
# that it does not have: `is_echo` looks again.
apart_threads: set[int] = set()


def apart(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Calls a function whose own log calls are to be no entries."""
    thread = get_ident()
    if thread in apart_threads:
        return function(*args, **kwargs)
    apart_threads.add(thread)
    try:
        return function(*args, **kwargs)
    finally:
        apart_threads.discard(thread)


def is_echo() -> bool:
    """True if the present log call is made by what runs `apart`."""
    if get_ident() not in apart_threads:
        return False
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - a look at the stack is the only way to tell
    while frame is not None:
        code = frame.f_code
        if code is _APART:
            return True
        if code.co_name == "__del__" or code is _FINALIZE:
            return False
        frame = frame.f_back
    return False


_APART = apart.__code__
_FINALIZE = weakref.finalize.__call__.__code__
