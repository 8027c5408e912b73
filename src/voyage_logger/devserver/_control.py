"""The JSON API under `/dev/api/`. Other processes use the API to read and control the server.

What must stay true: a web page of another site cannot use this API in a browser. `_hosts` refuses
the requests of other sites. In addition, a request that changes the server must have a JSON
Content-Type, because a browser needs permission to send this type to another site.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

from voyage_logger.devserver._checks import check_json_type, level_named, parse_json
from voyage_logger.devserver._faults import Fault, Rules
from voyage_logger.devserver._http import Refusal, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger.devserver._backend import Backend
    from voyage_logger.devserver._http import Answer, Request

PREFIX = "/dev/api/"

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000
_MAX_ID = (1 << 63) - 1  # the largest integer in SQLite
_QUERY = frozenset({"level", "contains", "after", "limit"})

_Value = TypeVar("_Value", Fault, Rules)


def control(backend: Backend, request: Request) -> Answer:
    """Answer a request whose path begins with `PREFIX`."""
    method, act = _ROUTES.get(request.path.removeprefix(PREFIX), (None, None))
    if act is None:
        raise Refusal(404, f"there is no {request.path}; there are {', '.join(_ROUTES)}")
    if request.method != method:
        raise Refusal(405, f"{request.path} takes {method}", headers={"Allow": str(method)})
    if method != "GET":
        check_json_type(request.headers, status=415)
        if request.query:
            raise Refusal(400, f"{request.path} takes no query")
    return act(backend, request)


def _entries(backend: Backend, request: Request) -> Answer:
    query = _query(request)
    try:
        level = level_named(query["level"]) if "level" in query else None
    except ValueError as error:
        raise Refusal(400, str(error)) from None
    rows = backend.store.entries(
        level=level,
        contains=query.get("contains"),
        after=_whole("after", query.get("after", "0"), 0, _MAX_ID),
        limit=_whole("limit", query.get("limit", str(_DEFAULT_LIMIT)), 1, _MAX_LIMIT),
    )
    shown = [
        {"id": row.id, "received_at": row.received_at, "batch": row.batch, "entry": row.entry}
        for row in rows
    ]
    return json_answer(200, {"entries": shown})


def _stats(backend: Backend, request: Request) -> Answer:
    if request.query:
        raise Refusal(400, "stats takes no query")
    return json_answer(200, backend.stats())


def _script(backend: Backend, request: Request) -> Answer:
    body = _object("the body", parse_json(request.body))
    if body.keys() != {"endpoint", "faults"}:
        raise Refusal(400, "the body must have exactly the members endpoint and faults")
    if body["endpoint"] not in ("batch", "sign-in"):
        raise Refusal(400, f'endpoint must be "batch" or "sign-in", not {body["endpoint"]!r}')
    if not isinstance(body["faults"], list):
        raise Refusal(400, "faults must be a list")
    faults = [_value(Fault, f"faults[{i}]", fault) for i, fault in enumerate(body["faults"])]
    backend.script(body["endpoint"], faults)
    return json_answer(200, {"scripted": len(faults)})


def _rules(backend: Backend, request: Request) -> Answer:
    backend.rules = _value(Rules, "the rules", parse_json(request.body))
    return json_answer(200, {name: getattr(backend.rules, name) for name in _names(Rules)})


def _reset(backend: Backend, request: Request) -> Answer:
    if request.body.strip() not in {b"", b"{}"}:
        raise Refusal(400, "reset takes no body, or an empty object")
    backend.reset()
    return json_answer(200, {})


_ROUTES: dict[str, tuple[str, Callable[[Backend, Request], Answer]]] = {
    "entries": ("GET", _entries),
    "stats": ("GET", _stats),
    "script": ("POST", _script),
    "rules": ("PUT", _rules),
    "reset": ("POST", _reset),
}


def _query(request: Request) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            request.query,
            keep_blank_values=True,
            strict_parsing=bool(request.query),
            errors="strict",
        )
    except ValueError as error:
        raise Refusal(400, f"the query is malformed: {error}") from None
    query = dict(pairs)
    if unknown := query.keys() - _QUERY:
        raise Refusal(400, f"there is no {', '.join(sorted(unknown))} in the query")
    if len(query) < len(pairs):
        raise Refusal(400, "the query has a name twice")
    return query


def _whole(name: str, text: str, low: int, high: int) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(high))
    if not (is_number and low <= int(text) <= high):
        raise Refusal(400, f"{name} must be a whole number from {low} to {high}, not {text!r}")
    return int(text)


def _value(kind: type[_Value], what: str, value: object) -> _Value:
    """Make a `Fault` or `Rules` from a JSON object. Each absent member gets its default value."""
    members = _object(what, value)
    if unknown := members.keys() - _names(kind):
        known = ", ".join(_names(kind))
        raise Refusal(400, f"there is no {', '.join(sorted(unknown))} in {what}; there are {known}")
    try:
        return kind(**members)
    except ValueError as error:
        raise Refusal(400, f"{what}: {error}") from None


def _object(what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(400, f"{what} must be an object")
    return value


def _names(kind: type[Fault | Rules]) -> list[str]:
    return [each.name for each in fields(kind)]
