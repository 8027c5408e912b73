"""Remembers which exceptions opened a ticket: an outer journey must not open another ticket.

What must stay true: an exception is recognized by its identity, and is not changed. This module
keeps no reference to an exception: the reference would also keep all frames of the traceback and
their variables in memory. At most 100 exceptions are remembered.
"""

from __future__ import annotations

from collections import deque
from typing import Any

_MOST = 100  # exceptions in memory

# An exception is recognized by its `__dict__`. This dict of attributes contains no frames.
# While this dict is in memory, no other dict can get the same id. Weak references cannot be used,
# because builtin exceptions do not support weak references. `vars()` would fail if the class of an
# exception defines its own `__dict__`.
_attributes_of = BaseException.__dict__["__dict__"].__get__


class Ticketed:
    """The latest exceptions that have opened a ticket.

    Thread-safe without a lock, because the methods of a deque are atomic.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: deque[dict[str, Any]] = deque(maxlen=_MOST)

    def add(self, error: BaseException) -> None:
        """Remember an exception, or all members of an exception group."""
        self._known.extend([_attributes_of(member) for member in _members(error)])

    def clear(self) -> None:
        """Forget all exceptions."""
        self._known.clear()

    def __contains__(self, error: BaseException) -> bool:
        """Return True if the exception, or every exception of the group, has opened a ticket."""
        known = {id(attributes) for attributes in self._known.copy()}
        return all(id(_attributes_of(member)) in known for member in _members(error))


def _members(error: BaseException) -> list[BaseException]:
    """Return all exceptions of a group and its subgroups, or a list with the single exception."""
    found: list[BaseException] = []
    waiting = [error]
    for _ in range(2 * _MOST):
        if not waiting:
            return found
        each = waiting.pop()
        members = _exceptions_of(each)
        if members:
            waiting += members
        else:
            found.append(each)
    return [error]  # A group with too many members counts as one exception.


def _exceptions_of(error: BaseException) -> tuple[BaseException, ...]:
    # Python 3.10 has no `BaseExceptionGroup`, so the attribute `exceptions` identifies a group.
    try:
        members = getattr(error, "exceptions", ())
    except Exception:  # noqa: BLE001 - `exceptions` might be a property that fails
        return ()
    is_group = type(members) is tuple and all(isinstance(each, BaseException) for each in members)
    return members if is_group else ()
