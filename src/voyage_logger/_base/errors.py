"""The errors that a user can see, as one small tree.

::

    VoyageError
    ├── ConfigurationError     a constructor argument or environment variable is wrong or missing
    ├── AuthenticationError    the server refuses the API key and secret
    ├── ConnectionFailed       the server cannot be reached, or is not the API
    ├── DeliveryError          the server refuses batches; their entries stay queued
    └── EntriesLost            entries were lost: shed, rejected, or not sent before exit

A log call raises none of them. The constructor raises `ConfigurationError`; `verify()` and
`Transport.sign_in()` raise the first three. `on_error` receives every error but the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 200  # characters of a wrong value
# Longer texts for reasons, used if the result of the last attempt does not explain the loss.
_SAID = {"closed": "closed (logged after close(), or left when its time was over)"}


class VoyageError(Exception):
    """The base class of all errors of this package.

    Args:
        message: What happened, and what the user can do.
        status: The HTTP status of the answer that caused the error, or None.
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
        parameter: The name of the wrong argument or environment variable.
        value: The wrong value, or a description of the value if it may be a secret.
        rule: The end of the sentence "... must be ...".
    """

    def __init__(self, parameter: str, value: object, rule: str) -> None:
        super().__init__(f"{parameter}={_shown(value)}: must be {rule}")
        self.args = (parameter, value, rule)  # Pickle calls the class with these arguments.
        self.parameter = parameter
        self.value = value
        self.rule = rule


class AuthenticationError(VoyageError):
    """The server refuses the credentials."""


class ConnectionFailed(VoyageError):  # noqa: N818 - `ConnectionError` is a builtin
    """The server cannot be reached, is failing, or is not the Logs API.

    Attributes:
        is_transient: False if a later attempt would fail, too: the certificate is not trusted, or
            the base URL is wrong.
    """

    is_transient: bool = True


class DeliveryError(VoyageError):
    """The server refuses batches, but not because of their entries; the entries stay queued."""


class EntriesLost(VoyageError):  # noqa: N818 - it states what happened
    """Entries were rejected or dropped since the last report.

    Args:
        count: The number of lost entries.
        levels: The number of lost entries of each level.
        reasons: The number of lost entries for each reason.
        detail: What the server said of the last entry that it rejected.
        kept: The number of rejected entries that the spool keeps in the dead-letter file.
        problem: The result of the last attempt before the time for sending ended, or "".
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
        # Pickle calls the class with these arguments.
        self.args = (count, levels, reasons, detail, kept, problem)
        self.count = count
        self.levels = levels
        self.reasons = reasons
        self.detail = detail
        self.kept = kept
        self.problem = problem


def _shown(value: object) -> str:
    """Return the repr of a wrong value, cut to a readable length."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the `__repr__` of a foreign class may raise anything
        return f"<a {type(value).__name__} without a repr>"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def entries(count: int) -> str:
    """Return a number of entries in words."""
    return f"{count} entry" if count == 1 else f"{count} entries"


def fate(count: int, kept: int) -> str:
    """Return in words that `count` entries are lost, of which `kept` are dead letters."""
    if not kept:
        return f"{entries(count)} lost"
    if kept == count:
        return f"{entries(count)} rejected, and kept in the dead-letter file"
    return f"{entries(count)} lost or rejected, {kept} of them kept in the dead-letter file"


def tally(counts: Mapping[str, int]) -> str:
    """Return counts in words: "3 info, 1 error"."""
    return ", ".join(f"{count} {name}" for name, count in counts.items())
