"""The client's own words: to stderr, to the standard library's logging, and to `on_error`.

What must stay true: nothing here raises or waits, no secret and no entry is ever printed, stderr
sees at most one line per cause and minute in a process, and no line comes back as an entry.
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
_logger.addHandler(logging.NullHandler())  # else logging's last resort prints each line again

QUIET_SECONDS = 60.0

# When each cause was last said, by the monotonic clock. Without a lock, for a fork must not copy a
# held one: two threads at once can at worst say the same line twice.
_last_said: dict[str, float] = {}


class Diagnostics:
    """Reports trouble to the people around one logger.

    Args:
        on_error: The user's function for errors, or None.
        clock: The monotonic clock, seconds.

    Thread-safe.
    """

    def __init__(
        self,
        on_error: Callable[[VoyageError], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_error = on_error
        self._inside = threading.local()  # whether a thread is inside `on_error`
        self._clock = clock

    @property
    def is_inside_on_error(self) -> bool:
        """True if the calling thread is inside the user's function."""
        return getattr(self._inside, "on_error", False)

    def say(self, cause: str, message: str, *, at_once: bool = False) -> None:
        """One line for people, unless the same cause was said within the last minute.

        Args:
            cause: What kind of trouble this is; lines are limited by it.
            message: The line, without secrets and payloads.
            at_once: Say it in any case; the caller keeps the limit.
        """
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
        """Says the error as a line and hands it to `on_error`, whose own errors cost nothing.

        Not to one that causes the error: at exit, an entry that it logs may be lost on the spot.
        """
        self.say(cause, f"{prefix}{error}{suffix}", at_once=at_once)
        if self._on_error is None or self.is_inside_on_error:
            return
        self._inside.on_error = True
        try:
            self._on_error(error)
        except Exception as failure:  # noqa: BLE001 - the user's function must not stop delivery
            self.say("on_error", f"on_error raised {type(failure).__name__}")
        finally:
            self._inside.on_error = False


def to_stderr(text: str) -> None:
    """Writes to stderr in one piece, or not at all where there is none."""
    try:
        # An app may have put something in its place that logs: no line of ours makes an entry.
        apart(sys.stderr.write, text)
        apart(sys.stderr.flush)
    # None under pythonw, closed by a daemon, a broken pipe, an app's own object: nobody listens.
    except Exception:  # noqa: BLE001 - there is no place left to say it
        return


def _to_stderr_at_once(text: str) -> None:
    """The same for a line of ours, unless it would have to wait for a reader.

    A pipe that nobody reads, or a terminal that has been stopped, must not hold up a log call or
    the exit. What could not be said there has been told to `logging`, `on_error` and `stats()`.
    """
    if takes_a_line(sys.stderr):
        to_stderr(text)


def takes_a_line(stream: object, seconds: float = 0.0) -> bool:
    """False if a write to the stream would wait, and still would after so many seconds.

    A pipe counts as free from 4 KiB of room on.
    """
    try:
        from select import select  # noqa: PLC0415 - rarely wanted

        number = stream.fileno()  # type: ignore[attr-defined]
        # With the time limit of 0 it is the system's own under gevent, too.
        return bool(select([], [number], [], seconds)[1])
    # No file, or one that cannot be asked: on Windows, or with a number beyond 1,023.
    except Exception:  # noqa: BLE001 - the stream may be an app's own object
        return True


def _to_logging(text: str) -> None:
    try:
        apart(_logger.warning, "%s", text)
    except Exception as error:  # noqa: BLE001 - a user's filter or handler may be broken
        _to_stderr_at_once(f"voyage-logger: the app's logging raised {type(error).__name__}\n")
