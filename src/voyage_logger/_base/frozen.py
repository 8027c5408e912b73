"""Values: frozen classes with named fields, at a tenth of what the library's dataclasses cost.

Those import `inspect`, and compile some ten functions for each class: half of what the package's
import would take. To whom asks, these are dataclasses: `asdict`, `fields` and `replace` of the
standard library take them.

What is imported only where it is wanted (`spool`, `devserver`, `cli`) uses the library's own.

What must stay true: a value never changes, equals what has the same class and fields, and has no
attributes but its fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: object) -> Any:
        return lambda function: function


T = TypeVar("T")

_UNFIT = ("__dict__", "__weakref__")  # of a class without slots


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Makes a class of annotated fields, with or without defaults, one of values.

    As with dataclasses, what the class defines itself (such as `__repr__`) stays.
    """
    own = dict(vars(cls))
    names = tuple(own.get("__annotations__", ()))
    defaults = {name: own.pop(name) for name in names if name in own}
    body = {name: each for name, each in own.items() if name not in _UNFIT}
    shared = {"__slots__": names, "__match_args__": names, "_defaults": defaults}
    made: type[T] = type(cls.__name__, cls.__bases__, {**_METHODS, **shared, **body})
    return made


def replace(of: T, **changes: Any) -> T:
    """A value like that one with some fields changed."""
    return type(of)(**{name: getattr(of, name) for name in _names(of)} | changes)


def _names(of: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = type(of).__match_args__
    return names


def _contents(of: Any) -> tuple[Any, ...]:
    return tuple(getattr(of, name) for name in _names(of))


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    names = _names(self)
    given = dict(zip(names, args, strict=False))
    found = {**self._defaults, **given, **kwargs}
    is_twice = len(args) > len(names) or given.keys() & kwargs.keys()
    if is_twice or found.keys() != set(names):
        fields = ", ".join(names)
        raise TypeError(f"{type(self).__name__} takes each of these once, and no others: {fields}")
    for name in names:
        object.__setattr__(self, name, found[name])


def _repr(self: Any) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in _names(self))
    return f"{type(self).__qualname__}({fields})"


def _eq(self: Any, other: object) -> bool:
    return _contents(self) == _contents(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_contents(self))


def _reduce(self: Any) -> tuple[type, tuple[Any, ...]]:
    return type(self), _contents(self)


def _setattr(self: Any, name: str, _: object = None) -> NoReturn:
    from dataclasses import FrozenInstanceError  # noqa: PLC0415 - see the top

    raise FrozenInstanceError(f"{type(self).__name__} is a value: {name} does not change")


class _Asked:
    """An attribute that is made by a dataclass of the same fields, when somebody looks at it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, _: object, owner: Any) -> Any:
        is_signature = self._name == "__signature__"
        if is_signature and owner.__init__ is not _init:
            raise AttributeError(self._name)  # a subclass with arguments of its own
        made = next(each for each in owner.__mro__ if "_defaults" in vars(each))
        twin = vars(made).get("_twin") or _make_twin(made)
        if not is_signature:
            return getattr(twin, self._name)
        import inspect  # noqa: PLC0415 - see the top

        return inspect.signature(twin)


def _make_twin(made: Any) -> type:
    """A dataclass of the same fields; kept, for it takes a millisecond."""
    import dataclasses  # noqa: PLC0415 - see the top

    defaults = made._defaults  # noqa: SLF001 - that of `frozen`
    fields = [
        (name, kind, dataclasses.field(default=defaults.get(name, dataclasses.MISSING)))
        for name, kind in made.__annotations__.items()
    ]
    made._twin = twin = dataclasses.make_dataclass(  # noqa: SLF001
        made.__name__, fields, frozen=True
    )
    return twin


_METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__reduce__": _reduce,
    "__setattr__": _setattr,
    "__delattr__": _setattr,
    "__replace__": replace,  # for copy.replace
    "__dataclass_fields__": _Asked(),
    "__dataclass_params__": _Asked(),
    "__signature__": _Asked(),
}
