"""Any Python value as plain JSON data: total, bounded, and free of surprises.

What must stay true: `to_plain` never raises an `Exception`, ends for cycles and for structures of
any size, and what it returns consists of dict (with str keys), list, str, int, float, bool and
None only, holding nothing that strict JSON lacks.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from enum import Enum
from math import isfinite
from typing import Any

MAX_DEPTH = 32
MAX_KEY = 256  # characters

CYCLE = "<cycle>"
TOO_DEEP = f"<cut: nested deeper than {MAX_DEPTH}>"
TOO_MANY = "<cut: too many values>"
TRIMMED = "...[trimmed]"

# The names that ECMAScript and the JSON of protobuf use.
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}

# A __repr__ may log, and that entry's values have a __repr__ again. Deeper than this, foreign code
# is no longer asked: unbounded, each level would run into the recursion limit and try twice.
_MAX_NESTED_FOREIGN = 3
_foreign = threading.local()

# Types with a str() that says all: named, so that they need not be imported.
_BY_STR = {("decimal", "Decimal"), ("uuid", "UUID"), ("fractions", "Fraction")}


def to_plain(value: object, limit: int) -> Any:
    """The value as plain JSON data.

    Args:
        value: Anything.
        limit: The most values and the longest string (characters) to keep.
    """
    return _Conversion(limit).convert(value)


def to_text(value: object) -> str:
    """The value as text: str() where it works, a placeholder where it does not."""
    return _call(str, value)


def clip(text: str, length: int) -> str:
    """The text, marked and cut to `length` characters if it is longer."""
    if len(text) <= length:
        return text
    return text[: max(0, length - len(TRIMMED))] + TRIMMED


class _Conversion:
    """One walk over one value, with the budget and the path it has left."""

    __slots__ = ("_budget", "_limit", "_path")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._budget = limit
        self._path: set[int] = set()  # ids of the containers around the present value

    def convert(self, value: object) -> Any:
        self._budget -= 1
        if self._budget < 0:
            return TOO_MANY
        try:
            if value is None or value is True or value is False:
                return value
            if isinstance(value, (str, int, float, Enum)):
                return self._scalar(value)
            return self._other(value)
        except Exception:  # noqa: BLE001 - any foreign method may be broken; the value is marked
            return _unprintable(value)

    def _scalar(self, value: str | float | Enum) -> Any:
        if isinstance(value, Enum):
            return self._inside(value, lambda: self.convert(value.value))
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            whole = int.__index__(value)
            int.__repr__(whole)  # raises above sys.get_int_max_str_digits(), as the encoder would
            return whole
        number = float.__float__(value)
        return number if isfinite(number) else _NOT_FINITE[repr(number)]

    def _text(self, text: str) -> str:
        clipped = clip(str.__str__(text), self._limit)
        # A lone surrogate becomes its visible escape: strict parsers refuse "\ud800" itself.
        return clipped.encode("utf-8", "backslashreplace").decode()

    def _other(self, value: object) -> Any:  # noqa: PLR0911 - a dispatch by type
        if isinstance(value, Mapping):
            return self._inside(value, lambda: self._mapping(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            head = bytes(value[: self._limit])
            return self._text(head.decode("utf-8", "backslashreplace"))
        if isinstance(value, (Sequence, AbstractSet)) and not isinstance(value, range):
            return self._inside(value, lambda: self._items(value))
        if isinstance(value, (date, time)):
            return value.isoformat()
        if isinstance(value, timedelta):
            return str(value)
        if isinstance(value, BaseException):
            return self._text(f"{type(value).__name__}: {to_text(value)}")
        if isinstance(value, os.PathLike):
            return self.convert(os.fspath(value))
        if (type(value).__module__, type(value).__name__) in _BY_STR:
            return self._text(str(value))
        return self._structured(value)

    def _structured(self, value: object) -> Any:
        """What has fields or elements of its own; asked of the type, as instances may pretend."""
        kind = type(value)
        names = _field_names(kind)
        if names is not None:
            return self._inside(
                value, lambda: self._mapping({name: getattr(value, name) for name in names})
            )
        if hasattr(kind, "model_dump"):  # pydantic
            return self._inside(value, lambda: self.convert(value.model_dump()))  # type: ignore[attr-defined]
        if (
            kind.__module__.partition(".")[0] == "numpy"
            and getattr(value, "size", 0) <= self._budget
        ):
            return self._inside(value, lambda: self.convert(value.tolist()))  # type: ignore[attr-defined]
        return self._text(_call(repr, value))

    def _inside(self, value: object, convert: Any) -> Any:
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

    def _mapping(self, mapping: Mapping[Any, Any]) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, value in list(mapping.items()):  # a copy: another thread may be changing it
            name = self._key(key)
            while name in plain:  # 1 and "1": neither is lost
                name += "_"
            plain[name] = self.convert(value)
            if self._budget < 0:
                break
        return plain

    def _key(self, key: object) -> str:
        if isinstance(key, str):
            return clip(self._text(key), MAX_KEY)
        if key is None or isinstance(key, bool):
            return {None: "null", True: "true", False: "false"}[key]  # as `json` writes them
        return clip(self._text(_call(str, key)), MAX_KEY)

    def _items(self, values: Any) -> list[Any]:
        plain = []
        for value in values:
            plain.append(self.convert(value))
            if self._budget < 0:
                break
        return plain


def _field_names(kind: type) -> list[str] | None:
    """The names of the fields of a dataclass or attrs class, else None."""
    if (fields := getattr(kind, "__dataclass_fields__", None)) is not None:
        return list(fields)
    if (attributes := getattr(kind, "__attrs_attrs__", None)) is not None:
        return [attribute.name for attribute in attributes]
    return None


def _call(render: Any, value: object) -> str:
    """`render(value)` (str or repr), or a placeholder if that is broken or nested too deep."""
    depth = getattr(_foreign, "depth", 0)
    if depth >= _MAX_NESTED_FOREIGN:
        return _unprintable(value)
    _foreign.depth = depth + 1
    try:
        return str.__str__(render(value))
    except Exception:  # noqa: BLE001 - any foreign method may be broken; the value is marked
        return _unprintable(value)
    finally:
        _foreign.depth = depth


def _unprintable(value: object) -> str:
    return f"<unprintable {type(value).__name__}>"
