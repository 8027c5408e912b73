"""A foreign value's own text, `str` or `repr`: what a log call can stand of it.

What must stay true: a broken method costs the value's text alone, and what a container holds costs
no more than `MAX_PRINTED` allows: a list that is shared 30 levels deep takes a few kilobytes, and
its text gigabytes. What fits is printed as it always is.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 32
# Characters of a text that holds other values' texts, where each value counts as so many more: to
# look at it takes as long as to copy them.
MAX_PRINTED, _A_VALUE = 1 << 24, 1 << 8

CYCLE = "<cycle>"
TOO_DEEP = f"<cut: nested deeper than {MAX_DEPTH}>"
TOO_MUCH = "<cut: too much>"

# The types whose texts hold those of other values, and what stands around them.
_HOLDERS: dict[Any, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
    deque: ("deque([", "])"),
    BaseException: ("(", ")"),  # behind its name
}
_SIZED: tuple[Any, ...] = (str, bytes, bytearray)
_LEAVES = frozenset((*_SIZED, int, float, bool, type(None)))
# Of asyncio, and of PyO3 (which cannot be imported).
_DEFECTS = ("CancelledError", "PanicException")

name_of = type.__dict__["__name__"].__get__  # a metaclass may have a `__name__` of its own


def render(method: Callable[[Any], str], value: object) -> str:
    """`method(value)`, or a placeholder if that is broken."""
    try:
        return str.__str__(method(bounded(value)))
    except BaseException as error:
        if not is_defect(error):
            raise
        return unprintable(value)


def is_defect(error: BaseException) -> bool:
    """True if the error tells of a broken value, False if it is meant for the app.

    An interrupt, an exit or a time limit (by a signal handler, by gevent) may hit a log call at any
    place, and has to come through. A cancelled future in a property, or a panic in an extension
    written in Rust, is as good as any `Exception`, and is none.
    """
    return isinstance(error, Exception) or name_of(type(error)) in _DEFECTS


def unprintable(value: object) -> str:
    """What stands for a value whose methods are broken."""
    return f"<unprintable {name_of(type(value))}>"


def bounded(value: object) -> Any:
    """The value itself; in the place of one that holds too much, what prints the beginning."""
    fits = _base_of(type(value)) is None or _room_after(value, MAX_PRINTED, set()) >= 0
    return value if fits else _Large(value)


class _Large:
    """What stands for a container or an exception of which only the beginning is printed."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "".join(_beginning(self._value, MAX_PRINTED, set())[0])

    def __getitem__(self, key: str) -> Any:
        return bounded(self._value[key])  # for a format: "%(name)s"


def _base_of(kind: Any) -> Any:
    """Which of the holders the type is one of, else None.

    Not if it has a text of its own, which may leave out what the value holds.
    """
    if kind in _LEAVES:
        return None
    base = next((base for base in _HOLDERS if issubclass(kind, base)), None)
    if base is None or kind is base:
        return base
    if base is BaseException:
        return base if kind.__str__ in (base.__str__, KeyError.__str__) else None
    own = kind.__repr__
    maker = getattr(own, "__objclass__", own).__module__  # of namedtuple, OrderedDict, Counter
    is_usual = own is base.__repr__ or maker == "collections"
    return base if is_usual and kind.__str__ is object.__str__ else None


def _held(value: Any, base: Any, room: int) -> list[Any]:
    """What the value's text would hold, if not all of it then more than there is room for."""
    most = room // _A_VALUE + 2
    if base is dict:
        return [each for item in islice(dict.items(value), most) for each in item]
    if base is BaseException:
        value, base = BaseException.args.__get__(value), tuple  # type: ignore[attr-defined]
    return list(islice(base.__iter__(value), most))


def _room_after(value: Any, room: int, path: set[int]) -> int:
    """What is left of so many characters after the value's text; below 0, it does not fit."""
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
    """The value's repr in pieces, as far as there is room; and the room that is left."""
    room -= _A_VALUE
    kind = type(value)
    base = _base_of(kind)
    if base is None:
        room -= _length(value, kind)
        # Whole or not at all: half a secret could not be found and masked any more.
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
    """How long the value's text is at least, without asking the value: 0 where nobody knows."""
    base = next((base for base in _SIZED if issubclass(kind, base)), None)
    return 0 if base is None else base.__len__(value)
