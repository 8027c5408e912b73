"""The decorator `frozen`, which creates classes whose instances never change.

`import voyage_logger` creates several frozen classes, so `frozen` must be fast. In Python 3.11,
`frozen` creates a class in 10 us, but `typing.NamedTuple` needs 80 us. The module
`dataclasses` imports the module `inspect`, which is slow to import. If `Stats` were a `NamedTuple`,
an app that logs `logger.stats()` would send a JSON list without the names of the counts. The
modules that are not loaded by `import voyage_logger` use normal dataclasses.

What must stay true: an instance has no attributes except the fields of its class. Two instances are
equal only if they have the same class and equal fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voyage_logger._base.fork_locks import loading

if TYPE_CHECKING:
    from typing import NoReturn, TypeVar

    from typing_extensions import dataclass_transform

    T = TypeVar("T")
else:

    def dataclass_transform(**_: object) -> Any:
        return lambda function: function


_UNFIT = ("__dict__", "__weakref__")  # A class with slots cannot define these attributes.


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Return a new class with the same fields as `cls`. Instances of the new class never change.

    Each field can have a default value. If the given class defines a method that `Value` also
    defines, such as `__repr__`, the new class uses the method of the given class.
    """
    body = {name: each for name, each in vars(cls).items() if name not in _UNFIT}
    names = tuple(body.get("__annotations__", ()))
    defaults = {name: body.pop(name) for name in names if name in body}
    shared = {"__slots__": names, "__match_args__": names, "_defaults": defaults}
    made: type[T] = type(cls.__name__, (Value,), {**body, **shared})
    return made


def as_dict(value: Any) -> dict[str, Any]:
    """Return the fields of an instance as a dict."""
    return {name: getattr(value, name) for name in value.__match_args__}


def replace(value: T, /, **changes: Any) -> T:
    """Return a copy of the instance. The fields in `changes` get new values in the copy."""
    return type(value)(**{**as_dict(value), **changes})


class _Signature:
    """Creates the signature of a frozen class when `help` or an editor reads the signature."""

    def __get__(self, _: object, owner: Any) -> Any:
        if owner.__init__ is not Value.__init__:
            # If a subclass defines its own `__init__`, the signature of this `__init__` is correct.
            raise AttributeError("__signature__")
        with loading:
            from inspect import Parameter, Signature  # noqa: PLC0415 - `inspect` is slow to import

        kind, defaults = Parameter.POSITIONAL_OR_KEYWORD, owner._defaults  # noqa: SLF001
        return Signature(
            [
                Parameter(name, kind, default=defaults.get(name, Parameter.empty))
                for name in owner.__match_args__
            ]
        )


class Value:
    """The base class of every class that `frozen` creates."""

    __slots__ = ()
    __signature__ = _Signature()
    __replace__ = replace  # From Python 3.13 on, `copy.replace` calls `__replace__`.

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        names = self.__match_args__
        given = dict(zip(names, args, strict=False))
        found = {**self._defaults, **given, **kwargs}
        is_twice = len(args) > len(names) or given.keys() & kwargs.keys()
        if is_twice or found.keys() != set(names):
            fields = ", ".join(names)
            kind = type(self).__name__
            raise TypeError(f"{kind} takes each of these once, and no others: {fields}")
        for name in names:
            object.__setattr__(self, name, found[name])

    def __repr__(self: Any) -> str:
        # An error report can show an instance whose constructor has not yet set all fields.
        known = {name: getattr(self, name) for name in self.__match_args__ if hasattr(self, name)}
        fields = ", ".join(f"{name}={value!r}" for name, value in known.items())
        return f"{type(self).__qualname__}({fields})"

    def __eq__(self, other: object) -> bool:
        return as_dict(self) == as_dict(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(as_dict(self).values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(as_dict(self).values())

    def _refuse(self, name: str, _: object = None) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is a value: {name} does not change")

    __setattr__ = __delattr__ = _refuse
