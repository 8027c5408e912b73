"""The decorator `frozen`, which creates classes whose instances never change.

`frozen` keeps `import voyage_logger` fast, because this import creates eight such classes. In
Python 3.11, `frozen` creates a class in 10 us, and `typing.NamedTuple` creates a class in 80 us. A
dataclass would need the slow import of `inspect`. If `Stats` were a `NamedTuple`, an app that logs
`logger.stats()` would send a JSON list without the names of the counts. Modules that are not
loaded by `import voyage_logger` use the dataclasses of the standard library.

What must stay true: an instance has no attributes except its fields. Two instances are equal only
if they have the same class and equal fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NoReturn, TypeVar

    from typing_extensions import dataclass_transform

    T = TypeVar("T")
else:

    def dataclass_transform(**_: object) -> Any:
        return lambda function: function


_UNFIT = ("__dict__", "__weakref__")  # A class with slots cannot define these names.


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Return a copy of the class whose instances have the annotated fields and never change.

    An annotated field may have a default. A method that the class itself defines, such as
    `__repr__`, replaces the method of `Value`.
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
    """Return a copy of an instance in which some fields are changed."""
    return type(value)(**{**as_dict(value), **changes})


class _Signature:
    """The signature of a frozen class, which is created when `help` or an editor reads it."""

    def __get__(self, _: object, owner: Any) -> Any:
        if owner.__init__ is not Value.__init__:
            # A subclass with its own `__init__` has its own signature.
            raise AttributeError("__signature__")
        from inspect import Parameter, Signature  # noqa: PLC0415 - see the top of this file

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
    __replace__ = replace  # `copy.replace` of Python 3.13 calls this method.

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

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in as_dict(self).items())
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
