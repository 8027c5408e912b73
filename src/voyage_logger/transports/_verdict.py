"""Decide what an HTTP answer means for the batch.

The vendor's docs explain status 401 and the body of a 401 answer. For all other statuses, the
client follows RFC 9110 and the conventions of JSON APIs.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

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
_ERRORS = range(400, 600)
_BLANK = b" \t\r\n\xef\xbb\xbf"  # White space, and the mark at the beginning of some UTF-8 texts.


@frozen
class Answer:
    """The parts of an HTTP answer that the client reads."""

    status: int
    content_type: str  # The Content-Type header in lower case.
    retry_after: str | None
    location: str | None
    body: bytes  # The first part of the body, or b"" if the body could not be read.
    date: str | None = None  # The Date header, which is the time of the server's clock.
    proxy: str = ""  # The host and port of a proxy that may have made the answer itself.

    def __repr__(self) -> str:  # The body can contain a token.
        return f"Answer({self.status}, {self.content_type!r})"

    @property
    def is_success(self) -> bool:
        """True for a status from 200 to 299."""
        return self.status in _SUCCESS

    @property
    def is_page(self) -> bool:
        """True if the answer is an HTML page. HTML pages come from a proxy, not from the API.

        Some proxies send an HTML page with another content type. JSON never begins with `<`.
        """
        return self.content_type.startswith("text/html") or self.body.lstrip(_BLANK)[:1] == b"<"


def batch_outcome(answer: Answer, now: float, mask: Callable[[str], str] = str) -> Outcome:
    """Return the outcome of a batch request. `mask` removes secrets from the answer's text."""
    body = _json_in(answer)
    status = _meant_status(answer, body)
    if status in _SUCCESS and not answer.is_page:
        return Outcome(Kind.DELIVERED, status=answer.status)
    return Outcome(_kind(status), _words(answer, body, mask), status, _wanted_pause(answer, now))


def sign_in_outcome(answer: Answer, now: float, mask: Callable[[str], str] = str) -> Outcome:
    """Return the outcome of a failed sign-in, with the kind `TRY_AGAIN` or `BLOCKED`."""
    body = _json_in(answer)
    status = _meant_status(answer, body)
    kind = _kind(status)
    return Outcome(
        kind if kind is Kind.TRY_AGAIN else Kind.BLOCKED,
        f"sign-in: {_words(answer, body, mask)}",
        status,
        _wanted_pause(answer, now),
        is_sign_in=True,
    )


def _json_in(answer: Answer) -> dict[str, Any]:
    """Return the JSON object in the body. Return {} if there is none, or if it says no error."""
    if b'"' not in answer.body or (answer.is_success and b'"error"' not in answer.body):
        return {}
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):  # The body is not JSON or is nested too deeply.
        return {}
    return body if isinstance(body, dict) else {}


def _meant_status(answer: Answer, body: dict[str, Any]) -> int:
    """Return the status that the server means: an error in the body outweighs a status 2xx.

    Some gateways answer 200 and put the error of the API into the body. The vendor's errors have
    the keys "error" and "status". A body with other keys is no proof that the batch was refused.
    """
    said = body.get("status")
    if answer.is_success and isinstance(said, int) and said in _ERRORS and body.get("error"):
        return said
    return answer.status


def _kind(status: int) -> Kind:
    if status in _SUCCESS or status in _SERVER_ERROR:
        return Kind.TRY_AGAIN
    return _BY_STATUS.get(status, Kind.BLOCKED)


def _words(answer: Answer, body: dict[str, Any], mask: Callable[[str], str]) -> str:
    """Return the answer in one line: the status and, if the body is JSON, its error message."""
    parts = [str(body[key]) for key in ("error", "message", "detail") if body.get(key)]
    if answer.is_page:
        said = "an HTML page, not the API"
    elif answer.location and not answer.is_success:
        said = "a redirect, which is not followed: is the base URL right?"
    elif answer.is_success and not parts:
        said = "an answer without a token"
    else:
        said = mask(": ".join(parts))  # Mask first: `mask` does not find a secret that was cut.
    printable = "".join(char if char.isprintable() else " " for char in said[:_WORDS])
    through = f"through the proxy {answer.proxy} " if answer.proxy else ""
    return f"HTTP {answer.status} {through}{printable}".rstrip()


def _wanted_pause(answer: Answer, now: float) -> float | None:
    """Return the pause that the server asks for. Read a date with the server's own clock."""
    sent_at = None if answer.date is None else _date_in(answer.date)
    return parse_retry_after(answer.retry_after, now if sent_at is None else sent_at.timestamp())


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds of a `Retry-After` header. Return None if the header is not valid."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_CAP)  # Unlike `float`, `int` fails for very long texts.
    date = _date_in(text)
    return None if date is None else min(max(0.0, date.timestamp() - now), RETRY_AFTER_CAP)


def _date_in(text: str) -> datetime | None:
    """Return the date in a header. Return None if the date is not valid."""
    try:
        date = parsedate_to_datetime(text)
        date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
        date.timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return date
