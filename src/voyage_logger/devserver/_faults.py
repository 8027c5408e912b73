"""How the server misbehaves, as values: a `Fault` spoils one request, `Rules` hold until changed.

A `Fault` without arguments is no misbehavior at all, so a script can let requests pass:
`server.script(Fault(), Fault(status=503))` spoils the second one.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# As `Rules.expires_in`: the sign-in answer has no such member. A string, so that the JSON API can
# say it too.
OMIT: Final = "omit"

JSON_TYPE: Final = "application/json"

# Longer waits are a `hang`; `Event.wait` overflows at some 292 years.
_MAX_DELAY_SECONDS = 3600.0
_MIN_STATUS, _MAX_STATUS = 200, 599
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The server frames the answer itself, and `content_type` is a field of its own.
_FRAMING = frozenset({"content-length", "content-type", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted misbehavior, consumed by one request.

    Args:
        status: Answer with this status (200 to 599) instead of handling the request: nothing is
            checked, nothing stored. Default: handle it.
        headers: Headers to add to the answer, for example `{"Retry-After": "2"}`.
        body: The answer's body, in place of the vendor's error shape. Needs a `status`.
        content_type: The type of a scripted answer. Default: "application/json".
        delay: Seconds between handling and answering: a batch is stored at once, and its answer
            comes late. Default: 0.
        hang: Take the request and never answer, until the client goes or the server closes.
            Nothing is stored.
        reset: Break the connection with a TCP reset, "before" the request is handled, or "after":
            the entries are stored and the answer is lost.
        cut: Announce the whole answer, send half of its body, and close.

    Raises:
        ValueError: A value is out of range, or two of them contradict each other.
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
            raise ValueError("hang, reset and cut exclude each other: each ends the request")
        if self.status is not None and (self.hang or self.reset is not None):
            raise ValueError("status excludes hang and reset: they send no answer")
        if self.hang and self.delay:
            raise ValueError("delay excludes hang: a hang has no end to delay")
        if self.cut and (self.body == "" or self.status in BODILESS):
            raise ValueError("cut needs a body to cut")


# Answers that have no body in HTTP.
BODILESS: Final = frozenset({204, 304})

_RESETS = (None, "before", "after")


def html_ok() -> Fault:
    """A 200 with a web page, as a captive portal or a wrong base URL answers."""
    return Fault(status=200, body="<!doctype html><title>Welcome</title>", content_type="text/html")


def redirect(location: str, status: int = 307) -> Fault:
    """A redirect, which a client must not follow with its token.

    Args:
        location: Where to.
        status: 301, 302, 303, 307 or 308. Default: 307, which asks to send the body again.
    """
    return Fault(status=status, headers={"Location": location})


def slow_down(retry_after: str, status: int = 429) -> Fault:
    """A refusal that says when to come back.

    Args:
        retry_after: The header's value: seconds, or an HTTP date.
        status: Default: 429.
    """
    return Fault(status=status, headers={"Retry-After": retry_after})


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every request until it is replaced. The default is a kind server.

    Args:
        max_body_bytes: A batch whose body is larger on the wire is answered 413.
        max_entries: A batch with more entries is answered 422.
        refuse_containing: A batch with an entry whose message contains this text is refused whole;
            every message contains the empty text.
        refuse_status: The status of that refusal, 400 or 422. Default: 400.
        revoke_after: A token is revoked after this many stored batches; the next is answered 401.
        expires_in: Put as is in the sign-in answer; `OMIT` leaves the member out. A positive
            number of seconds also is the token's real life; after anything else it lives for the
            hour that the vendor's classes assume. Default: 3600.

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
            raise ValueError(f"header {name} is the server's own: use content_type, or cut")


def _require_line(name: str, value: object) -> None:
    ok = isinstance(value, str) and value.isprintable() and value.isascii()
    _require(name, value, "one line of printable ASCII", ok=ok)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
