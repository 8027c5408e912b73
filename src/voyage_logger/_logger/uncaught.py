"""Logs uncaught exceptions, but only after the app has called `capture_uncaught`.

What must stay true: each hook calls the previous hook. A logger logs an exception only once, even
if several hooks get the exception. `undo` restores the previous hook. If another library has later
set its own hook, the hook of this module stays in place, but no longer logs anything.
"""

from __future__ import annotations

import sys
import threading
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from voyage_logger._base.levels import CRITICAL, ERROR
from voyage_logger._base.wire import UNCAUGHT_EXCEPTION
from voyage_logger._logger.context import AMBIENT, within

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType

    from voyage_logger._logger.context import Layer
    from voyage_logger._logger.log_call import LogCalls

_thread = threading.local()  # `logged`: the events that hooks are handling in this thread


class Uncaught:
    """The hooks of one logger; see `VoyageLogger.capture_uncaught`."""

    def __init__(self, calls: LogCalls, loop: asyncio.AbstractEventLoop | None) -> None:
        self._calls = calls
        self._is_undone = False
        calls.shared.captures += 1
        self._before, sys.excepthook = sys.excepthook, self._on_exit
        self._before_thread, threading.excepthook = threading.excepthook, self._on_thread
        self._loop = loop or _running_loop()
        if self._loop is not None:
            self._before_task = self._loop.get_exception_handler()
            self._loop.set_exception_handler(self._on_task)

    def undo(self) -> None:
        """Restore the previous hooks. A second call does nothing."""
        self._calls.shared.captures -= not self._is_undone
        self._is_undone = True
        # Do not compare with `is`: each access to a bound method creates a new object.
        if sys.excepthook == self._on_exit:
            sys.excepthook = self._before
        if threading.excepthook == self._on_thread:
            threading.excepthook = self._before_thread
        if self._loop is not None and self._loop.get_exception_handler() == self._on_task:
            self._loop.set_exception_handler(self._before_task)

    def _on_exit(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        log = partial(self._log, CRITICAL, "the program ended", error)
        self._log_once(error, log, partial(self._before, kind, error, traceback))

    def _on_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_type is SystemExit:  # Python's own hook also ignores SystemExit.
            self._before_thread(args)
            return
        name = getattr(args.thread, "name", "?")
        log = partial(self._log, ERROR, f"thread {name} ended", args.exc_value)
        self._log_once(args, log, partial(self._before_thread, args))

    def _on_task(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self._before_task is None:
            pass_on: Callable[[], object] = partial(loop.default_exception_handler, context)
        else:
            pass_on = partial(self._before_task, loop, context)
        self._log_once(context, partial(self._log_task, context), pass_on)

    def _log_once(
        self, what: object, log: Callable[[], None], pass_on: Callable[[], object]
    ) -> None:
        """Log an event once per logger, and then call the previous hook.

        For one event, all hooks get the same object `what`, so `what` identifies the event.
        """
        logged: tuple[object, ...] = getattr(_thread, "logged", ())
        key = (self._calls.shared, id(what))
        if self._is_undone or key in logged:
            pass_on()
            return
        log()
        _thread.logged = (*logged, key)
        try:
            pass_on()
        finally:
            _thread.logged = logged

    def _log_task(self, context: dict[str, Any]) -> None:
        with within(_layer_of(context, AMBIENT.get())):
            self._log(ERROR, str(context.get("message")), context.get("exception"))

    def _log(self, rank: int, what: str, error: BaseException | None) -> None:
        if isinstance(error, KeyboardInterrupt) or id(error) == self._calls.shared.left_with:
            return
        _log_error(self._calls, rank, what, error)


def log_leaving(calls: LogCalls, error: BaseException) -> None:
    """Log an exception that ends the logger's `with` block.

    The hooks would log the exception too late, because they run after `close`.
    """
    if not isinstance(error, Exception):
        return
    calls.shared.left_with = id(error)
    is_main = threading.current_thread() is threading.main_thread()
    rank = CRITICAL if is_main else ERROR
    _log_error(calls, rank, "the logger's `with` block ended", error)


def _log_error(calls: LogCalls, rank: int, what: str, error: BaseException | None) -> None:
    fields: dict[str, Any] = {"event_name": UNCAUGHT_EXCEPTION}
    if error is not None:
        what = f"{what} with an uncaught {type(error).__name__}"
        fields["exc_info"] = error
    fields["method_name"] = _where(error)
    calls.log(rank, what[:1].upper() + what[1:], (), fields)


def _layer_of(context: dict[str, Any], present: Layer | None) -> Layer | None:
    """Return the layer of the task or callback that failed, or None if the layer is unknown.

    The event loop reports a failed task or future later, in a different context. A future does not
    store its context. Tasks have the method `get_context` only since Python 3.12.
    """
    lost = context.get("task") or context.get("future")
    source: Any = lost or context.get("handle")
    found = source.get_context() if hasattr(source, "get_context") else None
    if isinstance(found, Context):  # pragma: no cover - Python 3.12
        return found.get(AMBIENT)
    return present if lost is None else None


def _where(error: BaseException | None) -> str | None:
    """Return the name of the function that raised the exception."""
    traceback = None if error is None else error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return None if traceback is None else traceback.tb_frame.f_code.co_name


def _running_loop() -> asyncio.AbstractEventLoop | None:
    asyncio = sys.modules.get("asyncio")  # If asyncio is not imported, no event loop runs.
    try:
        return None if asyncio is None else asyncio.get_running_loop()
    except RuntimeError:
        return None
