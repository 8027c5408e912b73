"""The two ways to make the server misbehave: a `Fault` for one request, `Rules` for all requests.

A `Fault` without arguments changes nothing. So `server.script(Fault(), Fault(status=503))` changes
only the answer to the second request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

# `Rules(expires_in=OMIT)` removes `expires_in` from the sign-in answer. `OMIT` is a string, so that
# the JSON API can also accept `OMIT`.
OMIT: Final = "omit"

JSON_TYPE: Final = "application/json"

# A delay has a limit, because `Event.wait` raises OverflowError if the timeout is extremely long.
_MAX_DELAY_SECONDS = 3600.0
_MAX_SHOWN = 80  # An error message shows at most this number of characters of a wrong value.
_MIN_STATUS, _MAX_STATUS = 200, 599
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The server itself sets the headers in `_FRAMING`, so a fault must not contain them.
_FRAMING = frozenset({"content-length", "content-type", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A scripted misbehavior for one request.

    Args:
        status: Answer with this HTTP status (200 to 599). The server does not check the request,
            and stores no entry. Default: the request is handled as usual.
        headers: Headers to add to the answer, for example `{"Retry-After": "2"}`.
        body: The body of the answer. Default: an error in the vendor's format. `body` is allowed
            only together with `status`.
        content_type: The Content-Type of an answer with a scripted `status`. Default:
            "application/json".
        delay: Seconds to wait before the answer is sent (default: 0). The entries of a batch are
            stored before the wait.
        hang: Store nothing and send no answer. The connection stays open until one side closes it.
        reset: Send a TCP reset instead of an answer. With "before", the request is not
            handled. With "after", the entries are stored before the reset.
        cut: Send the headers and only half of the body, and then close the connection. The header
            Content-Length gives the length of the whole body.

    Raises:
        ValueError: An argument is invalid, or two arguments contradict each other.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    content_type: str = JSON_TYPE
    delay: float = 0.0
    hang: bool = False
    reset: Literal["before", "after"] | None = None
    cut: bool = False

    def __post_init__(self) -> None:
        if self.status is not None:
            _require_int("status", self.status, _MIN_STATUS, _MAX_STATUS)
        _require_headers(self.headers)
        _require_line("content_type", self.content_type)
        body: object = self.body
        is_body = body is None or (isinstance(body, str) and _is_encodable(body))
        _require("body", body, "a string that UTF-8 can represent", ok=is_body)
        _require(
            "delay",
            self.delay,
            f"a number of seconds from 0 to {_MAX_DELAY_SECONDS:g}",
            ok=_is_number(self.delay) and 0 <= self.delay <= _MAX_DELAY_SECONDS,
        )
        _require("hang", self.hang, "true or false", ok=isinstance(self.hang, bool))
        _require("cut", self.cut, "true or false", ok=isinstance(self.cut, bool))
        _require("reset", self.reset, '"before" or "after"', ok=self.reset in _RESETS)
        self._require_harmony()

    def _require_harmony(self) -> None:
        if self.body is not None and self.status is None:
            raise ValueError("body needs a status: it belongs to a scripted answer")
        if [self.hang, self.reset is not None, self.cut].count(True) > 1:
            raise ValueError("hang, reset and cut exclude each other: each ends the connection")
        if self.status is not None and (self.hang or self.reset is not None):
            raise ValueError("status excludes hang and reset: they send no answer")
        if self.hang and self.delay:
            raise ValueError("delay excludes hang: a hanging request has no answer to delay")
        if self.cut and (self.body == "" or self.status in BODILESS):
            raise ValueError("cut needs a body to cut")


BODILESS: Final = frozenset({204, 304})

_RESETS = (None, "before", "after")


def html_ok() -> Fault:
    """Return a fault that answers 200 with a web page, like the login page of a public Wi-Fi."""
    return Fault(status=200, body="<!doctype html><title>Welcome</title>", content_type="text/html")


def redirect(location: str, status: int = 307) -> Fault:
    """Return a fault that redirects to a URL. A client must not send its token to the new URL.

    Args:
        location: The new URL.
        status: 301, 302, 303, 307 or 308 (default: 307). With 307, a client sends the body again.
    """
    return Fault(status=status, headers={"Location": location})


def slow_down(retry_after: str, status: int = 429) -> Fault:
    """Return a fault that sets the header `Retry-After` to a number of seconds or an HTTP date."""
    return Fault(status=status, headers={"Retry-After": retry_after})


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for all requests. With the default rules, the server does not misbehave.

    Args:
        max_body_bytes: The largest size of the body of a batch, in bytes, before decompression. A
            request with a larger body gets an answer with the status 413.
        max_entries: The largest number of entries in a batch. A larger batch gets the status 422.
        refuse_containing: Refuse a whole batch if the message of one entry contains this text. If
            the text is empty, all batches are refused.
        refuse_status: The status of batches that `refuse_containing` refuses: 400 (default) or 422.
        revoke_after: Revoke a token after the server has stored this many batches sent with it.
        expires_in: The value of `expires_in` in the sign-in answer (default: 3600). Any value that
            JSON can represent is allowed, so that a client meets wrong values. `OMIT` removes
            `expires_in` from the answer. If the value is a positive number, a token expires after
            this number of seconds. With any other value, a token expires after 3600 seconds.

    Raises:
        ValueError: An argument is out of range or has a wrong type.
    """

    max_body_bytes: int | None = None
    max_entries: int | None = None
    refuse_containing: str | None = None
    refuse_status: int = 400
    revoke_after: int | None = None
    expires_in: object = 3600

    def __post_init__(self) -> None:
        for name in ("max_body_bytes", "max_entries", "revoke_after"):
            if (value := getattr(self, name)) is not None:
                _require_int(name, value, 1, None)
        marker: object = self.refuse_containing
        _require("refuse_containing", marker, "a text", ok=marker is None or type(marker) is str)
        status: object = self.refuse_status
        is_status = type(status) is int and status in (400, 422)
        _require("refuse_status", status, "400 or 422", ok=is_status)
        # A value that JSON cannot represent would make each sign-in fail.
        _require("expires_in", self.expires_in, "a JSON value", ok=_is_json(self.expires_in))


def _require(name: str, value: object, rule: str, *, ok: bool) -> None:
    if not ok:
        raise ValueError(f"{name} must be {rule}, not {_shown(value)}")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer with too many digits, or a deep list
        text = f"this {type(value).__name__}"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _require_int(name: str, value: object, low: int, high: int | None) -> None:
    rule = f"a whole number of at least {low}" if high is None else f"from {low} to {high}"
    ok = type(value) is int and low <= value and (high is None or value <= high)
    _require(name, value, rule, ok=ok)


def _require_headers(headers: Mapping[str, str]) -> None:
    _require("headers", headers, "a mapping of names to values", ok=isinstance(headers, Mapping))
    items: Iterable[tuple[object, object]] = headers.items()
    for name, value in items:
        is_name = isinstance(name, str) and _HEADER_NAME.fullmatch(name) is not None
        _require("a header's name", name, "a token of HTTP, such as Retry-After", ok=is_name)
        _require_line(f"header {name}", value)
        if str(name).lower() in _FRAMING:
            raise ValueError(f"header {name} must not be set here: use content_type, or cut")


def _require_line(name: str, value: object) -> None:
    ok = isinstance(value, str) and value.isprintable() and value.isascii()
    _require(name, value, "one line of printable ASCII", ok=ok)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _is_number(value: object) -> bool:
    # `math.isfinite` would raise OverflowError for an integer of 400 digits.
    return isinstance(value, (int, float)) and not isinstance(value, bool)
