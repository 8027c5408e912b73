"""Facts about a function, method, partial or callable object that a decorator needs."""

from __future__ import annotations

import functools
from typing import Any


def name_of(function: Any) -> str:
    """Return the qualified name of a function, or of the class of a callable object."""
    function = _without_partials(function)
    name = getattr(function, "__qualname__", None)
    return name if type(name) is str else type(function).__qualname__


def body_of(function: Any) -> Any:
    """Return the function that a call runs; of an object, its method `__call__`."""
    import inspect  # noqa: PLC0415 - makes the package's import slower

    function = _without_partials(function)
    if inspect.isroutine(function):
        return function
    return getattr(type(function), "__call__", function)  # noqa: B004 - not a test for callables


def is_async(function: Any) -> bool:
    """Return True if a call returns a coroutine. If a call returns a generator, raise `TypeError`.

    The consumer of a generator runs the body, so a decorator cannot run code around the body.
    """
    import inspect  # noqa: PLC0415 - makes the package's import slower

    body = body_of(function)
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        raise TypeError(
            f"{name_of(function)} is a generator: wrap the function that consumes it instead"
        )
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(body)


def _without_partials(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function
