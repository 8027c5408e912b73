"""The errors a user can meet, one small tree.

::

    VoyageError
    ├── ConfigurationError     a constructor argument or environment variable is wrong or missing
    ├── AuthenticationError    the server refuses the API key and secret
    ├── ConnectionFailed       the server cannot be reached, or what answers is not the API
    ├── DeliveryError          entries are held back: the server refuses what it should take
    └── EntriesLost            entries were given up: shed, rejected, or left at exit

A log call raises none of them. The constructor raises `ConfigurationError`; `verify()` and
`Transport.sign_in()` raise the first three; `on_error` is handed any but the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 200  # characters
# A reason that does not speak for itself, unless what the last attempt came to is said.
_SAID = {"closed": "closed (logged after close(), or left when its time was over)"}


class VoyageError(Exception):
    """The base of all errors of this package.

    Args:
        message: What happened, and what to do about it.
        status: The HTTP status of the answer that caused it, if there was one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


class ConfigurationError(VoyageError, ValueError):
    """A setting breaks its rule.

    Args:
        parameter: The argument or environment variable at fault.
        value: What was given; a description in its place for secrets.
        rule: What would be right, as the end of the sentence "... must be ...".
    """

    def __init__(self, parameter: str, value: object, rule: str) -> None:
        super().__init__(f"{parameter}={_shown(value)}: must be {rule}")
        self.args = (parameter, value, rule)  # what pickle calls the class with
        self.parameter = parameter
        self.value = value
        self.rule = rule


class AuthenticationError(VoyageError):
    """The server refuses the credentials."""


class ConnectionFailed(VoyageError):  # noqa: N818 - `ConnectionError` is a builtin
    """The server cannot be reached, is failing, or is not the Logs API.

    Attributes:
        is_transient: False if it will not pass by itself: a certificate that is not trusted, a
            wrong base URL.
    """

    is_transient: bool = True


class DeliveryError(VoyageError):
    """The server refuses batches for a reason that is not the entries'; they stay queued."""


class EntriesLost(VoyageError):  # noqa: N818 - it states what happened
    """Entries were given up since the last report.

    Args:
        count: How many.
        levels: How many of each level.
        reasons: How many for each reason.
        detail: What the server said of the last one it rejected.
        kept: How many of them the server rejected and the spool keeps, in the dead-letter file.
        problem: What the last attempt had come to when time was over: the cause of a loss at the
            end, if there was such an attempt.
    """

    def __init__(
        self,
        count: int,
        levels: Mapping[str, int],
        reasons: Mapping[str, int],
        detail: str = "",
        kept: int = 0,
        problem: str = "",
    ) -> None:
        said = f"; the server said: {detail}" if detail else ""
        said += f"; the last attempt: {problem}" if problem else ""
        why = tally(
            reasons if problem else {_SAID.get(name, name): n for name, n in reasons.items()}
        )
        super().__init__(f"{fate(count, kept)} ({tally(levels)}): {why}{said}")
        # What pickle calls the class with.
        self.args = (count, levels, reasons, detail, kept, problem)
        self.count = count
        self.levels = levels
        self.reasons = reasons
        self.detail = detail
        self.kept = kept
        self.problem = problem


def _shown(value: object) -> str:
    """A wrong value as far as it helps: it may be of any size, and its repr may be broken."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - any foreign method may be broken
        return f"<a {type(value).__name__} without a repr>"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def entries(count: int) -> str:
    """A number of entries as a person says it."""
    return f"{count} entry" if count == 1 else f"{count} entries"


def fate(count: int, kept: int) -> str:
    """What became of a number of entries, of which so many are kept in the dead-letter file."""
    if not kept:
        return f"{entries(count)} lost"
    if kept == count:
        return f"{entries(count)} rejected, and kept in the dead-letter file"
    return f"{entries(count)} lost or rejected, {kept} of them kept in the dead-letter file"


def tally(counts: Mapping[str, int]) -> str:
    """Counts as a person reads them: "3 info, 1 error"."""
    return ", ".join(f"{count} {name}" for name, count in counts.items())
