"""Read the fields and items of an object one by one.

What must stay true: if reading one part raises an error, a mark such as `<raised KeyError>` takes
the place of this part, and the other parts are read. After `_MOST_BROKEN` errors, no more parts of
the object are read: each error can take long, for example if a database does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from voyage_logger._entry.safe_text import is_defect, name_of

if TYPE_CHECKING:
    from voyage_logger._entry.object_fields import Shown

T = TypeVar("T")

_MOST_BROKEN = 16
_UNSET = object()
# A mapping that can have several values for one key has one of these methods, for example the
# `request.POST` of Django, the headers of httpx, and the query of aiohttp.
_READ_ALL = ("getlist", "getall", "get_list")


def first(values: Iterable[T], most: int) -> tuple[list[T], str | None]:
    """Return the first values of an iterable, and a mark if the iterable raised an error.

    If the iterable raises an error before its first value, raise this error.
    """
    found: list[T] = []
    try:
        found.extend(islice(values, most))  # After an error, `found` has the values before it.
    except BaseException as error:
        if not found or not is_defect(error):
            raise
        return found, _raised(error)
    return found, None


def pairs(mapping: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
    """Return the items of a mapping. If a key has several values, its item contains a list."""
    kind: Any = type(mapping)
    read_all = method_for_all(kind)
    if read_all is not None:
        keys = dict.fromkeys(mapping.keys())  # Such a mapping can list a key once for each value.
        return _each(keys, lambda key: _one_or_all(list(read_all(mapping, key))))
    if kind.items is Mapping.items:
        return _each(mapping, mapping.__getitem__)
    return mapping.items()  # For example, the items of a `MappingProxyType`.


def method_for_all(kind: Any) -> Callable[[Any, Any], Iterable[Any]] | None:
    """Return the method that reads all values of a key, or None if a key has only one value."""
    return next((getattr(kind, name) for name in _READ_ALL if hasattr(kind, name)), None)


def elements(values: Iterable[T]) -> Iterable[T]:
    """Return the elements of a sequence or set."""
    kind: Any = type(values)
    if issubclass(kind, Sequence) and kind.__iter__ is Sequence.__iter__:
        sequence: Any = values
        return (element for _, element in _each(range(len(sequence)), sequence.__getitem__))
    return values


def attributes(value: object, shown: Shown) -> Iterable[tuple[str, Any]]:
    """Return the names and values of the attributes that are set."""

    def read(name: str) -> Any:
        found, show = getattr(value, name, _UNSET), shown[name]
        return found if show is None or found is _UNSET else show(found)

    return (pair for pair in _each(shown, read) if pair[1] is not _UNSET)


def _each(names: Iterable[T], read: Callable[[T], Any]) -> Iterator[tuple[T, Any]]:
    """Yield each name, and the part that `read` returns for this name."""
    broken = 0
    for name in names:
        try:
            part = read(name)
        except BaseException as error:
            if not is_defect(error):
                raise
            broken += 1
            if broken > _MOST_BROKEN:
                raise
            part = _raised(error)
        yield name, part


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _raised(error: BaseException) -> str:
    return f"<raised {name_of(type(error))}>"
