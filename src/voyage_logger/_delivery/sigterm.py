"""`flush_on_sigterm`: at SIGTERM, send queued entries, and then call the previous handler.

What must stay true: this module sets no handler unless the app calls `flush_on_sigterm`. The
previous handler is always called, no later than `shutdown_timeout` after the signal. If the process
continues, no entry is dropped.
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
    """At SIGTERM, send the queued entries of all loggers within `shutdown_timeout`.

    After the entries are sent, the previous handler is called. Python's default handler ends the
    process. If the process continues, entries that were not sent in time stay queued. If the signal
    comes while the client is already sending entries because of an exit or an earlier SIGTERM, the
    client first finishes this work, and then calls the previous handler.

    Without this function, SIGTERM ends Python immediately: exit hooks do not run, and queued
    entries are lost. With uvicorn you need this function, because uvicorn raises SIGTERM again
    after its shutdown. With gunicorn and Celery you do not need this function, because gunicorn and
    Celery exit normally after SIGTERM.

    Call this function in the main thread, after your own code has set its SIGTERM handler. A second
    call has no effect. Forked child processes inherit the handler, and send their own entries.

    On Windows, a process can handle SIGTERM only if the process itself raises the signal with
    `signal.raise_signal`. If another process ends this process, Windows does not call any handler.

    Raises:
        ConfigurationError: The function was not called in the main thread, or the present SIGTERM
            handler was not set in Python. Python can call only handlers that were set in Python.
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
    """A SIGTERM handler that sends entries, and then calls the handler that was set before."""

    previous: Handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if exit_and_fork.after_drain(_Previous(self.previous, number)):
            return
        try:
            if self.previous == signal.SIG_DFL:
                exit_and_fork.drain_all()  # pragma: no cover - coverage cannot measure this code
            else:
                exit_and_fork.flush_all()
        finally:  # Call the previous handler even if Ctrl-C has interrupted the sending.
            _Previous(self.previous, number, frame)()


@frozen
class _Previous:
    handler: Handler
    number: int
    frame: FrameType | None = None

    def __call__(self) -> None:
        if callable(self.handler):
            self.handler(self.number, self.frame)
        elif self.handler == signal.SIG_DFL:  # pragma: no cover - coverage cannot measure this code
            signal.signal(self.number, signal.SIG_DFL)
            signal.raise_signal(self.number)
