"""Any Python value as plain JSON data: total, bounded, and free of surprises.

What must stay true: `to_plain` raises for no value (see `is_defect`), ends for cycles and for
structures of any size, and what it returns consists of dict (with str keys), list, str, int,
float, bool and None only, holding nothing that strict JSON lacks.

A value's type is asked of `type()`, never of `isinstance`: a proxy's `__class__` runs foreign code.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, time
from enum import Enum
from itertools import count, islice
from math import isfinite
from typing import Any

from voyage_logger._base.frozen import Value
from voyage_logger._entry.redaction import MASK, NOTHING, Redaction
from voyage_logger._entry.safe_text import (
    CYCLE,
    MAX_DEPTH,
    TOO_DEEP,
    TOO_MUCH,
    is_defect,
    name_of,
    render,
    unprintable,
)

MAX_KEY = 256  # characters

TRIMMED = "...[trimmed]"

# The names that ECMAScript and the JSON of protobuf use.
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
# Types whose str() says all: named, so that they need not be imported.
_TOLD_BY_STR = {
    ("collections", "UserString"),
    ("datetime", "timedelta"),
    ("decimal", "Decimal"),
    ("fractions", "Fraction"),
    ("uuid", "UUID"),
}
# How many times the limit is kept in texts, for `_trimming` to choose from; beyond that each text
# is clipped to so many characters.
_GENEROSITY = 4
_CLIPPED = 64
# A __repr__ may log, and that entry's values have a __repr__ again. Within so many conversions of
# one thread foreign code is no longer asked: without an end, each would try to the stack's end.
_MAX_NESTED = 3

_nested = threading.local()


def to_plain(value: object, limit: int, redaction: Redaction = NOTHING) -> Any:
    """The value as plain JSON data.

    Args:
        value: Anything.
        limit: The longest text to keep, characters; of all together, a small multiple is kept.
        redaction: What is to be masked; the outermost keys are those of an entry.
    """
    return _asking(lambda may_ask: _Conversion(limit, redaction, may_ask=may_ask).convert(value))


def to_text(value: object) -> str:
    """The value as text: str() where it works, a placeholder where it does not.

    Of containers and exceptions that hold too much, the beginning.
    """
    if type(value) is bytes:
        return value.decode("utf-8", "backslashreplace")
    return str(_asking(lambda may_ask: render(str, value) if may_ask else unprintable(value)))


def clip(text: str, length: int) -> str:
    """The text, marked and cut to `length` characters if it is longer."""
    if len(text) <= length:
        return text
    return text[: max(0, length - len(TRIMMED))] + TRIMMED


class _Conversion:
    """One walk over one value, with the budget and the path it has left."""

    __slots__ = ("_limit", "_may_ask", "_path", "_redaction", "_room", "_values")

    def __init__(self, limit: int, redaction: Redaction, *, may_ask: bool) -> None:
        self._redaction = redaction
        self._limit = limit
        self._room = limit * _GENEROSITY  # characters of texts and numbers
        self._values = limit  # values, of which each takes a byte at least
        self._may_ask = may_ask
        self._path: set[int] = set()  # ids of the containers around the present value

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

    def _known(self, value: Any, kind: type) -> Any:  # noqa: PLR0911 - a dispatch by type
        if issubclass(kind, Enum) and self._may_ask:
            return self._inside(value, lambda: self.convert(value.value))
        if issubclass(kind, str):
            return self._text(str.__str__(value))
        if issubclass(kind, int):
            number = int.__index__(value)
            text = int.__repr__(number)  # raises above the interpreter's own limit
            if self._redaction.mask(text) != text:
                return MASK
            digits = len(text)
            self._room -= digits
            return number if self._room > 0 or digits < _CLIPPED else TOO_MUCH
        if issubclass(kind, float):
            real = float.__float__(value)
            return real if isfinite(real) else _NOT_FINITE[repr(real)]
        if issubclass(kind, dict):
            return self._inside(value, lambda: self._mapping(dict.items(value)))
        if issubclass(kind, (list, tuple)):
            iterate = list.__iter__ if issubclass(kind, list) else tuple.__iter__
            return self._inside(value, lambda: self._items(iterate(value)))
        if issubclass(kind, (bytes, bytearray, memoryview)):
            # Twice the limit, so that no secret is cut before it is masked.
            return self._text(bytes(value[: 2 * self._limit]).decode("utf-8", "backslashreplace"))
        return self._foreign(value, kind) if self._may_ask else unprintable(value)

    def _foreign(self, value: Any, kind: type) -> Any:  # noqa: PLR0911 - a dispatch by type
        """What takes calls of methods that may be anybody's."""
        if (kind.__module__, name_of(kind)) in _TOLD_BY_STR:
            return self._text(render(str, value))
        if issubclass(kind, Mapping):
            return self._inside(value, lambda: self._mapping(value.items()))
        if issubclass(kind, (Sequence, AbstractSet)) and not issubclass(kind, range):
            return self._inside(value, lambda: self._items(value))
        if issubclass(kind, (date, time)):
            return self._text(render(kind.isoformat, value))
        if issubclass(kind, BaseException):
            return self._text(f"{name_of(kind)}: {render(str, value)}")
        if issubclass(kind, os.PathLike):
            return self._inside(value, lambda: self.convert(os.fspath(value)))
        names = _field_names(kind)
        if names is not None:
            fields = ((name, getattr(value, name)) for name in names if hasattr(value, name))
            return self._inside(value, lambda: self._mapping(fields))
        if hasattr(kind, "model_dump"):  # pydantic
            return self._inside(value, lambda: self.convert(_dumped(value)))
        is_array = kind.__module__.partition(".")[0] == "numpy" and hasattr(kind, "tolist")
        if is_array and getattr(value, "size", 1) <= self._limit // 2:  # an element and a comma
            return self._inside(value, lambda: self._array(value))
        return self._text(render(repr, value))

    def _array(self, value: Any) -> Any:
        """An array or a scalar of numpy."""
        dtype = getattr(value, "dtype", None)
        names = getattr(dtype, "names", None)  # of a record's fields
        is_time = getattr(dtype, "kind", "") in ("M", "m")
        if getattr(value, "ndim", 0):
            # Of records `tolist` leaves out the names, and of times the unit.
            return self._items(value) if names or is_time else self.convert(value.tolist())
        if names:
            return self._mapping((name, value[name]) for name in names)
        plain = value.tolist()
        if is_time and type(plain) is int:  # nanoseconds, for which `datetime` has no place
            return self._text(render(str, value))
        if type(plain) is not type(value):
            return self.convert(plain)
        return self.convert(float(value)) if dtype.kind == "f" else self._text(render(repr, value))  # type: ignore[union-attr]

    def _text(self, text: str) -> str:
        # A lone surrogate becomes its visible escape: strict parsers refuse "\ud800" itself.
        most = max(_CLIPPED, min(self._limit, self._room))
        masked = self._redaction.mask(text)  # before the cut: half a secret is still one
        clipped = clip(masked, most).encode("utf-8", "backslashreplace").decode()
        self._room -= len(clipped)
        return clipped

    def _inside(self, value: object, convert: Callable[[], Any]) -> Any:
        """The result of `convert`, unless the value contains itself or lies too deep."""
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
        for key, value in self._snapshot(items):
            whole = self._key(key)
            name = own_name = self._name(whole)
            while name in plain:  # 1 and "1", or two long keys with one beginning: none is lost
                name = f"{own_name}#{next(numbers)}"
            plain[name] = MASK if self._hides(whole) else self.convert(value)
            if self._values < 0:
                break
        return plain

    def _hides(self, key: str) -> bool:
        is_top = len(self._path) == 1
        return self._redaction.hides_at_top(key) if is_top else self._redaction.hides(key)

    def _items(self, values: Iterable[Any]) -> list[Any]:
        plain = []
        for value in self._snapshot(values):
            plain.append(self.convert(value))
            if self._values < 0:
                break
        return plain

    def _snapshot(self, values: Iterable[Any]) -> list[Any]:
        """As many as may fit, at one moment: another thread, or a repr, may be changing them."""
        return list(islice(values, max(0, self._values) + 1))

    def _key(self, key: object) -> str:
        """The key as text, whole: by that it hides its value or does not."""
        if key is None or key is True or key is False:
            return {None: "null", True: "true", False: "false"}[key]  # as `json` writes them
        kind = type(key)
        if issubclass(kind, str):
            return str.__str__(key)
        if issubclass(kind, Enum) and self._may_ask:
            return self._key(key.value)  # type: ignore[attr-defined]
        if issubclass(kind, bytes):  # as header names come: b"authorization"
            return bytes.decode(key, "utf-8", "backslashreplace")  # type: ignore[arg-type]
        return render(str, key) if self._may_ask else unprintable(key)

    def _name(self, text: str) -> str:
        """The key as it is sent."""
        return clip(self._text(clip(self._redaction.mask(text), MAX_KEY)), MAX_KEY)


def _asking(convert: Callable[[bool], Any]) -> Any:
    """Calls `convert`, with whether foreign code may still be asked in this thread."""
    depth = getattr(_nested, "depth", 0)
    _nested.depth = depth + 1
    try:
        return convert(depth < _MAX_NESTED)
    finally:
        _nested.depth = depth


def _dumped(model: Any) -> Any:
    """What a model of pydantic holds; a field of another type than declared is no matter."""
    try:
        return model.model_dump(warnings=False)
    except TypeError:  # a method of the model's own, which does not know that argument
        return model.model_dump()


def _field_names(kind: Any) -> Iterable[str] | None:
    """Return the names of the fields of a value, a dataclass or an attrs class, else None."""
    if issubclass(kind, Value):
        return tuple(kind.__match_args__)
    if hasattr(kind, "__dataclass_fields__"):
        import dataclasses  # noqa: PLC0415 - whoever made such a class has paid for it

        return [field.name for field in dataclasses.fields(kind)]
    if (attributes := getattr(kind, "__attrs_attrs__", None)) is not None:
        return [attribute.name for attribute in attributes]
    return None
