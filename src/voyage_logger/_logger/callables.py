"""Helpers for decorators: they find the name, the code and the kind of any callable object."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def decorated(function: Any, decorate: Callable[[Any], Any]) -> Any:
    """Return `decorate(function)`. The result is a method of the same kind as `function`.

    Raises:
        TypeError: `function` cannot be called, for example because it is a property.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(decorated(function.__func__, decorate))
    if not callable(function):
        kind = type(function).__name__
        raise TypeError(f"a {kind} cannot be called: write this decorator below @{kind}")
    return decorate(function)


def name_of(function: Any) -> str:
    """Return a function's qualified name. For a callable object, return the name of its class."""
    function = _without_partials(function)
    name = getattr(function, "__qualname__", None)
    return name if type(name) is str else type(function).__qualname__


def body_of(function: Any) -> Any:
    """Return the function that a call runs: for a callable object, this is its `__call__`."""
    function = _without_partials(function)
    if inspect.isroutine(function):
        return function
    return getattr(type(function), "__call__", function)  # noqa: B004 - the method itself is needed


def is_async(function: Any) -> bool:
    """Return True if a function is asynchronous. For a generator function, raise `TypeError`.

    When a generator function is called, its body does not run yet. So a decorator of a generator
    function cannot run code directly before and after the body.
    """
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
