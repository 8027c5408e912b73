"""Report the client's own problems to stderr, to `logging`, and to the user's function `on_error`.

What must stay true: a report raises no error and does not wait for stderr. A report contains no
secrets, entries or control characters, and a report never becomes an entry. For each cause of a
report, a process prints at most one line per minute, unless the argument `at_once` is True.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING

from voyage_logger._base.feedback import apart
from voyage_logger._base.fork_locks import loading
from voyage_logger._base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._base.errors import VoyageError

_logger = logging.getLogger("voyage_logger")
# If this logger had no handler, `logging` itself would also print each warning to stderr.
_logger.addHandler(logging.NullHandler())

QUIET_SECONDS = 60.0

# Each key is the cause of a report. Each value is the monotonic time when a line for this cause was
# last printed. No lock protects the dict: a forked child could inherit a lock that is held, and
# would then wait forever. Without a lock, two threads can print the same line, which does no harm.
_last_said: dict[str, float] = {}


class Diagnostics:
    """Report the problems of one logger to stderr, to `logging`, and to `on_error`. Thread-safe."""

    def __init__(
        self,
        on_error: Callable[[VoyageError], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_error = on_error
        self._inside = threading.local()  # `_inside.on_error` is True while `on_error` runs.
        self._clock = clock

    @property
    def is_inside_on_error(self) -> bool:
        """True while the calling thread runs the user's function `on_error`."""
        return getattr(self._inside, "on_error", False)

    def say(self, cause: str, message: str, *, at_once: bool = False) -> None:
        """Write a message to `logging` and to stderr.

        Unless `at_once` is True, stderr gets at most one line per minute for each cause.
        """
        message = printable(message)  # A server or an app's exception may have written the text.
        _to_logging(message)
        now = self._clock()
        last = _last_said.get(cause)
        if at_once or last is None or now - last >= QUIET_SECONDS:
            _last_said[cause] = now
            _to_stderr_at_once(f"voyage-logger: {message}\n")

    def report(
        self,
        cause: str,
        error: VoyageError,
        prefix: str = "",
        suffix: str = "",
        *,
        at_once: bool = False,
    ) -> None:
        """Write the error to `logging` and to stderr, and call `on_error` with the error.

        If `on_error` itself causes a report, this report does not call `on_error` again. Otherwise
        `on_error` might be called forever: `on_error` logs an entry, the entry is lost, the loss
        causes a report, and the report calls `on_error` again.
        """
        self.say(cause, f"{prefix}{error}{suffix}", at_once=at_once)
        if self._on_error is None or self.is_inside_on_error:
            return
        self._inside.on_error = True
        try:
            self._on_error(error)
        except Exception as failure:  # noqa: BLE001 - an error in the user's function must not stop the client
            self.say("on_error", f"on_error raised {type(failure).__name__}")
        finally:
            self._inside.on_error = False


def to_stderr(text: str) -> None:
    """Write a text to stderr. Do nothing if stderr is missing or broken."""
    try:
        # The app may have replaced stderr with an object that logs each line. `apart` makes sure
        # that the lines of the client do not become entries.
        apart(sys.stderr.write, text)
        apart(sys.stderr.flush)
    except Exception:  # noqa: BLE001 - If stderr fails, the client cannot print the failure.
        return


def _to_stderr_at_once(text: str) -> None:
    """Write a text to stderr, but only if stderr can take the text immediately.

    Waiting for a full pipe or a stopped terminal would delay a log call or the end of the program.
    """
    if takes_a_line(sys.stderr):
        to_stderr(text)


def takes_a_line(stream: object, seconds: float = 0.0) -> bool:
    """Return False if the stream cannot take a line within the given number of seconds.

    A pipe can take a line if the pipe has at least 4 KiB of free space.
    """
    try:
        with loading:
            from select import select  # noqa: PLC0415 - rarely needed

        number = stream.fileno()  # type: ignore[attr-defined]
        # If `seconds` is 0, gevent's `select` directly calls the operating system's `select`.
        return bool(select([], [number], [], seconds)[1])
    # `select` fails on Windows, and if the stream's descriptor is missing or greater than 1,023.
    except Exception:  # noqa: BLE001 - A stream that the app has made can raise any error.
        return True


def _to_logging(text: str) -> None:
    try:
        apart(_logger.warning, "%s", text)
    except Exception as error:  # noqa: BLE001 - a `logging` handler of the app may raise any error
        _to_stderr_at_once(f"voyage-logger: the app's logging raised {type(error).__name__}\n")
