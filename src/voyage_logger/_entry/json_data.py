"""Convert any Python value to plain JSON data of limited size.

What must stay true: `to_plain` accepts every value. The only errors that `to_plain` raises are
errors that the app must receive (see `is_defect`). Even cycles and huge data are converted within
a limited time. The result contains only dict, list, str, int, float, bool and None. All keys of a
dict are of type str. The result contains no NaN, no infinity and no lone surrogate.

This file uses `type()` instead of `isinstance`, because `isinstance` reads the `__class__` of a
value. If the value is a proxy object, reading its `__class__` can run code of the app.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from datetime import date, time
from enum import Enum
from itertools import count
from math import isfinite
from typing import Any

from voyage_logger._entry.object_fields import (
    dumped,
    item_names,
    shown_fields,
    shown_fields_of_model,
)
from voyage_logger._entry.object_parts import (
    attributes,
    elements,
    first,
    method_for_all,
    pairs,
)
from voyage_logger._entry.redaction import MASK, NOTHING, Redaction, is_blank
from voyage_logger._entry.safe_text import (
    CYCLE,
    MAX_DEPTH,
    TOO_DEEP,
    TOO_MUCH,
    content,
    has_own_repr,
    is_defect,
    name_of,
    render,
    shown_text,
    unprintable,
)

MAX_KEY = 256  # characters

TRIMMED = "...[trimmed]"

# The names that JavaScript and the JSON format of protobuf use for NaN and infinity.
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
# A value of one of these types, or of a subclass, is sent as its `str`. Each type is given by its
# module and name: importing the types would take time. The last four types are lazy texts.
_TOLD_BY_STR = {
    ("datetime", "timedelta"),
    ("decimal", "Decimal"),
    ("fractions", "Fraction"),
    ("uuid", "UUID"),
    ("babel.support", "LazyProxy"),
    ("django.utils.functional", "Promise"),
    ("flask_babel.speaklater", "LazyString"),
    ("speaklater", "_LazyString"),
}
# All texts of an entry together can have up to `_GENEROSITY` times `limit` characters. All further
# texts are cut to `_CLIPPED` characters. Later, the module `trimming` cuts the entry to the limit.
_GENEROSITY = 4
_CLIPPED = 64
# A `__repr__` method can log a value whose `__repr__` logs another value, and so on. To end this
# recursion, a conversion calls no `__repr__` if it runs inside `_MAX_NESTED` other conversions.
_MAX_NESTED = 3

# How many conversions are running in this thread, task or greenlet. A `threading.local` would count
# the conversions of all greenlets together if this module is imported before gevent patches it.
_depth: ContextVar[int] = ContextVar("voyage_logger_depth", default=0)


def to_plain(value: object, limit: int, redaction: Redaction = NOTHING) -> Any:
    """Return any value as plain JSON data. The keys at the top level are the fields of an entry.

    Each single text has at most `limit` characters, but all texts together can have more.
    """
    return _asking(lambda may_ask: _Conversion(limit, redaction, may_ask=may_ask).convert(value))


def to_text(value: object) -> str:
    """Return the `str` of a value. Cut a large container. Return a placeholder if `str` fails.

    An enum member is sent as its value, as in `to_plain`: its `str` would be "Event.LOGIN".
    """
    if issubclass(type(value), (bytes, bytearray)):
        return str(value, "utf-8", "backslashreplace")  # type: ignore[call-overload, no-any-return]
    return str(
        _asking(lambda may_ask: render(str, content(value)) if may_ask else unprintable(value))
    )


def clip(text: str, length: int) -> str:
    """Return the text. If the text has more than `length` characters, cut it and add a mark."""
    if len(text) <= length:
        return text
    return text[: max(0, length - len(TRIMMED))] + TRIMMED


class _Conversion:
    """Converts one value. Limits how many characters and how many values the result contains."""

    __slots__ = ("_limit", "_may_ask", "_path", "_redaction", "_room", "_values")

    def __init__(self, limit: int, redaction: Redaction, *, may_ask: bool) -> None:
        self._redaction = redaction
        self._limit = limit
        self._room = limit * _GENEROSITY  # How many more characters the result can contain.
        self._values = limit  # How many more values the result can contain.
        self._may_ask = may_ask
        self._path: set[int] = set()  # The ids of all containers that contain the current value.

    def convert(self, value: object) -> Any:
        self._values -= 1
        if self._values < 0:
            return TOO_MUCH
        if value is None or value is True or value is False:
            return value
        try:
            return self._known(value, type(value))
        except BaseException as error:
            if not is_defect(error):
                raise
            return unprintable(value)

    def _known(self, value: Any, kind: type) -> Any:  # noqa: PLR0911 - one `return` for each type
        if issubclass(kind, str):
            return self._content(value, str.__str__(value), str)
        if issubclass(kind, int):
            number = int.__index__(value)
            text = int.__repr__(number)  # Raises ValueError if `text` would exceed 4,300 digits.
            if self._redaction.mask(text) != text:
                return MASK
            digits = len(text)
            self._room -= digits
            return number if self._room > 0 or digits < _CLIPPED else TOO_MUCH
        if issubclass(kind, float):
            real = float.__float__(value)
            return real if isfinite(real) else _NOT_FINITE[repr(real)]
        if issubclass(kind, Enum) and self._may_ask:
            return self._inside(value, lambda: self.convert(content(value)))
        if issubclass(kind, dict):
            has_lists = kind is not dict and self._may_ask and method_for_all(kind) is not None
            return self._inside(
                value, lambda: self._mapping(pairs(value) if has_lists else dict.items(value))
            )
        if issubclass(kind, (list, tuple)):
            return self._inside(value, lambda: self._list(value, kind))
        if issubclass(kind, (bytes, bytearray, memoryview)):
            # Keep 2 * `limit` bytes, so that masking also finds a secret that crosses the limit.
            text = bytes(value[: 2 * self._limit]).decode("utf-8", "backslashreplace")
            return self._content(value, text, bytes if issubclass(kind, bytes) else bytearray)
        return self._foreign(value, kind) if self._may_ask else unprintable(value)

    def _foreign(self, value: Any, kind: type) -> Any:  # noqa: PLR0911 - one `return` for each type
        """Convert a value whose methods are code of the app or of a library."""
        if _is_told_by_str(kind):
            return self._text(render(str, value))
        if issubclass(kind, Mapping):
            return self._inside(value, lambda: self._mapping(pairs(value)))
        if issubclass(kind, (Sequence, AbstractSet)) and not issubclass(kind, range):
            return self._inside(value, lambda: self._named(value, elements(value)))
        if issubclass(kind, (date, time)):
            return self._text(render(kind.isoformat, value))
        if issubclass(kind, BaseException):
            return self._text(f"{name_of(kind)}: {render(str, value)}")
        if issubclass(kind, os.PathLike):
            # For a file in the cloud, `os.fspath` would download the file.
            return self._text(render(os.fsdecode if kind is os.DirEntry else str, value))
        shown = shown_fields(value)
        if shown is not None:
            return self._inside(value, lambda: self._mapping(attributes(value, shown)))
        if hasattr(kind, "model_dump"):  # pydantic 2
            return self._inside(value, lambda: self._model(value))
        is_array = kind.__module__.partition(".")[0] == "numpy" and hasattr(kind, "tolist")
        most = self._limit // 2  # In JSON, each array element takes at least 2 bytes.
        if is_array and getattr(value, "size", 1) <= most:
            return self._inside(value, lambda: self._array(value))
        return self._text(render(repr, value))

    def _list(self, value: Any, kind: type) -> Any:
        """Convert a list or tuple. A subclass with its own `repr` may hide its items."""
        base = list if issubclass(kind, list) else tuple
        items = base.__iter__(value)
        if kind is base:
            return self._items(items)
        is_record = hasattr(kind, "n_sequence_fields")  # for example `os.stat_result`
        hides = has_own_repr(kind, base) and not is_record
        if not self._may_ask and (hides or hasattr(kind, "_fields")):
            return unprintable(value)
        if hides:
            return self._text(render(repr, value))
        return self._named(value, items) if self._may_ask else self._items(items)

    def _named(self, value: Any, items: Iterable[Any]) -> Any:
        """Convert a sequence to a dict if its items have names, or else to a list."""
        names = item_names(value)
        return self._items(items) if names is None else self._mapping(zip(names, items))  # noqa: B905 - the lengths are equal

    def _model(self, value: Any) -> Any:
        try:
            data = dumped(value)
        except BaseException as error:  # For example, one field cannot be converted.
            shown = shown_fields_of_model(value)
            if not shown or not is_defect(error):
                raise
            return self._mapping(attributes(value, shown))
        return self.convert(data)

    def _array(self, value: Any) -> Any:
        """Convert a numpy array or a numpy scalar."""
        dtype = getattr(value, "dtype", None)
        names = getattr(dtype, "names", None)  # The field names, if the value contains records.
        is_time = getattr(dtype, "kind", "") in ("M", "m")
        if getattr(value, "ndim", 0):
            # `tolist` would return records without field names, and times without their unit.
            return self._items(value) if names or is_time else self.convert(value.tolist())
        if names:
            return self._mapping((name, value[name]) for name in names)
        plain = value.tolist()
        if is_time and type(plain) is int:  # For a time in nanoseconds, `tolist` returns an int.
            return self._text(render(str, value))
        if type(plain) is not type(value):
            return self.convert(plain)
        return self.convert(float(value)) if dtype.kind == "f" else self._text(render(repr, value))  # type: ignore[union-attr]

    def _content(self, value: object, text: str, base: type) -> str:
        """Convert a `str` or bytes with the content `text`."""
        if type(value) is base or issubclass(type(value), (Enum, memoryview)):
            return self._text(text)
        return self._text(shown_text(value, text, base) if self._may_ask else unprintable(value))

    def _text(self, text: str) -> str:
        most = max(_CLIPPED, min(self._limit, self._room))
        masked = self._redaction.mask(text)  # A cut before masking could leave half a secret.
        # A strict JSON parser refuses a lone surrogate, so the client sends an escape instead.
        clipped = clip(masked, most).encode("utf-8", "backslashreplace").decode()
        self._room -= len(clipped)
        return clipped

    def _inside(self, value: object, convert: Callable[[], Any]) -> Any:
        """Return `convert()`, or a mark if the value contains itself or is nested too deeply."""
        if id(value) in self._path:
            return CYCLE
        if len(self._path) >= MAX_DEPTH:
            return TOO_DEEP
        self._path.add(id(value))
        try:
            return convert()
        finally:
            self._path.discard(id(value))

    def _mapping(self, items: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        numbers = count(2)
        found, mark = self._first(items)
        for key, value in found:
            whole = self._key(key)
            name = own_name = self._name(whole)
            while name in plain:  # For example, the keys 1 and "1" have the same name.
                name = f"{own_name}#{next(numbers)}"
            plain[name] = (
                MASK if self._hides(whole) and not is_blank(value) else self.convert(value)
            )
            if self._values < 0:
                break
        return plain if mark is None else {**plain, self._name(mark): True}

    def _hides(self, key: str) -> bool:
        is_top = len(self._path) == 1
        return self._redaction.hides_at_top(key) if is_top else self._redaction.hides(key)

    def _items(self, values: Iterable[Any]) -> list[Any]:
        plain = []
        found, mark = self._first(values)
        for value in found:
            plain.append(self.convert(value))
            if self._values < 0:
                break
        return plain if mark is None else [*plain, self._text(mark)]

    def _first(self, values: Iterable[Any]) -> tuple[list[Any], str | None]:
        """Return a list of the values that fit into the entry. The app cannot change this list."""
        return first(values, max(0, self._values) + 1)

    def _key(self, key: object) -> str:
        """Return the whole key as a text, so that `_hides` can check the key."""
        if issubclass(type(key), Enum) and self._may_ask:
            key = content(key)
        if key is None or key is True or key is False:
            return {None: "null", True: "true", False: "false"}[key]  # as in `json.dumps`
        kind = type(key)
        if issubclass(kind, str):
            return str.__str__(key)
        if issubclass(kind, bytes):  # For example, names of HTTP headers can be bytes.
            return bytes.decode(key, "utf-8", "backslashreplace")  # type: ignore[arg-type]
        return render(str, key) if self._may_ask else unprintable(key)

    def _name(self, text: str) -> str:
        """Return the key in the form that the client sends: without secrets, and not too long."""
        return clip(self._text(clip(self._redaction.mask(text), MAX_KEY)), MAX_KEY)


def _asking(convert: Callable[[bool], Any]) -> Any:
    """Call `convert(True)`, or `convert(False)` if this call is nested in too many other calls."""
    depth = _depth.get()
    _depth.set(depth + 1)
    try:
        return convert(depth < _MAX_NESTED)
    finally:
        _depth.set(depth)


def _is_told_by_str(kind: type) -> bool:
    """Return True if the values of a type are texts, or values such as UUIDs and decimals."""
    if hasattr(kind, "casefold"):  # Only types whose values behave as texts have this method.
        return True
    return any((base.__module__, name_of(base)) in _TOLD_BY_STR for base in kind.__mro__)
