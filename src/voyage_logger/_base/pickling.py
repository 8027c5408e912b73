"""Copy and pickle loggers and transports, but never make a second instance in one process.

What must stay true: a pickle contains no secrets. If another process loads several pickles of one
logger, the process gets the same logger from each pickle. If the process that made a logger loads a
pickle of this logger, the process gets the original logger. A forked child gets the logger that the
child has inherited. Transports follow the same rules as loggers. Loading a pickle starts no thread,
opens no connection, and takes no lock except `loading`, which each fork waits for.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

from voyage_logger._base.fork_locks import loading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Key = tuple[tuple[str, bytes], ...]

_SECRETS = ("api_key", "api_secret")

# The loggers and transports that this process made. Each key is the name that a pickle contains. No
# lock is needed: in the worst case, two threads make two instances from the same pickle.
_originals: weakref.WeakValueDictionary[str, Restorable] = weakref.WeakValueDictionary()
# The loggers and transports that this process loaded from pickles. They stay in this dict until the
# process ends, because the next task of a process pool may need the same logger.
_restored: dict[str, Restorable] = {}


class Restorable:
    """The base class of loggers and transports. A pickle contains the constructor's arguments.

    Copying an instance returns the same instance. The constructor of a subclass calls `_remember`.
    """

    _left_out: ClassVar[tuple[str, ...]] = ()
    _name: str
    _arguments: dict[str, Any]
    _has_own_secrets: bool
    _has_own_constructor: bool

    def _remember(self, constructor: Callable[..., None], arguments: Mapping[str, Any]) -> None:
        """Store the arguments for later pickles. `arguments` comes from `without_secrets`."""
        left_out = ("self", *_SECRETS, *self._left_out)
        self._arguments = {name: arguments[name] for name in arguments if name not in left_out}
        self._has_own_secrets = any(arguments[name] is not None for name in _SECRETS)
        self._has_own_constructor = type(self).__init__ is not constructor
        self._name = os.urandom(8).hex()
        _originals[self._name] = self

    @classmethod
    def _from(cls, arguments: dict[str, Any]) -> Restorable:
        """Make an instance from pickled arguments. If secrets are missing, raise no error."""
        return cls(**arguments)

    @property
    def _is_spent(self) -> bool:
        """True if unpickling must not return this instance, because this instance is closed."""
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


def without_secrets(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a constructor's `locals()` in which the key and the secret are hidden.

    Some tools show the local variables of a traceback. These tools hide a variable `api_secret`,
    but show an item of a dict.
    """
    is_given = {name for name in _SECRETS if arguments[name] is not None}
    return {**arguments, **dict.fromkeys(is_given, "<hidden>")}


def restore(kind: type[Restorable], name: str, arguments: dict[str, Any]) -> Restorable:
    """Return the instance that a pickle describes. Each pickle refers to this function by name."""
    original = _originals.get(name)
    if original is not None:
        return original
    known = _restored.get(name)
    if known is not None and not known._is_spent:  # noqa: SLF001 - `known` is a `Restorable`
        return known
    found = _equal(kind, arguments)
    if found is None:
        found = kind._from(arguments)  # noqa: SLF001 - `kind` is a subclass of `Restorable`.
        found._name = name  # noqa: SLF001 - A later pickle of `found` must contain this name, too.
    if _restored.get(name) is known:
        _restored[name] = found
    return _restored[name]


def _equal(kind: type[Restorable], arguments: dict[str, Any]) -> Restorable | None:
    """Return an instance that this process made from this class and these arguments, or None.

    An instance whose arguments included secrets never matches, because pickles contain no secrets.
    """
    key = _key(arguments)
    if key is None:
        return None
    for reference in _originals.valuerefs():
        other = reference()
        if type(other) is not kind or other._has_own_secrets or other._is_spent:  # noqa: SLF001
            continue
        if _key(other._arguments) == key:  # noqa: SLF001 - `other` is a `Restorable`
            return other
    return None


def _key(arguments: dict[str, Any]) -> Key | None:
    """Return a pickle of each argument, or None if an argument cannot be pickled.

    Comparing pickles does not call the `__eq__` methods of the arguments. Each argument is pickled
    separately: one common pickle would depend on whether two arguments are the same object.
    """
    with loading:
        import pickle  # noqa: PLC0415 - `pickle` is slow to import and rarely needed

    try:
        return tuple((name, pickle.dumps(_ordered(arguments[name]))) for name in sorted(arguments))
    except Exception:  # noqa: BLE001 - an object of the app may raise any error when it is pickled
        return None


def _ordered(value: Any) -> Any:
    """If the value is a set, return a sorted list: pickles of equal sets can be different."""
    return sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
