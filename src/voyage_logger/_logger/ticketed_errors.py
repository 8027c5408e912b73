"""The exceptions that have opened a ticket, so that an outer journey opens no second one.

What must stay true: an exception is known by its identity and is not changed. An exception is not
kept alive, because it holds its frames and all their variables. The memory is bounded.
"""

from __future__ import annotations

from collections import deque
from typing import Any

_MOST = 100  # exceptions that are remembered, and members of a group that are examined

# The dict of its attributes identifies an exception. The dict holds no frames, and a new object
# cannot get its id while the dict is held. A builtin exception has no weak references. `vars()`
# would fail for a class that defines `__dict__`.
_attributes_of = BaseException.__dict__["__dict__"].__get__


class Ticketed:
    """The latest exceptions that have opened a ticket.

    Thread-safe without a lock: each access to the deque is one call.
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
        """Return True if the exception, or each member of the group, has opened a ticket."""
        known = {id(attributes) for attributes in self._known.copy()}
        return all(id(_attributes_of(member)) in known for member in _members(error))


def _members(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a group, at any depth; else a list of the exception itself."""
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
    # Python 3.10 has no `BaseExceptionGroup`, so the attribute shows whether the error is a group.
    try:
        members = getattr(error, "exceptions", ())
    except Exception:  # noqa: BLE001 - a failing property of the app; leaving a journey never raises
        return ()
    is_group = type(members) is tuple and all(isinstance(each, BaseException) for each in members)
    return members if is_group else ()
