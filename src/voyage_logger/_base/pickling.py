"""Copying and pickling of loggers and transports: a process has one object of each.

What must stay true: a pickle contains no secret. All pickles of one object give one object in
another process; in the first process and its forked children, they give the original object.
Unpickling starts no thread, opens no connection and takes no lock that a fork could copy.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Key = tuple[tuple[str, bytes], ...]

_SECRETS = ("api_key", "api_secret")

# The objects that were made in this process, by the name in their pickles. No lock is needed: at
# worst, two threads make one object too many, which is then never used.
_originals: weakref.WeakValueDictionary[str, Restorable] = weakref.WeakValueDictionary()
# The objects that were unpickled, by the name in their pickles. The process keeps them until it
# ends, because no other code refers to them between two tasks of a pool.
_restored: dict[str, Restorable] = {}


class Restorable:
    """An object whose pickle is its constructor's arguments, and whose copy is the object itself.

    The constructor of a subclass calls `_remember`.
    """

    _left_out: ClassVar[tuple[str, ...]] = ()
    _name: str
    _arguments: dict[str, Any]
    _has_own_secrets: bool
    _has_own_constructor: bool

    def _remember(self, constructor: Callable[..., None], arguments: Mapping[str, Any]) -> None:
        """Store the arguments that a pickle will contain: the `locals()` of the constructor."""
        left_out = ("self", *_SECRETS, *self._left_out)
        self._arguments = {name: arguments[name] for name in arguments if name not in left_out}
        self._has_own_secrets = any(arguments[name] is not None for name in _SECRETS)
        self._has_own_constructor = type(self).__init__ is not constructor
        self._name = os.urandom(8).hex()
        _originals[self._name] = self

    @classmethod
    def _from(cls, arguments: dict[str, Any]) -> Restorable:
        """Make an object from arguments without secrets; missing secrets must not raise."""
        return cls(**arguments)

    @property
    def _is_spent(self) -> bool:
        """True if unpickling must make a new object instead of returning this object."""
        return False

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._has_own_constructor:
            kind = type(self).__name__
            rule = "a class with an __init__ of its own must define __reduce__, too"
            raise TypeError(f"cannot pickle {kind}: {rule}")
        return restore, (type(self), self._name, self._arguments)


def restore(kind: type[Restorable], name: str, arguments: dict[str, Any]) -> Restorable:
    """Return the object of a pickle. A pickle has the path and the arguments of this function."""
    original = _originals.get(name)
    if original is not None:
        return original
    known = _restored.get(name)
    if known is not None and not known._is_spent:  # noqa: SLF001 - of the same base class
        return known
    found = _equal(kind, arguments)
    if found is None:
        found = kind._from(arguments)  # noqa: SLF001 - of the same base class
        found._name = name  # noqa: SLF001 - a pickle that returns to the first process finds the original
    if _restored.get(name) is known:
        _restored[name] = found
    return _restored[name]


def _equal(kind: type[Restorable], arguments: dict[str, Any]) -> Restorable | None:
    """Return an object of this process with the same class and arguments, or None.

    An object with secrets of its own does not count, because an unpickled object has none.
    """
    key = _key(arguments)
    if key is None:
        return None
    for reference in _originals.valuerefs():
        other = reference()
        if type(other) is not kind or other._has_own_secrets or other._is_spent:  # noqa: SLF001
            continue
        if _key(other._arguments) == key:  # noqa: SLF001 - of the same base class
            return other
    return None


def _key(arguments: dict[str, Any]) -> Key | None:
    """Return the pickle of each argument, or None if one cannot be pickled, such as a lambda.

    Pickles can be compared without the `__eq__` of the arguments. One pickle of all arguments would
    depend on whether two equal arguments are one object.
    """
    import pickle  # noqa: PLC0415 - slow to import, rarely needed

    try:
        return tuple((name, pickle.dumps(_ordered(arguments[name]))) for name in sorted(arguments))
    except Exception:  # noqa: BLE001 - the pickling of a foreign object may raise anything
        return None


def _ordered(value: Any) -> Any:
    """Return a set as a sorted list, because the order in pickles of equal sets may differ."""
    return sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
