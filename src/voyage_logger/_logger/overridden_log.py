"""Supports subclasses that override `log()`, as apps do with the vendor's class.

In the vendor's class, `info()` and the other level methods call `self.log()`. If a subclass
overrides `log()`, the level methods of this package also call `self.log()`.

What must stay true: in a class that does not override `log()`, the code of this module never runs.
A log call that the overriding `log()` itself makes does not call `log()` again. `method_name` is
the name of the app's function, and not the name of the overriding `log()`.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from voyage_logger._base.levels import LEVELS
from voyage_logger._entry.message import MISSING, text_of
from voyage_logger._logger.log_call import fill_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

    from voyage_logger._logger.log_call import LogCalls

_OTHER_METHODS = (
    "debug",
    "info",
    "warn",
    "warning",
    "error",
    "critical",
    "exception",
    "_log_call",
)
_TAKES_ARGS = 0x04  # The flag CO_VARARGS of a code object, as in the module `inspect`.

# The loggers whose overriding `log()` runs now. Loggers that share their counts are one logger.
_asked: ContextVar[tuple[object, ...]] = ContextVar("voyage_logger_asked", default=())


class OverriddenLog:
    """Calls the overriding `log()`, and handles the calls that `log()` passes on."""

    def __init__(self, calls: LogCalls, kind: type) -> None:
        self._calls = calls
        log_codes = tuple(_codes(kind, "log"))
        self._takes_args = all(code.co_flags & _TAKES_ARGS for code in log_codes)
        others = (code for name in _OTHER_METHODS for code in _codes(kind, name))
        self._codes = {*log_codes, *others, type(self).ask.__code__}

    def ask(
        self,
        log: Callable[..., None],
        rank: int,
        message: object,
        args: tuple[object, ...],
        fields: dict[str, Any],
    ) -> None:
        """Call the overriding `log`. If `log` itself makes this call, handle the call directly."""
        asked = _asked.get()
        if self._calls.counts in asked:
            self.log(rank, message, args, fields)
            return
        if args and not self._takes_args:
            message, fields = fill_in(message, args, fields)
            message, args = text_of(message, fields), ()
        given = () if message is MISSING else (message, *args)
        token = _asked.set((*asked, self._calls.counts))
        try:
            log(LEVELS[rank], *given, **fields)
        finally:
            _asked.reset(token)

    def log(
        self, rank: int, message: object, args: tuple[object, ...], fields: dict[str, Any]
    ) -> None:
        """Handle a log call, with the name of the function that called the overriding `log`."""
        inner = sys._getframe(2)  # noqa: SLF001 - the module `inspect` is slow
        frame: FrameType | None = inner
        while frame is not None and frame.f_code in self._codes:
            frame = frame.f_back
        self._calls.log(rank, message, args, fields, frame or inner)


def _codes(kind: type, name: str) -> Iterator[CodeType]:
    """Yield the code of each method with this name, also the code under `functools.wraps`."""
    for each in kind.__mro__:
        function: Any = vars(each).get(name)
        while function is not None:
            if (code := getattr(function, "__code__", None)) is not None:
                yield code
            function = getattr(function, "__wrapped__", None)
