"""Checks sign-ins, Authorization headers and batches strictly.

What must stay true: a request that passes all checks is also accepted by any other server that
follows the vendor's documentation.

Source: the TypeScript interface `LogEntry` and the sign-in request in the vendor docs.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from typing import TYPE_CHECKING, Any, NoReturn

from voyage_logger._base.wire import API_KEY_HEADER, API_SECRET_HEADER
from voyage_logger.devserver._faults import JSON_TYPE
from voyage_logger.devserver._http import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from voyage_logger.devserver._http import Request

LEVELS = ("debug", "info", "warn", "error", "critical")
# These level names are valid in a search, but not in an entry.
_ALIASES = {
    "notset": "debug",
    "trace": "debug",
    "warning": "warn",
    "exception": "error",
    "fatal": "critical",
}

# The size of a decompressed body is limited, because a small gzip body can expand to gigabytes.
MAX_INFLATED_BYTES = 256 << 20

# The largest number of objects and lists inside one another in a body. Python's own limit depends
# on its version and on the stack of the thread: an entry that one thread can read might be too deep
# for the thread that lists the entries.
MAX_DEPTH = 500
_TOO_DEEP = f"invalid JSON: nested deeper than {MAX_DEPTH} levels"
_CONTAINERS = frozenset({dict, list})

_GZIP_WINDOW = 31  # The value 31 makes zlib expect a gzip header and use the largest window.
_BEARER = re.compile(r"Bearer ([A-Za-z0-9._~+/-]+=*)")
# This pattern finds escaped surrogates. If the pattern matches, `parse_json` checks the decoded
# body, because two surrogates can be a valid pair.
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def level_named(name: object) -> str:
    """Return the level for a name in upper or lower case. Raise ValueError for an unknown name."""
    wanted = name.strip().lower() if isinstance(name, str) else ""
    level = _ALIASES.get(wanted, wanted)
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, not {name!r}")
    return level


def check_sign_in(request: Request, api_key: str, api_secret: str) -> None:
    """Refuse a sign-in with a wrong key or secret (status 401) or with a body (status 400)."""
    pair = (request.headers.get(API_KEY_HEADER), request.headers.get(API_SECRET_HEADER))
    if pair != (api_key, api_secret):
        raise Refusal(401, "API key or secret is incorrect", error="Invalid credentials")
    # The vendor's curl and Python examples send no body, but its JavaScript example sends `{}`.
    if request.body.strip() not in {b"", b"{}"}:
        raise Refusal(400, "a sign-in has no body, or an empty object")


def bearer_token(headers: Mapping[str, str]) -> str:
    """Return the token of the header `Authorization: Bearer <token>`; refuse any other header."""
    match = _BEARER.fullmatch(headers.get("authorization", ""))
    if match is None:
        raise Refusal(401, "the Authorization header must be: Bearer <access token>")
    return match[1]


def check_json_type(headers: Mapping[str, str], status: int = 400) -> None:
    """If the Content-Type is not JSON in UTF-8, refuse the request with the status `status`."""
    value = headers.get("content-type", "")
    kind, *parameters = [part.strip().lower() for part in value.split(";")]
    if kind != JSON_TYPE or any(p not in {"charset=utf-8", 'charset="utf-8"'} for p in parameters):
        raise Refusal(status, f"Content-Type must be {JSON_TYPE}, not {value!r}")


def parse_batch(request: Request) -> list[dict[str, Any]]:
    """Return a batch's entries. Refuse a batch that does not follow the vendor's documentation."""
    check_json_type(request.headers)
    if "content-length" not in request.headers:
        raise Refusal(411, "a batch needs a Content-Length")
    body = parse_json(_inflate(request))
    if not isinstance(body, dict) or list(body) != ["logs"]:
        raise Refusal(400, "the body must be an object with exactly one member: logs")
    entries = body["logs"]
    if not isinstance(entries, list) or not entries:
        raise Refusal(400, "logs must be a list with at least one entry")
    for index, entry in enumerate(entries):
        _check_entry(index, entry)
    return entries


def parse_json(body: bytes) -> Any:
    """Return the value of a strict JSON text in UTF-8; refuse any other body (status 400).

    Unlike `json.loads`, this function refuses NaN, infinities, repeated names in an object,
    unpaired surrogates, and values that are nested deeper than `MAX_DEPTH`.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_members,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        if _SURROGATE_ESCAPE.search(body):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise Refusal(400, "invalid JSON: a surrogate without its partner") from None
    except RecursionError:
        raise Refusal(400, _TOO_DEEP) from None
    except ValueError as error:
        raise Refusal(400, f"invalid JSON: {error}") from None
    # Most bodies have so few brackets that their depth need not be measured.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_too_deep(value):
        raise Refusal(400, _TOO_DEEP)
    return value


def _is_too_deep(value: object) -> bool:
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _CONTAINERS
        ]
        if not level:
            return False
    return True


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the member {twice!r} comes twice in one object")
    return members


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _inflate(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        return request.body
    if encoding != "gzip":
        raise Refusal(400, f"Content-Encoding must be gzip or absent, not {encoding!r}")
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        body = inflater.decompress(request.body, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise Refusal(400, f"the gzip body is damaged: {error}") from None
    if inflater.unconsumed_tail:
        raise Refusal(413, f"the gzip body has more than {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof or inflater.unused_data:
        raise Refusal(400, "the body must be one whole gzip stream")
    return body


def _check_entry(index: int, entry: object) -> None:
    if not isinstance(entry, dict):
        raise Refusal(400, f"logs[{index}] must be an object")
    if missing := [name for name in _REQUIRED if name not in entry]:
        raise Refusal(400, f"logs[{index}] lacks {', '.join(missing)}")
    for name, value in entry.items():
        rule = _FIELDS.get(name)
        if rule is not None and not rule[0](value):
            raise Refusal(400, f"logs[{index}].{name} must be {rule[1]}")


def _is_level(value: object) -> bool:
    return type(value) is str and value in LEVELS


def _is_tags(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is str for item in value)


def _is_timeline(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_step, value))


def _is_step(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"step", "timestamp"}
        and type(value["step"]) is str
        and type(value["timestamp"]) in {int, float}
    )


_Rule = tuple["Callable[[object], bool]", str]

_STRING: _Rule = (lambda value: type(value) is str, "a string")
_REQUIRED = ("message", "level", "app_name", "environment")
# An optional field can be absent, but must not be null: the vendor's interface says `?: string`.
_FIELDS: dict[str, _Rule] = {
    "message": _STRING,
    "level": (_is_level, f"one of {', '.join(LEVELS)}"),
    "app_name": _STRING,
    "environment": _STRING,
    "event_name": _STRING,
    "event_flow_name": _STRING,
    "app_user_id": _STRING,
    "app_username": _STRING,
    "app_useremail": _STRING,
    "session_id": _STRING,
    "method_name": _STRING,
    "exception_info": _STRING,
    "tags": (_is_tags, "a list of strings"),
    "meta_data": (lambda value: type(value) is dict, "an object"),
    "add_ticket": (lambda value: type(value) is bool, "true or false"),
    "event_timeline": (_is_timeline, "a list of {step: string, timestamp: number}"),
}
