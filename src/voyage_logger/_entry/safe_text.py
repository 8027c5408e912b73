"""The `str` or `repr` of any value, bounded and without errors.

What must stay true: a value whose method is broken loses only its own text. The text of a container
is at most `MAX_PRINTED` long: a list with 30 levels of shared lists needs a few kilobytes, but its
`repr` needs gigabytes. A text within the bound is the text that Python prints.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 32
# The most characters of a container's text. Each value in the container counts as `_A_VALUE` more
# characters, because visiting a value takes as long as copying so many characters.
MAX_PRINTED, _A_VALUE = 1 << 24, 1 << 8

CYCLE = "<cycle>"
TOO_DEEP = f"<cut: nested deeper than {MAX_DEPTH}>"
TOO_MUCH = "<cut: too much>"

# The types whose texts contain the texts of other values, and their brackets.
_HOLDERS: dict[Any, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
    deque: ("deque([", "])"),
    BaseException: ("(", ")"),  # The name of the class comes first.
}
_SIZED: tuple[Any, ...] = (str, bytes, bytearray)
_LEAVES = frozenset((*_SIZED, int, float, bool, type(None)))
# Classes of asyncio and of PyO3; the second one cannot be imported.
_DEFECTS = ("CancelledError", "PanicException")

name_of = type.__dict__["__name__"].__get__  # A metaclass may define `__name__`.


def render(method: Callable[[Any], str], value: object) -> str:
    """Return `method(value)`, or a placeholder if the method is broken."""
    try:
        return str.__str__(method(bounded(value)))
    except BaseException as error:
        if not is_defect(error):
            raise
        return unprintable(value)


def is_defect(error: BaseException) -> bool:
    """Return True if the error comes from a broken value, False if the app must receive it.

    The app must receive an interrupt, an exit, or a time limit of a signal handler or of gevent,
    even from the middle of a log call. A cancelled future in a property or a panic of Rust code
    comes from a value, although such an error is not an `Exception`.
    """
    return isinstance(error, Exception) or name_of(type(error)) in _DEFECTS


def unprintable(value: object) -> str:
    """Return the placeholder of a value whose methods are broken."""
    return f"<unprintable {name_of(type(value))}>"


def bounded(value: object) -> Any:
    """Return the value, or an object that prints only the beginning of a large value."""
    fits = _base_of(type(value)) is None or _room_after(value, MAX_PRINTED, set()) >= 0
    return value if fits else _Large(value)


class _Large:
    """A container or an exception of which only the beginning is printed."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "".join(_beginning(self._value, MAX_PRINTED, set())[0])

    def __getitem__(self, key: str) -> Any:
        return bounded(self._value[key])  # A format such as "%(name)s" uses this.


def _base_of(kind: Any) -> Any:
    """Return the type in `_HOLDERS` that prints a value of this type; None for its own text."""
    if kind in _LEAVES:
        return None
    base = next((base for base in _HOLDERS if issubclass(kind, base)), None)
    if base is None or kind is base:
        return base
    if base is BaseException:
        return base if kind.__str__ in (base.__str__, KeyError.__str__) else None
    own = kind.__repr__
    maker = getattr(own, "__objclass__", own).__module__  # namedtuple, OrderedDict and Counter
    is_usual = own is base.__repr__ or maker == "collections"
    return base if is_usual and kind.__str__ is object.__str__ else None


def _held(value: Any, base: Any, room: int) -> list[Any]:
    """Return the values in the container's text, or more of them than there is room for."""
    most = room // _A_VALUE + 2
    if base is dict:
        return [each for item in islice(dict.items(value), most) for each in item]
    if base is BaseException:
        value, base = BaseException.args.__get__(value), tuple  # type: ignore[attr-defined]
    return list(islice(base.__iter__(value), most))


def _room_after(value: Any, room: int, path: set[int]) -> int:
    """Return how much room the value's text leaves; below 0, the text does not fit."""
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
    """Return pieces of the value's repr, as far as there is room, and the remaining room."""
    room -= _A_VALUE
    kind = type(value)
    base = _base_of(kind)
    if base is None:
        room -= _length(value, kind)
        # A text is never cut here, because a part of a secret would not be found and masked.
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
    """Return the least length of the value's text, or 0 for an unknown type."""
    base = next((base for base in _SIZED if issubclass(kind, base)), None)
    return 0 if base is None else base.__len__(value)


def printable(text: str) -> str:
    """Return the text with each control character as a visible escape."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
