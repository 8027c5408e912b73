"""Recognize an echo: a log call that is made because entries are being sent.

An app may turn each record of `logging` into an entry. Some records come from the client's own
requests, so each request would make entries for another request, without end.

What must stay true: no log call of a function that runs `apart` makes an entry. Every other log
call makes an entry, even the log call of a destructor that runs inside such a function.
"""

from __future__ import annotations

import sys
import weakref
from threading import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import ParamSpec, TypeVar

    _P = ParamSpec("_P")
    _R = TypeVar("_R")

# The threads that run a function apart. The set needs no lock, because a thread adds and removes
# only itself. A forked child may have threads of its parent in the set, so `is_echo` also looks at
# the stack.
apart_threads: set[int] = set()


def apart(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call a function and return its result; log calls inside the function make no entries."""
    thread = get_ident()
    if thread in apart_threads:
        return function(*args, **kwargs)
    apart_threads.add(thread)
    try:
        return function(*args, **kwargs)
    finally:
        apart_threads.discard(thread)


def is_echo() -> bool:
    """Return True if a function that runs `apart` made the present log call."""
    if get_ident() not in apart_threads:
        return False
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - only the stack shows the callers
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
