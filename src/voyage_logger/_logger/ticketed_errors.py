"""Which exceptions have opened a ticket on their way out, so that no journey around opens another.

What must stay true: an exception is known by identity, is not changed, and is not kept alive,
for with it its frames would be, and all that the app has in them; memory is bounded.
"""

from __future__ import annotations

from collections import deque
from typing import Any

_MOST = 100  # exceptions that are remembered, and members of a group that are looked at

# Every exception's own dict of attributes. It stands for the exception: builtin ones cannot be
# referred to weakly, and the id of one that is gone may be another's. A dict that is held keeps its
# id to itself, and holds no frames. Not `vars()`, for a class may define a `__dict__` of its own.
_attributes_of = BaseException.__dict__["__dict__"].__get__


class Ticketed:
    """The latest exceptions that have opened a ticket.

    Thread-safe without a lock: each access to the deque is one call.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: deque[dict[str, Any]] = deque(maxlen=_MOST)

    def add(self, error: BaseException) -> None:
        """Remembers the exception; of a group, all its members."""
        self._known.extend([_attributes_of(member) for member in _members(error)])

    def clear(self) -> None:
        """Forgets them all."""
        self._known.clear()

    def __contains__(self, error: BaseException) -> bool:
        """True if a ticket tells of the exception; of a group, of all its members."""
        known = {id(attributes) for attributes in self._known.copy()}
        return all(id(_attributes_of(member)) in known for member in _members(error))


def _members(error: BaseException) -> list[BaseException]:
    """The exceptions that a group consists of, however deep; for any other, itself.

    A group is told by what it holds, for until 3.10 its class comes from a backport.
    """
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
    return [error]  # too many to look at: the group counts as one


def _exceptions_of(error: BaseException) -> tuple[BaseException, ...]:
    try:
        members = getattr(error, "exceptions", ())
    except Exception:  # noqa: BLE001 - a property of the app's own; leaving a journey never raises
        return ()
    is_group = type(members) is tuple and all(isinstance(each, BaseException) for each in members)
    return members if is_group else ()
