"""Find the `str` or `repr` of any value. Limit the length of the text, and raise no error.

What must stay true: if a method of a value is broken, only the text of this value is lost. The text
of a container has at most `MAX_PRINTED` characters. Without this limit, a few kilobytes of data
could become gigabytes of text: imagine 30 lists, and each list contains the next list twice. If the
text does not exceed the limit, it is exactly the text that Python prints.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 32
# The text of a container has at most `MAX_PRINTED` characters. Each value in the container counts
# as `_A_VALUE` additional characters, because reading a value takes time.
MAX_PRINTED, _A_VALUE = 1 << 24, 1 << 8

CYCLE = "<cycle>"
TOO_DEEP = f"<cut: nested deeper than {MAX_DEPTH}>"
TOO_MUCH = "<cut: too much>"

# For each container type: the opening bracket and the closing bracket in the text of the container.
_HOLDERS: dict[Any, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
    deque: ("deque([", "])"),
    BaseException: ("(", ")"),  # The class name comes before the opening bracket.
}
_SIZED: tuple[Any, ...] = (str, bytes, bytearray)
_LEAVES = frozenset((*_SIZED, int, float, bool, type(None)))
# These exceptions are listed by name, because `PanicException` of PyO3 cannot be imported.
_DEFECTS = ("CancelledError", "PanicException")

name_of = type.__dict__["__name__"].__get__  # A `__name__` of a metaclass has no effect.


def render(method: Callable[[Any], str], value: object) -> str:
    """Return `method(value)`, or a placeholder if the method raises an error."""
    try:
        return str.__str__(method(bounded(value)))
    except BaseException as error:
        if not is_defect(error):
            raise
        return unprintable(value)


def is_defect(error: BaseException) -> bool:
    """Return True if a broken value raised the error, or False if the app must receive the error.

    The app must receive `KeyboardInterrupt`, `SystemExit`, and the timeouts of signal handlers and
    of gevent, even during a log call. The errors in `_DEFECTS` are not subclasses of `Exception`,
    but a broken value can raise them. For example, a property of the value reads a cancelled
    future, or runs Rust code that panics.
    """
    return isinstance(error, Exception) or name_of(type(error)) in _DEFECTS


def content(value: Any) -> Any:
    """Return the value of an enum member, or any other value unchanged.

    The member of a class such as `class Event(str, Enum)` is a text itself. `json.dumps` sends this
    text even if the `value` of the member is something else.
    """
    kind = type(value)
    if not issubclass(kind, Enum):
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__index__(value)
    if issubclass(kind, float):
        return float.__float__(value)
    try:
        return value.value
    except BaseException as error:
        if not is_defect(error):
            raise
        return unprintable(value)


def unprintable(value: object) -> str:
    """Return the placeholder for a value whose methods are broken or must not be called."""
    return f"<unprintable {name_of(type(value))}>"


def bounded(value: object) -> Any:
    """Return a small value itself, or a wrapper that prints only the start of a large value."""
    fits = _base_of(type(value)) is None or _room_after(value, MAX_PRINTED, set()) >= 0
    return value if fits else _Large(value)


class _Large:
    """A wrapper that prints only the beginning of a large container or exception."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "".join(_beginning(self._value, MAX_PRINTED, set())[0])


def has_own_repr(kind: Any, base: Any) -> bool:
    """Return True if a subclass of the container type `base` defines its own `repr`."""
    own = kind.__repr__
    # The `repr` of a namedtuple, an OrderedDict or a Counter is defined in `collections`.
    return (
        own is not base.__repr__ and getattr(own, "__objclass__", own).__module__ != "collections"
    )


def shown_text(value: Any, text: str, base: Any) -> str:
    """Return `text`, the content of a `str` or of bytes, unless the value hides its content.

    A subclass hides the content if its own `__str__` or `__repr__` returns a text without it.
    """
    kind = type(value)
    for method in (str, repr):
        name = f"__{method.__name__}__"
        if getattr(kind, name) is not getattr(base, name):
            shown = render(method, value)
            if text not in shown and repr(text)[1:-1] not in shown and shown != unprintable(value):
                return shown
    return text


def _base_of(kind: Any) -> Any:
    """Return the type in `_HOLDERS` whose `repr` prints the instances of `kind`, or None."""
    if kind in _LEAVES:
        return None
    base = next((base for base in _HOLDERS if issubclass(kind, base)), None)
    if base is None or kind is base:
        return base
    if base is BaseException:
        return base if kind.__str__ in (base.__str__, KeyError.__str__) else None
    return None if has_own_repr(kind, base) or kind.__str__ is not object.__str__ else base


def _held(value: Any, base: Any, room: int) -> list[Any]:
    """Return the first values in a container. Leave out values that cannot fit into `room`."""
    most = room // _A_VALUE + 2
    if base is dict:
        return [each for item in islice(dict.items(value), most) for each in item]
    if base is BaseException:
        value, base = BaseException.args.__get__(value), tuple  # type: ignore[attr-defined]
    return list(islice(base.__iter__(value), most))


def _room_after(value: Any, room: int, path: set[int]) -> int:
    """Return the rest of `room` after the value's text, or less than 0 if the text is too long."""
    room -= _A_VALUE
    kind = type(value)
    base = _base_of(kind)
    if base is None:
        return room - _length(value, kind)
    if id(value) in path:
        return room
    if len(path) >= MAX_DEPTH or room < 0:
        return -1
    path.add(id(value))
    for each in _held(value, base, room):
        room = _room_after(each, room, path)
        if room < 0:
            break
    path.discard(id(value))
    return room


def _beginning(value: Any, room: int, path: set[int]) -> tuple[list[str], int]:
    """Return two values: the first pieces of the value's `repr`, and the rest of `room`."""
    room -= _A_VALUE
    kind = type(value)
    base = _base_of(kind)
    if base is None:
        room -= _length(value, kind)
        # Never cut a text here: a cut could leave half a secret, which masking would not find.
        return [render(repr, value) if room >= 0 else TOO_MUCH], room
    if id(value) in path:
        return [CYCLE], room
    if len(path) >= MAX_DEPTH or room < 0:
        return [TOO_MUCH if room < 0 else TOO_DEEP], room
    path.add(id(value))
    opening, closing = _HOLDERS[base]
    pieces = [name_of(kind), opening] if base is BaseException else [opening]
    for position, each in enumerate(_held(value, base, room)):
        if position:
            pieces.append(": " if base is dict and position % 2 else ", ")
        more, room = _beginning(each, room, path)
        pieces += more
        if room < 0:
            break
    path.discard(id(value))
    return [*pieces, closing], room


def _length(value: Any, kind: type) -> int:
    """Return the length of a text or of bytes. Return 0 for values of other types."""
    base = next((base for base in _SIZED if issubclass(kind, base)), None)
    return 0 if base is None else base.__len__(value)
