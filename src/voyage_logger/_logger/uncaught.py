"""Logging the exceptions that nobody catches: an opt-in, for the app's hooks are the app's.

What must stay true: whatever hook was there before is called as before, with or without us; a
logger tells of an exception once, however often it has hooked in; and undoing puts back what was
there, or, where somebody else has hooked in since, makes ours do nothing.
"""

from __future__ import annotations

import sys
import threading
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from voyage_logger._base.event_names import UNCAUGHT_EXCEPTION
from voyage_logger._base.levels import CRITICAL, ERROR
from voyage_logger._logger.context import AMBIENT, within

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType

    from voyage_logger._logger.context import Layer
    from voyage_logger._logger.log_call import LogCalls

_thread = threading.local()  # `told`: which loggers have told of what this thread is passing on


class Uncaught:
    """The hooks of one logger.

    Args:
        intake: Where entries go.
        loop: The event loop to watch; default: the one that runs in this thread, if any.
    """

    def __init__(self, calls: LogCalls, loop: asyncio.AbstractEventLoop | None) -> None:
        self._calls = calls
        self._is_undone = False
        calls.users.captures += 1
        self._before, sys.excepthook = sys.excepthook, self._on_exit
        self._before_thread, threading.excepthook = threading.excepthook, self._on_thread
        self._loop = loop or _running_loop()
        if self._loop is not None:
            self._before_task = self._loop.get_exception_handler()
            self._loop.set_exception_handler(self._on_task)

    def undo(self) -> None:
        """Puts back what was there; may be called again."""
        self._calls.users.captures -= not self._is_undone
        self._is_undone = True
        # Bound methods are made anew at each look, so they are equal, never identical.
        if sys.excepthook == self._on_exit:
            sys.excepthook = self._before
        if threading.excepthook == self._on_thread:
            threading.excepthook = self._before_thread
        if self._loop is not None and self._loop.get_exception_handler() == self._on_task:
            self._loop.set_exception_handler(self._before_task)

    def _on_exit(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        self._tell(
            error,
            partial(self._log, CRITICAL, "the program ended", error),
            partial(self._before, kind, error, traceback),
        )

    def _on_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_type is SystemExit:  # no defect, as the interpreter's own hook has it
            self._before_thread(args)
            return
        name = getattr(args.thread, "name", "?")
        self._tell(
            args,
            partial(self._log, ERROR, f"thread {name} ended", args.exc_value),
            partial(self._before_thread, args),
        )

    def _on_task(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self._before_task is None:
            pass_on: Callable[[], object] = partial(loop.default_exception_handler, context)
        else:
            pass_on = partial(self._before_task, loop, context)
        self._tell(context, partial(self._log_task, context), pass_on)

    def _tell(self, what: object, log: Callable[[], None], pass_on: Callable[[], object]) -> None:
        """Logs, unless another hook of this logger just has, and calls what was there before.

        Args:
            what: The object that hooks pass on: others may be told of meanwhile, such as a lost
                task that is collected while this one is printed.
            log: Makes the entry.
            pass_on: Calls the hook that was there.
        """
        told: tuple[object, ...] = getattr(_thread, "told", ())
        key = (self._calls.users, id(what))
        if self._is_undone or key in told:
            pass_on()
            return
        log()
        _thread.told = (*told, key)
        try:
            pass_on()
        finally:
            _thread.told = told

    def _log_task(self, context: dict[str, Any]) -> None:
        with within(_layer_of(context, AMBIENT.get())):
            self._log(ERROR, str(context.get("message")), context.get("exception"))

    def _log(self, rank: int, what: str, error: BaseException | None) -> None:
        if isinstance(error, KeyboardInterrupt) or id(error) == self._calls.users.left_with:
            return
        _take(self._calls, rank, what, error)


def log_leaving(calls: LogCalls, error: BaseException) -> None:
    """Logs an exception that ends the logger's `with` block, if uncaught ones are captured.

    By the time the hooks hear of it, the logger is closed.
    """
    if not calls.users.captures or not isinstance(error, Exception):
        return
    calls.users.left_with = id(error)
    is_main = threading.current_thread() is threading.main_thread()
    _take(calls, CRITICAL if is_main else ERROR, "the logger's `with` block ended", error)


def _take(calls: LogCalls, rank: int, what: str, error: BaseException | None) -> None:
    fields: dict[str, Any] = {"event_name": UNCAUGHT_EXCEPTION}
    if error is not None:
        what = f"{what} with an uncaught {type(error).__name__}"
        fields["exc_info"] = error
    fields["method_name"] = _where(error)
    calls.take(rank, what[:1].upper() + what[1:], (), fields)


def _layer_of(context: dict[str, Any], present: Layer | None) -> Layer | None:
    """What is ambient where the exception comes from.

    A lost task is told of when it is collected, which may be amid anybody's work. So is a lost
    future, which belongs to nobody, and so does a task before Python 3.12: it does not say whose
    it is.
    """
    lost = context.get("task") or context.get("future")
    source: Any = lost or context.get("handle")
    found = source.get_context() if hasattr(source, "get_context") else None
    if isinstance(found, Context):
        return found.get(AMBIENT)
    return present if lost is None else None


def _where(error: BaseException | None) -> str | None:
    """The function in which the exception was raised."""
    traceback = None if error is None else error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return None if traceback is None else traceback.tb_frame.f_code.co_name


def _running_loop() -> asyncio.AbstractEventLoop | None:
    asyncio = sys.modules.get("asyncio")  # who has not imported it runs no loop
    try:
        return None if asyncio is None else asyncio.get_running_loop()
    except RuntimeError:
        return None


def capture(calls: LogCalls, loop: asyncio.AbstractEventLoop | None) -> Callable[[], None]:
    """Hooks in, and returns what undoes it."""
    return Uncaught(calls, loop).undo
