"""Report the client's own trouble on stderr, in `logging`, and to `on_error`.

What must stay true: a report never raises and never waits. A report contains no secret and no
entry, and never becomes an entry. A process prints at most one line a minute for each cause.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING

from voyage_logger._base.feedback import apart

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._base.errors import VoyageError

_logger = logging.getLogger("voyage_logger")
# Without a handler, `logging` would print each line to stderr, too.
_logger.addHandler(logging.NullHandler())

QUIET_SECONDS = 60.0

# When each cause was last on stderr, by the monotonic clock. The dict has no lock, because a fork
# could copy a held lock. At worst, two threads print the same line at the same time.
_last_said: dict[str, float] = {}


class Diagnostics:
    """Report the trouble of one logger to stderr, to `logging`, and to `on_error`. Thread-safe."""

    def __init__(
        self,
        on_error: Callable[[VoyageError], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_error = on_error
        self._inside = threading.local()  # The attribute `on_error` is True inside `on_error`.
        self._clock = clock

    @property
    def is_inside_on_error(self) -> bool:
        """True if the calling thread runs the user's function."""
        return getattr(self._inside, "on_error", False)

    def say(self, cause: str, message: str, *, at_once: bool = False) -> None:
        """Write a line to `logging`, and, at once or at most once a minute per cause, to stderr."""
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
        """Write the error as a line, and call `on_error` with it.

        A report from inside `on_error` does not call `on_error` again. At exit, an entry that
        `on_error` logs may be lost at once, and each report of such a loss would log another entry.
        """
        self.say(cause, f"{prefix}{error}{suffix}", at_once=at_once)
        if self._on_error is None or self.is_inside_on_error:
            return
        self._inside.on_error = True
        try:
            self._on_error(error)
        except Exception as failure:  # noqa: BLE001 - an error of the user's function must not stop delivery
            self.say("on_error", f"on_error raised {type(failure).__name__}")
        finally:
            self._inside.on_error = False


def to_stderr(text: str) -> None:
    """Write a text to stderr; do nothing if stderr is missing or broken."""
    try:
        # An app may replace stderr with an object that logs. Our lines must not become entries.
        apart(sys.stderr.write, text)
        apart(sys.stderr.flush)
    # stderr is None under pythonw, closed in a daemon, a broken pipe, or an object of the app.
    except Exception:  # noqa: BLE001 - there is no other place to report this
        return


def _to_stderr_at_once(text: str) -> None:
    """Write a text to stderr, unless the write would wait.

    A full pipe without a reader, or a stopped terminal, must not delay a log call or the exit.
    """
    if takes_a_line(sys.stderr):
        to_stderr(text)


def takes_a_line(stream: object, seconds: float = 0.0) -> bool:
    """Return False if a write to the stream would still have to wait after `seconds`.

    A pipe counts as ready if it has room for 4 KiB.
    """
    try:
        from select import select  # noqa: PLC0415 - rarely needed

        number = stream.fileno()  # type: ignore[attr-defined]
        # If the limit is 0, the `select` of gevent calls the system's function, too.
        return bool(select([], [number], [], seconds)[1])
    # `select` fails for an object without a file, on Windows, and for descriptors above 1,023.
    except Exception:  # noqa: BLE001 - the stream may be an object of the app
        return True


def _to_logging(text: str) -> None:
    try:
        apart(_logger.warning, "%s", text)
    except Exception as error:  # noqa: BLE001 - a filter or handler of the app may raise
        _to_stderr_at_once(f"voyage-logger: the app's logging raised {type(error).__name__}\n")
