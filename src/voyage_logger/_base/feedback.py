"""Recognize an *echo*: a log call that the client itself causes when it sends entries.

An app can turn each `logging` record into an entry. The client's HTTP library writes a `logging`
record for each request of the client. Without this module, each request would make new entries,
and the new entries would cause the next request. The client would never stop sending requests.

What must stay true: while `apart` runs a function, the log calls of this function make no entries.
Every other log call makes an entry. The log calls of a destructor always make entries, because
Python may run the destructor of any object of the app while `apart` runs a function.
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

# The ids of the threads that are running `apart`. The set needs no lock, because each thread adds
# and removes only its own id. After a fork, the set in the child process can still contain ids of
# the parent's threads. Therefore `is_echo` also checks the call stack.
apart_threads: set[int] = set()


def apart(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call a function and return its result. Log calls inside this function make no entries."""
    thread = get_ident()
    if thread in apart_threads:
        return function(*args, **kwargs)
    apart_threads.add(thread)
    try:
        return function(*args, **kwargs)
    finally:
        apart_threads.discard(thread)


def is_echo() -> bool:
    """Return True if the current log call was made inside a function that `apart` runs."""
    if get_ident() not in apart_threads:
        return False
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the stack shows indirect callers
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
