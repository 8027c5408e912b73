"""What a wrapper must know of what it wraps: a function, a method, a partial, an object.

What must stay true: nothing is called to find it out.
"""

from __future__ import annotations

import functools
from typing import Any


def name_of(function: Any) -> str:
    """The qualified name; of a partial, that of its function; of an object, its class's."""
    function = _without_partials(function)
    name = getattr(function, "__qualname__", None)
    return name if type(name) is str else type(function).__qualname__


def body_of(function: Any) -> Any:
    """The function that a call runs: of a partial its own, of an object the `__call__`."""
    import inspect  # noqa: PLC0415 - not to be paid by the import

    function = _without_partials(function)
    if inspect.isroutine(function):
        return function
    return getattr(type(function), "__call__", function)  # noqa: B004 - it is not asked whether


def is_async(function: Any) -> bool:
    """True if a call gives a coroutine, which runs when it is awaited.

    Raises:
        TypeError: A call gives a generator: its body runs in the context of whoever asks for the
            next value, so nothing can be put around it here.
    """
    import inspect  # noqa: PLC0415 - see above

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
