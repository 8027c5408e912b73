"""The documented fields of an entry and the types that the API documents for them.

What must stay true: a documented field goes out in its documented type, whatever was given, for a
server that checks types would refuse the entry; and nothing a caller gave is lost on the way.

Source: vendor docs, `LogEntry` and `LogParams`. Optional means absent there, not null.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import islice
from typing import Any

from voyage_logger._entry.json_data import to_text
from voyage_logger._entry.safe_text import TOO_MUCH, is_defect, unprintable
from voyage_logger._entry.tracebacks import traceback_of

_TEXTS = (
    "message",
    "app_name",
    "environment",
    "event_name",
    "event_flow_name",
    "app_user_id",
    "app_username",
    "app_useremail",
    "session_id",
    "method_name",
    "exception_info",
)
# Lists have no type here that a value could have: their items are to be looked at.
_DOCUMENTED: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, str),
    "tags": "texts",
    "meta_data": dict,
    "add_ticket": bool,
    "event_timeline": "steps",
}
_MOST_KEYS = 1 << 16  # of a mapping: no more fit into an entry of the usual size
_MOST_ITEMS = 10_000  # of a list of tags or steps
_NO_TEXTS = frozenset(_DOCUMENTED) - frozenset(_TEXTS)


def conform(fields: dict[str, Any]) -> tuple[int, list[Any]]:
    """Puts the documented fields into their documented types, in place; None leaves a field out.

    Args:
        fields: A log call's keywords, or a whole entry that `before_send` has returned.

    Returns:
        How many characters there are in texts, and all values but texts, flags and None: what an
        encoder has yet to look at.
    """
    characters, others, odd = 0, [], None
    documented = _DOCUMENTED.get
    for name, value in fields.items():
        kind = type(value)
        if kind is str:
            characters += len(value)
            if name not in _NO_TEXTS:
                continue
        elif name == "tags" and kind is list and _ONLY_TEXTS.issuperset(map(type, value)):
            # They need no copy: they are encoded before the call returns.
            characters += sum(map(len, value), 3 * len(value))
            continue
        elif kind is not bool and value is not None:
            others.append(value)
        if documented(name, kind) is not kind:
            odd = [name] if odd is None else [*odd, name]
    if odd is None:
        return characters, others
    for name in odd:
        _conform_one(fields, name)
    texts = [value for value in fields.values() if type(value) is str]
    return sum(map(len, texts)), [value for value in fields.values() if type(value) is not str]


def _conform_one(fields: dict[str, Any], name: str) -> None:
    value = fields.pop(name)
    try:
        _put(fields, name, value)
    except BaseException as error:  # any foreign method may be broken; the value is kept
        if not is_defect(error):
            raise
        keep(fields, name, value)


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    """Puts a value into the field, in the field's documented type."""
    if value is None:
        return
    if name == "add_ticket":
        fields[name] = bool(value)
    elif name == "meta_data":
        fields[name] = as_mapping(value)
    elif name == "tags":
        fields[name] = _texts(value)
    elif name == "event_timeline":
        steps = [_step(step) for step in _limited(value)]
        fields[name] = [{key: step[key] for key in _STEP} for step in steps]
        if any(len(step) > len(_STEP) for step in steps):
            keep(fields, name, value)  # the API documents these two and no more
    elif name == "exception_info" and isinstance(value, BaseException):
        fields[name] = traceback_of(value)
    else:
        fields[name] = to_text(value)


def as_mapping(meta_data: object) -> Mapping[str, Any]:
    """The caller's meta_data as a mapping: the API documents an object, callers pass anything."""
    kind = type(meta_data)  # a proxy's __class__ may raise
    if kind is dict:
        return meta_data  # type: ignore[return-value]
    if meta_data is None:
        return {}
    if not issubclass(kind, Mapping):
        return {"value": meta_data}
    try:
        return _at_most(meta_data)  # type: ignore[arg-type]
    except BaseException as error:  # any method of it may be broken
        if not is_defect(error):
            raise
        return {"value": unprintable(meta_data)}


def _at_most(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    """A mapping as a dict: of one that has more keys than any entry, or no end, the beginning."""
    keys = list(islice(mapping, _MOST_KEYS + 1))
    found = {key: mapping[key] for key in keys[:_MOST_KEYS]}
    return found if len(keys) <= _MOST_KEYS else {**found, TOO_MUCH: True}


def keep(fields: dict[str, Any], name: str, value: object) -> None:
    """Keeps a value in meta_data that has no place among the fields."""
    fields["meta_data"] = {name: value, **as_mapping(fields.get("meta_data"))}


def _texts(value: object) -> list[str]:
    """Tags: a lone one counts as a list of one."""
    if not isinstance(value, _LISTS):
        value = [value]
    return [tag if type(tag) is str else to_text(tag) for tag in _limited(value)]


def _limited(values: Iterable[Any]) -> list[Any]:
    """The values of a field that holds a list.

    Raises:
        ValueError: There are more than any entry has, or there is no end.
    """
    found = list(islice(values, _MOST_ITEMS + 1))
    if len(found) > _MOST_ITEMS:
        raise ValueError("too many")
    return found


def _step(value: Any) -> dict[str, Any]:
    """One step of a timeline, given as an object or as a pair; the time in epoch milliseconds."""
    step = _at_most(value) if isinstance(value, Mapping) else dict(zip(_STEP, value, strict=True))
    time = step["timestamp"]
    if isinstance(time, datetime):
        step["timestamp"] = round(time.timestamp() * 1000)
    elif isinstance(time, bool) or not isinstance(time, (int, float)):
        raise TypeError("not a time")
    return {**step, "step": to_text(step["step"])}


_STEP = ("step", "timestamp")
# What gives its items any number of times, and is not itself a text: not an iterator.
_LISTS = (list, tuple, deque, AbstractSet)
_ONLY_TEXTS = frozenset((str,))
