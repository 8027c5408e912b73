"""Decide what an HTTP answer means for the batch.

The vendor's docs explain status 401 and the body of a 401 answer. For all other statuses, the
client follows RFC 9110 and the conventions of JSON APIs.
"""

from __future__ import annotations

import json
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from voyage_logger._base.frozen import frozen
from voyage_logger.transports._outcome import RETRY_AFTER_CAP, Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS = 200  # An error message shows at most this many characters of the server's answer.

_BY_STATUS = {
    400: Kind.REFUSED,
    401: Kind.UNAUTHORIZED,
    408: Kind.TRY_AGAIN,
    413: Kind.TOO_LARGE,
    422: Kind.REFUSED,
    425: Kind.TRY_AGAIN,
    429: Kind.TRY_AGAIN,
}
_SUCCESS = range(200, 300)
_SERVER_ERROR = range(500, 600)


@frozen
class Answer:
    """The parts of an HTTP answer that the client reads."""

    status: int
    content_type: str  # The Content-Type header in lower case.
    retry_after: str | None
    location: str | None
    body: bytes  # The first part of the body, or b"" if the body could not be read.

    def __repr__(self) -> str:  # The body can contain a token.
        return f"Answer({self.status}, {self.content_type!r})"

    @property
    def is_success(self) -> bool:
        """True for a status from 200 to 299."""
        return self.status in _SUCCESS

    @property
    def is_page(self) -> bool:
        """True if the answer is an HTML page. HTML pages come from a proxy, not from the API."""
        return self.content_type.startswith("text/html")


def batch_outcome(answer: Answer, now: float, mask: Callable[[str], str] = str) -> Outcome:
    """Return the outcome of a batch request. `mask` removes secrets from the answer's text."""
    if answer.is_success and not answer.is_page:
        return Outcome(Kind.DELIVERED, status=answer.status)
    return Outcome(
        _kind(answer),
        _words(answer, mask),
        answer.status,
        parse_retry_after(answer.retry_after, now),
    )


def sign_in_outcome(answer: Answer, now: float, mask: Callable[[str], str] = str) -> Outcome:
    """Return the outcome of a failed sign-in, with the kind `TRY_AGAIN` or `BLOCKED`."""
    kind = _kind(answer)
    return Outcome(
        kind if kind is Kind.TRY_AGAIN else Kind.BLOCKED,
        f"sign-in: {_words(answer, mask)}",
        answer.status,
        parse_retry_after(answer.retry_after, now),
        is_sign_in=True,
    )


def _kind(answer: Answer) -> Kind:
    if answer.is_success or answer.status in _SERVER_ERROR:
        return Kind.TRY_AGAIN
    return _BY_STATUS.get(answer.status, Kind.BLOCKED)


def _words(answer: Answer, mask: Callable[[str], str]) -> str:
    """Return the answer in one line: the status and, if the body is JSON, its error message."""
    said = ""
    if answer.is_page:
        said = "an HTML page, not the API"
    elif answer.location:
        said = "a redirect, which is not followed: is the base URL right?"
    elif answer.is_success:
        said = "an answer without a token"
    else:
        try:
            body = json.loads(answer.body)
        except (ValueError, RecursionError):  # The body is not JSON or is nested too deeply.
            body = None
        if isinstance(body, dict):
            parts = [str(body[key]) for key in ("error", "message", "detail") if body.get(key)]
            said = mask(": ".join(parts))  # Mask first: `mask` does not find a secret that was cut.
    printable = "".join(char if char.isprintable() else " " for char in said[:_WORDS])
    return f"HTTP {answer.status} {printable}".rstrip()


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds of a `Retry-After` header. Return None if the header is not valid."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_CAP)  # Unlike `float`, `int` fails for very long texts.
    try:
        date = parsedate_to_datetime(text)
        then = (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(0.0, then - now), RETRY_AFTER_CAP)
