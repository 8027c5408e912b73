"""The exception classes that a user of this package can see.

::

    VoyageError
    ├── ConfigurationError     a constructor argument or environment variable is wrong or missing
    ├── AuthenticationError    the server refuses the API key and secret
    ├── ConnectionFailed       the server cannot be reached, or is not the API
    ├── DeliveryError          the server refuses batches; their entries stay queued
    └── EntriesLost            entries were lost: shed, rejected, or not sent before exit

A log call never raises a `VoyageError`. A constructor can raise `ConfigurationError`. `verify()`
and `Transport.sign_in()` can raise `ConfigurationError`, `AuthenticationError` or
`ConnectionFailed`. The function `on_error` receives all errors except `ConfigurationError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._base.stats import CLOSED

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 200  # An error message shows at most this number of characters of a value.
# The message of an `EntriesLost` without a `problem` uses this text for the reason "closed".
_SAID = {CLOSED: "closed (logged after close(), or left when its time was over)"}


class VoyageError(Exception):
    """The base class of all errors of this package.

    Args:
        message: What happened, and what the user can do.
        status: The HTTP status code of the server's answer, or None if no answer caused the error.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


class ConfigurationError(VoyageError, ValueError):
    """A constructor argument or an environment variable is wrong or missing.

    Args:
        parameter: The name of the wrong argument or environment variable.
        value: The wrong value, or only a description of the value if it might be a secret.
        rule: The text after "must be" in the error message, such as "True or False".
    """

    def __init__(self, parameter: str, value: object, rule: str) -> None:
        super().__init__(f"{parameter}={_shown(value)}: must be {rule}")
        self.args = (parameter, value, rule)  # Python unpickles an error from its `args`.
        self.parameter = parameter
        self.value = value
        self.rule = rule


class AuthenticationError(VoyageError):
    """The server refuses the API key and secret."""


class ConnectionFailed(VoyageError):  # noqa: N818 - Python already has a `ConnectionError`
    """The server cannot be reached, is failing, or is not the Logs API.

    Attributes:
        is_transient: False if every later attempt would also fail, for example because the base
            URL is wrong or the server's certificate is not trusted.
    """

    is_transient: bool = True


class DeliveryError(VoyageError):
    """The server refuses batches for a reason other than their entries. The entries stay queued."""


class EntriesLost(VoyageError):  # noqa: N818 - the name is clear without `Error`
    """Entries were rejected or dropped since the previous report of losses.

    Args:
        count: The number of lost entries.
        levels: The number of lost entries for each level.
        reasons: The number of lost entries for each reason.
        detail: The server's explanation for the last entry that it rejected, or "".
        kept: The number of rejected entries that were stored in the dead-letter file.
        problem: Why the client could not send the entries before the logger was closed, or "".
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
        self.args = (count, levels, reasons, detail, kept, problem)
        self.count = count
        self.levels = levels
        self.reasons = reasons
        self.detail = detail
        self.kept = kept
        self.problem = problem


def _shown(value: object) -> str:
    """Return the repr of a wrong value. Cut the repr if it is too long to read."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the value's own `__repr__` may raise any error
        return f"<a {type(value).__name__} without a repr>"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def entries(count: int) -> str:
    """Return the count with the correct noun, such as "1 entry" or "3 entries"."""
    return f"{count} entry" if count == 1 else f"{count} entries"


def fate(count: int, kept: int) -> str:
    """Return a text that says how many entries were lost, and how many are dead letters."""
    if not kept:
        return f"{entries(count)} lost"
    if kept == count:
        return f"{entries(count)} rejected, and kept in the dead-letter file"
    return f"{entries(count)} lost or rejected, {kept} of them kept in the dead-letter file"


def tally(counts: Mapping[str, int]) -> str:
    """Return the counts as a text, such as "3 info, 1 error"."""
    return ", ".join(f"{count} {name}" for name, count in counts.items())
