"""Values that describe misbehavior: a `Fault` for one request, and `Rules` for all requests.

A `Fault` without arguments changes nothing, so a script can let requests pass:
`server.script(Fault(), Fault(status=503))` changes only the second answer.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# This value of `Rules.expires_in` removes the member from the sign-in answer. The value is a text,
# so that a request of the JSON API can contain the value.
OMIT: Final = "omit"

JSON_TYPE: Final = "application/json"

# A delay needs a limit, because `Event.wait` raises OverflowError above some 292 years.
_MAX_DELAY_SECONDS = 3600.0
_MIN_STATUS, _MAX_STATUS = 200, 599
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The server sets these headers, so a fault must not contain them.
_FRAMING = frozenset({"content-length", "content-type", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A scripted misbehavior for one request.

    Args:
        status: Answer with this status (200 to 599), and neither check the request nor store
            entries. Default: handle the request.
        headers: Headers to add to the answer, for example `{"Retry-After": "2"}`.
        body: The body of the answer. Default: an error in the format of the vendor. A body needs
            a `status`.
        content_type: The Content-Type of a scripted answer. Default: "application/json".
        delay: Seconds to wait before the answer, after the entries of a batch are stored.
            Default: 0.
        hang: Store nothing and never answer, until the client goes or the server closes.
        reset: Send a TCP reset instead of an answer: "before" the request is handled, or "after"
            the entries are stored.
        cut: Announce the whole length of the answer, send half of its body, and close.

    Raises:
        ValueError: A value is out of range, or two values contradict each other.
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
        _require("body", self.body, "a string", ok=self.body is None or isinstance(self.body, str))
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


# The statuses whose answers have no body in HTTP.
BODILESS: Final = frozenset({204, 304})

_RESETS = (None, "before", "after")


def html_ok() -> Fault:
    """Return a 200 with a web page, which a captive portal or a wrong base URL sends."""
    return Fault(status=200, body="<!doctype html><title>Welcome</title>", content_type="text/html")


def redirect(location: str, status: int = 307) -> Fault:
    """Return a redirect to a URL. A client must not send its token to the new location.

    Args:
        location: The new URL.
        status: 301, 302, 303, 307 or 308. Default: 307, which asks for the body again.
    """
    return Fault(status=status, headers={"Location": location})


def slow_down(retry_after: str, status: int = 429) -> Fault:
    """Return an answer with the header `Retry-After`, in seconds or as an HTTP date."""
    return Fault(status=status, headers={"Retry-After": retry_after})


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for every request. With the default rules, the server does not misbehave.

    Args:
        max_body_bytes: Answer a batch with a larger body (as sent, in bytes) with 413.
        max_entries: Answer a batch with more entries with 422.
        refuse_containing: Refuse a whole batch if the message of an entry contains this text.
            The empty text is in every message.
        refuse_status: The status for `refuse_containing`, 400 or 422. Default: 400.
        revoke_after: Revoke a token after this number of stored batches.
        expires_in: The value in the sign-in answer; `OMIT` removes the member. A positive number
            of seconds is also the time until the token expires. After any other value, the token
            expires in 3600 seconds, as the vendor's classes assume. Default: 3600.

    Raises:
        ValueError: A value is out of range.
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


def _require(name: str, value: object, rule: str, *, ok: bool) -> None:
    if not ok:
        raise ValueError(f"{name} must be {rule}, not {value!r}")


def _require_int(name: str, value: object, low: int, high: int | None) -> None:
    rule = f"a whole number of at least {low}" if high is None else f"from {low} to {high}"
    ok = type(value) is int and low <= value and (high is None or value <= high)
    _require(name, value, rule, ok=ok)


def _require_headers(headers: Mapping[str, str]) -> None:
    if not hasattr(headers, "items"):
        raise ValueError(f"headers must map names to values, not {headers!r}")
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


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
