"""SIGTERM, for programs that do not handle it: send what is queued, then do what was there before.

What must stay true: nothing is installed unless the user asks for it; what was there before happens
in any case, at most `shutdown_timeout` later; nothing is given up if the process goes on.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from voyage_logger._base.errors import ConfigurationError
from voyage_logger._base.frozen import frozen
from voyage_logger._delivery import process

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers


def flush_on_sigterm() -> None:
    """Has SIGTERM send what all loggers of the process have queued, within `shutdown_timeout`.

    Then what was there before happens: by Python's default the process dies of the signal, as it
    would have without this; a handler is called, and a process that ignores SIGTERM goes on. In
    these two cases entries that could not be sent in time stay queued. While exit, or an earlier
    SIGTERM, is already sending what is queued, what was there before happens after that.

    Without this function Python dies of SIGTERM at once, exit hooks are not run and what is queued
    is lost. uvicorn needs it as well, for it raises the signal again after its shutdown. It is of
    no use in servers that turn SIGTERM into a regular exit, as gunicorn and Celery do. Call it in
    the main thread, after your own code has set a handler for SIGTERM, if it does. Called again, it
    does nothing. Forked children inherit it, and send their own entries.

    On Windows, SIGTERM comes from the process itself only (`signal.raise_signal`): what other
    processes send there ends this one without a word.

    Raises:
        ConfigurationError: This is not the main thread, or the present handler was not set from
            Python and cannot be called.
    """
    current = threading.current_thread()
    if current is not threading.main_thread():
        raise ConfigurationError("flush_on_sigterm", current.name, "called in the main thread")
    previous = signal.getsignal(signal.SIGTERM)
    if isinstance(previous, _Chain):
        return
    if previous is None:
        raise ConfigurationError(
            "flush_on_sigterm", None, "called where the signal's handler is Python's own"
        )
    signal.signal(signal.SIGTERM, _Chain(previous))


@frozen
class _Chain:
    """The handler, which knows the one before: two that are installed must not call each other."""

    previous: Handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if process.after_drain(_Rest(self.previous, number)):
            return
        try:
            if self.previous == signal.SIG_DFL:
                process.drain_all()
            else:
                process.flush_all()
        finally:  # Ctrl-C, too, ends the sending only
            _Rest(self.previous, number, frame)()


@frozen
class _Rest:
    """What was there before."""

    previous: Handler
    number: int
    frame: FrameType | None = None

    def __call__(self) -> None:
        if callable(self.previous):
            self.previous(self.number, self.frame)
        elif self.previous == signal.SIG_DFL:
            signal.signal(self.number, signal.SIG_DFL)
            signal.raise_signal(self.number)
