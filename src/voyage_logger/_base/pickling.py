"""Copy and pickle loggers and transports without a second instance in the same process.

What must stay true: a pickle contains no secrets. If another process loads several pickles of one
logger, the process gets the same logger from each pickle. The process that made a logger, and the
forked children of that process, get the original logger from a pickle. Transports follow the same
rules as loggers. Unpickling starts no thread, opens no connection and takes no lock that a forked
child could inherit.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Key = tuple[tuple[str, bytes], ...]

_SECRETS = ("api_key", "api_secret")

# The loggers and transports that were made in this process, by the name in their pickles. No lock
# is needed: in the worst case, two threads unpickle two instances, and one of them is never used.
_originals: weakref.WeakValueDictionary[str, Restorable] = weakref.WeakValueDictionary()
# The loggers and transports that were unpickled, by the name in their pickles. This dict keeps an
# unpickled logger until the process ends. In a process pool, nothing else keeps the logger between
# two tasks.
_restored: dict[str, Restorable] = {}


class Restorable:
    """The base class of loggers and transports: the pickle contains the constructor's arguments.

    A copy of an instance is the instance itself. The constructor of a subclass calls `_remember`.
    """

    _left_out: ClassVar[tuple[str, ...]] = ()
    _name: str
    _arguments: dict[str, Any]
    _has_own_secrets: bool
    _has_own_constructor: bool

    def _remember(self, constructor: Callable[..., None], arguments: Mapping[str, Any]) -> None:
        """Store the arguments for later pickles. `arguments` is the constructor's `locals()`."""
        left_out = ("self", *_SECRETS, *self._left_out)
        self._arguments = {name: arguments[name] for name in arguments if name not in left_out}
        self._has_own_secrets = any(arguments[name] is not None for name in _SECRETS)
        self._has_own_constructor = type(self).__init__ is not constructor
        self._name = os.urandom(8).hex()
        _originals[self._name] = self

    @classmethod
    def _from(cls, arguments: dict[str, Any]) -> Restorable:
        """Make an instance from arguments without secrets. Missing secrets must raise no error."""
        return cls(**arguments)

    @property
    def _is_spent(self) -> bool:
        """True if unpickling must make a new instance instead of returning this instance."""
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
    """Return the instance for a pickle. Unpickling calls this function by its import path."""
    original = _originals.get(name)
    if original is not None:
        return original
    known = _restored.get(name)
    if known is not None and not known._is_spent:  # noqa: SLF001 - an object of this class
        return known
    found = _equal(kind, arguments)
    if found is None:
        found = kind._from(arguments)  # noqa: SLF001 - an object of this class
        found._name = name  # noqa: SLF001 - a pickle that is sent back must find the original logger
    if _restored.get(name) is known:
        _restored[name] = found
    return _restored[name]


def _equal(kind: type[Restorable], arguments: dict[str, Any]) -> Restorable | None:
    """Return an instance of this process with the same class and arguments, or None.

    An instance that was given its own secrets does not match, because pickles contain no secrets.
    """
    key = _key(arguments)
    if key is None:
        return None
    for reference in _originals.valuerefs():
        other = reference()
        if type(other) is not kind or other._has_own_secrets or other._is_spent:  # noqa: SLF001
            continue
        if _key(other._arguments) == key:  # noqa: SLF001 - an object of this class
            return other
    return None


def _key(arguments: dict[str, Any]) -> Key | None:
    """Return the pickle of each argument, or None if an argument cannot be pickled.

    Pickles can be compared without a call of the arguments' `__eq__`. Each argument has its own
    pickle, because a single pickle would differ if two arguments were the same object.
    """
    import pickle  # noqa: PLC0415 - slow to import, rarely needed

    try:
        return tuple((name, pickle.dumps(_ordered(arguments[name]))) for name in sorted(arguments))
    except Exception:  # noqa: BLE001 - the pickling of an app's object may raise any error
        return None


def _ordered(value: Any) -> Any:
    """Return a set as a sorted list: pickles of equal sets may have the items in another order."""
    return sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
