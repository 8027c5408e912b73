"""Copying and pickling what is alive: a logger or transport is one object in each process.

What must stay true: a pickle carries no secret; however many pickles of one object reach a process,
they give one object there, and the object itself in the process that made it and in that process's
forked children; unpickling starts no thread, makes no connection and takes no lock, so there is
none that a fork could copy.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Key = tuple[tuple[str, bytes], ...]

_SECRETS = ("api_key", "api_secret")

# Every such object of this process by the name that its pickles carry. Single operations of
# dictionaries are atomic: two threads at once can at worst make an object too many, and it rests.
_living: weakref.WeakValueDictionary[str, Restorable] = weakref.WeakValueDictionary()
# Those that came from elsewhere, by the name that they had there. Kept for the life of the process,
# for between two tasks nobody else holds them.
_restored: dict[str, Restorable] = {}


class Restorable:
    """An object that is pickled as its constructor's arguments, and copied as itself.

    A subclass calls `_remember` in its constructor, and says in `_from` how to be made again.
    """

    _left_out: ClassVar[tuple[str, ...]] = ()
    _name: str
    _arguments: dict[str, Any]
    _has_own_secrets: bool
    _has_own_constructor: bool

    def _remember(self, constructor: Callable[..., None], arguments: Mapping[str, Any]) -> None:
        """Keeps what a pickle will carry.

        Args:
            constructor: The `__init__` that calls this.
            arguments: Its `locals()`, before anything else is among them.
        """
        left_out = ("self", *_SECRETS, *self._left_out)
        self._arguments = {name: arguments[name] for name in arguments if name not in left_out}
        self._has_own_secrets = any(arguments[name] is not None for name in _SECRETS)
        self._has_own_constructor = type(self).__init__ is not constructor
        self._name = os.urandom(8).hex()
        _living[self._name] = self

    @classmethod
    def _from(cls, arguments: dict[str, Any]) -> Restorable:
        """Makes an object of arguments without secrets. It must not raise for want of those."""
        return cls(**arguments)

    @property
    def _is_spent(self) -> bool:
        """True once the object is of no more use to whoever unpickles it."""
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
    """The object that a pickle stands for. Called by pickle: this function's name is in them.

    Args:
        kind: Its class.
        name: What it is called in all its pickles.
        arguments: The constructor's arguments, without secrets.
    """
    original = _living.get(name)
    if original is not None:
        return original
    known = _restored.get(name)
    if known is not None and not known._is_spent:  # noqa: SLF001 - the family's own
        return known
    found = _equal(kind, arguments)
    if found is None:
        found = kind._from(arguments)  # noqa: SLF001 - the family's own
        found._name = name  # noqa: SLF001 - so that a pickle that goes back finds the original
    if _restored.get(name) is known:
        _restored[name] = found
    return _restored[name]


def _equal(kind: type[Restorable], arguments: dict[str, Any]) -> Restorable | None:
    """An object of this process that was made in the same way, if there is one.

    Not one with secrets of its own: the stranger's are those of the environment.
    """
    key = _key(arguments)
    if key is None:
        return None
    for reference in _living.valuerefs():
        other = reference()
        if type(other) is not kind or other._has_own_secrets or other._is_spent:  # noqa: SLF001
            continue
        if _key(other._arguments) == key:  # noqa: SLF001 - the family's own
            return other
    return None


def _key(arguments: dict[str, Any]) -> Key | None:
    """Arguments as a value that can be compared, whatever their own comparison does.

    Each is pickled by itself: in one pickle, values that happen to be the same object are written
    once, and equal arguments would differ.

    Returns:
        None for what can be told apart from nothing: a function without a name, an odd object.
    """
    import pickle  # noqa: PLC0415 - not to be paid by the import

    try:
        return tuple((name, pickle.dumps(_ordered(arguments[name]))) for name in sorted(arguments))
    except Exception:  # noqa: BLE001 - a foreign object may refuse with anything
        return None


def _ordered(value: Any) -> Any:
    """A set in an order: two equal ones may be pickled in different ones."""
    return sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
