"""Logging the exceptions that nobody catches: an opt-in, for the app's hooks are the app's.

What must stay true: whatever hook was there before is called as before, with or without us; and
undoing puts it back, or, where somebody else has hooked in since, makes ours do nothing.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from voyage_logger._levels import CRITICAL, ERROR

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType

    from voyage_logger._intake import Intake

UNCAUGHT = "uncaught_exception"


class Uncaught:
    """The hooks of one logger.

    Args:
        intake: Where entries go.
        loop: The event loop to watch; default: the one that runs in this thread, if any.
    """

    def __init__(self, intake: Intake, loop: asyncio.AbstractEventLoop | None) -> None:
        self._intake = intake
        self._is_undone = False
        self._before, sys.excepthook = sys.excepthook, self._on_exit
        self._before_thread, threading.excepthook = threading.excepthook, self._on_thread
        self._loop = loop or _running_loop()
        if self._loop is not None:
            self._before_task = self._loop.get_exception_handler()
            self._loop.set_exception_handler(self._on_task)

    def undo(self) -> None:
        """Puts back what was there; may be called again."""
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
        self._log(CRITICAL, "the program ended", error)
        self._before(kind, error, traceback)

    def _on_thread(self, args: threading.ExceptHookArgs) -> None:
        name = getattr(args.thread, "name", "?")
        if args.exc_type is not SystemExit:  # as the interpreter's own hook has it
            self._log(ERROR, f"thread {name} ended", args.exc_value)
        self._before_thread(args)

    def _on_task(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._log(ERROR, str(context.get("message")), context.get("exception"))
        if self._before_task is None:
            loop.default_exception_handler(context)
        else:
            self._before_task(loop, context)

    def _log(self, rank: int, what: str, error: BaseException | None) -> None:
        if self._is_undone or isinstance(error, KeyboardInterrupt):
            return
        fields: dict[str, Any] = {"event_name": UNCAUGHT}
        if error is not None:
            what = f"{what} with an uncaught {type(error).__name__}"
            fields["exc_info"] = error
        fields["method_name"] = _where(error)
        self._intake.take(rank, what[:1].upper() + what[1:], (), fields)


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


def capture(intake: Intake, loop: asyncio.AbstractEventLoop | None) -> Callable[[], None]:
    """Hooks in, and returns what undoes it."""
    return Uncaught(intake, loop).undo
