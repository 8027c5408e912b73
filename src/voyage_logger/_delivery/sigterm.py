"""`flush_on_sigterm`: send queued entries at SIGTERM, then call the previous handler.

What must stay true: no handler is installed unless the user asks for it. The previous handler is
always called, at most `shutdown_timeout` later. No entry is dropped if the process goes on.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from voyage_logger._base.errors import ConfigurationError
from voyage_logger._base.frozen import frozen
from voyage_logger._delivery import exit_and_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers


def flush_on_sigterm() -> None:
    """Make SIGTERM send the queued entries of all loggers, within `shutdown_timeout`.

    Then the previous handler is called; Python's default handler ends the process. If the process
    goes on, entries that could not be sent in time stay queued. If exit or an earlier SIGTERM is
    already sending, the previous handler is called after the sending.

    Without this function, SIGTERM ends Python at once: exit hooks are not run, and queued entries
    are lost. uvicorn needs this function, because uvicorn raises the signal again after its
    shutdown. gunicorn and Celery turn SIGTERM into a regular exit, so they do not need it.
    Call this function in the main thread, after your own code has set its handler of SIGTERM. A
    second call does nothing. Forked children inherit the handler, and send their own entries.

    On Windows, only a SIGTERM of the process itself (`signal.raise_signal`) can be handled. Other
    processes end this one without calling a handler.

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
    """A handler of SIGTERM. Each has its own `previous`, so two handlers never call each other."""

    previous: Handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if exit_and_fork.after_drain(_Previous(self.previous, number)):
            return
        try:
            if self.previous == signal.SIG_DFL:
                exit_and_fork.drain_all()  # pragma: no cover - SIGTERM ends coverage, too
            else:
                exit_and_fork.flush_all()
        finally:  # Ctrl-C ends the sending, but the previous handler is still called
            _Previous(self.previous, number, frame)()


@frozen
class _Previous:
    """A call of the previous handler."""

    handler: Handler
    number: int
    frame: FrameType | None = None

    def __call__(self) -> None:
        if callable(self.handler):
            self.handler(self.number, self.frame)
        elif self.handler == signal.SIG_DFL:  # pragma: no cover - SIGTERM ends coverage, too
            signal.signal(self.number, signal.SIG_DFL)
            signal.raise_signal(self.number)
