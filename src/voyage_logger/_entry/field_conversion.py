"""Convert the documented fields of an entry to the types that the API documents.

What must stay true: each documented field is sent with its documented type. A server that checks
types would reject an entry if a field had another type. If a value cannot be converted, it is moved
to `meta_data`. A field that is None is not sent, because the vendor's types do not allow null.

Source: vendor docs, `LogEntry` and `LogParams`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import islice
from math import isfinite
from operator import index
from typing import Any

from voyage_logger._base.diagnostics import hint
from voyage_logger._entry.field_spellings import spellings_of
from voyage_logger._entry.json_data import to_text
from voyage_logger._entry.object_parts import first, pairs
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
# "texts" and "steps" are not Python types. `_put` converts `tags` and `event_timeline`.
_DOCUMENTED: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, str),
    "tags": "texts",
    "meta_data": dict,
    "add_ticket": bool,
    "event_timeline": "steps",
}
_SPELLINGS = spellings_of((*_DOCUMENTED, "exc_info"))
# "spelling" is not a Python type either. For such a name, `_conform_one` says the documented name.
_RULES: dict[str, Any] = {**_DOCUMENTED, **dict.fromkeys(_SPELLINGS, "spelling")}
_MOST_KEYS = 1 << 16  # The default size limit of an entry leaves no room for more keys.
_MOST_ITEMS = 10_000  # The largest number of tags or steps in one entry.
_NO_TEXTS = frozenset(_RULES) - frozenset(_TEXTS)


def conform(fields: dict[str, Any]) -> tuple[int, list[Any]]:
    """Convert the documented fields of the given dict. Remove documented fields that are None.

    Return the number of characters in all texts, and the values that the encoder must check. The
    encoder does not need to check texts, bools and None.
    """
    characters, others, odd = 0, [], None
    documented = _RULES.get
    for name, value in fields.items():
        kind = type(value)
        if kind is str:
            characters += len(value)
            if name not in _NO_TEXTS:
                continue
        elif name == "tags" and kind is list and _ONLY_TEXTS.issuperset(map(type, value)):
            # A copy of the list is not needed: the list is encoded before the log call returns.
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
    if name in _SPELLINGS:
        hint(name, f"the field {name} is sent as it is: the documented name is {_SPELLINGS[name]}")
        return
    value = fields.pop(name)
    try:
        _put(fields, name, value)
    except BaseException as error:  # The value's own code may raise any exception.
        if not is_defect(error):
            raise
        keep(fields, name, value)


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    """Convert a value to the documented type of a field, and store the result in the field."""
    if value is None:
        return
    if name == "add_ticket":
        fields[name] = bool(value)
    elif name == "meta_data":
        fields[name] = as_mapping(value)
    elif name == "tags":
        fields[name] = _texts(value)
    elif name == "event_timeline":
        given = _limited(value)
        steps = [step for each in given if (step := _step_or_none(each)) is not None]
        if steps or not given:
            fields[name] = [{key: step[key] for key in _STEP} for step in steps]
        # The API documents only the two keys in `_STEP`.
        if len(steps) < len(given) or any(len(step) > len(_STEP) for step in steps):
            keep(fields, name, value)
    elif name == "exception_info" and isinstance(value, BaseException):
        fields[name] = traceback_of(value)
    else:
        fields[name] = to_text(value)


def as_mapping(meta_data: object) -> Mapping[str, Any]:
    """Return any `meta_data` as a mapping, because its documented type is a JSON object."""
    kind = type(meta_data)  # If the value is a proxy object, `isinstance` can run code of the app.
    if kind is dict:
        return meta_data  # type: ignore[return-value]
    if meta_data is None:
        return {}
    if not issubclass(kind, Mapping):
        return {"value": meta_data}
    try:
        return _at_most(meta_data)  # type: ignore[arg-type]
    except BaseException as error:  # The mapping's own code may raise any exception.
        if not is_defect(error):
            raise
        return {"value": unprintable(meta_data)}


def _at_most(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a mapping as a dict. Use only the first `_MOST_KEYS` keys of the mapping."""
    items, mark = first(pairs(mapping), _MOST_KEYS + 1)
    if len(items) > _MOST_KEYS:
        mark = TOO_MUCH
    found = dict(items[:_MOST_KEYS])
    return found if mark is None else {**found, mark: True}


def keep(fields: dict[str, Any], name: str, value: object) -> None:
    """Store a value in `meta_data`, because the value cannot be a field of the entry."""
    fields["meta_data"] = {name: value, **as_mapping(fields.get("meta_data"))}


def _texts(value: object) -> list[str]:
    """Return the tags as a list of texts. A single tag becomes a list that contains one text."""
    if not isinstance(value, _LISTS):
        value = [value]
    return [tag if type(tag) is str else to_text(tag) for tag in _limited(value)]


def _limited(values: Iterable[Any]) -> list[Any]:
    """Return the items as a list. If there are more than `_MOST_ITEMS`, raise `ValueError`."""
    found = list(islice(values, _MOST_ITEMS + 1))
    if len(found) > _MOST_ITEMS:
        raise ValueError("too many")
    return found


def fit(entry: dict[str, Any]) -> None:
    """Move fields of plain data to `meta_data` if the API refuses their types.

    The fields had the right types before they were converted to plain data. But a part of a field
    can be masked or cut, and then a text such as `***` takes the place of this part.
    """
    if type(entry.get("meta_data", {})) is not dict:
        entry["meta_data"] = {"value": entry["meta_data"]}
    for name, is_right in (("event_timeline", _is_step), ("tags", _is_text)):
        value = entry.get(name, [])
        if type(value) is not list or not all(map(is_right, value)):
            del entry[name]
            keep(entry, name, value)


def _is_step(value: Any) -> bool:
    if type(value) is not dict or value.keys() != {*_STEP}:
        return False
    return type(value["step"]) is str and type(value["timestamp"]) in (int, float)


def _is_text(value: object) -> bool:
    return type(value) is str


def _step_or_none(value: Any) -> dict[str, Any] | None:
    """Return a step as a dict, or None if the value is not a valid step."""
    try:
        step = (
            _at_most(value) if isinstance(value, Mapping) else dict(zip(_STEP, value, strict=True))
        )
        return {
            **step,
            "step": to_text(step["step"]),
            "timestamp": _milliseconds(step["timestamp"]),
        }
    except BaseException as error:  # The value's own code may raise any exception.
        if not is_defect(error):
            raise
        return None


def _milliseconds(time: Any) -> int | float:
    """Return a time as epoch milliseconds. Raise an error if JSON has no number for the time."""
    if isinstance(time, datetime):
        return round(time.timestamp() * 1000)
    if isinstance(time, (bool, str, bytes)):
        raise TypeError("not a time")
    # A number of numpy or a Decimal is not an instance of `int` or `float`.
    number = index(time) if hasattr(type(time), "__index__") else float(time)
    if not isfinite(number):  # If an integer is too large for a float, `isfinite` raises an error.
        raise ValueError("not a number")
    return number


_STEP = ("step", "timestamp")
# Only a value of a type in `_LISTS` is a list of tags. The client does not read iterators:
# after the client had read an iterator, the app would find no items in it.
_LISTS = (list, tuple, deque, AbstractSet)
_ONLY_TEXTS = frozenset((str,))
