"""Passes the ambient context on to functions that run in other threads.

What must stay true: a propagated function runs with the context in which `propagate` was called, in
every thread and in every call. The context of the caller does not change.
"""

from __future__ import annotations

import functools
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from voyage_logger._base.fork_locks import loading
from voyage_logger._logger.context import AMBIENT, within

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from voyage_logger._logger.context import Layer

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = f"{__name__.partition('.')[0]}."
_CODE_NAME = "co_qualname" if sys.version_info >= (3, 11) else "co_name"


def propagate(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function so that it runs with the current context and journey in other threads.

    Asyncio tasks inherit the context, but threads and executors need `propagate`::

        executor.submit(propagate(work), order)
        threading.Thread(target=propagate(work)).start()

    If the function returns a coroutine, a generator or a context manager of `contextlib`, the work
    of the returned object also runs with this context.

    Args:
        function: A function, coroutine function, `staticmethod` or `classmethod`. Several threads
            can call the wrapped function at the same time.

    Raises:
        TypeError: `function` is a generator function, or cannot be called. The body of a generator
            would run in the context of the code that iterates over the generator.
    """
    with loading:
        from voyage_logger._logger.callables import decorated  # noqa: PLC0415 - rarely used

    caller = sys._getframe(1).f_code  # noqa: SLF001 - the module `inspect` is slow
    return cast("Callable[P, R]", decorated(function, partial(_carrying, AMBIENT.get(), caller)))


def _carrying(layer: Layer | None, caller: CodeType, function: Any) -> Any:
    """Wrap a function so that it runs with `layer`: see `propagate`, which `caller` has called."""
    with loading:
        from voyage_logger._logger.callables import body_of, is_async  # noqa: PLC0415 - rarely used
        from voyage_logger._logger.ongoing_calls import carry_for  # noqa: PLC0415 - rarely used

    decorate = partial(_carrying, layer, caller)

    def run(*args: Any, **kwargs: Any) -> Any:
        with within(layer):
            result = function(*args, **kwargs)
        carry = carry_for(result)
        return result if carry is None else carry(result, layer, _ignore, decorate)

    async def run_async(*args: Any, **kwargs: Any) -> Any:
        with within(layer):
            return await function(*args, **kwargs)

    if is_async(function):
        return functools.wraps(function)(run_async)
    if str(getattr(body_of(function), "__module__", "")).startswith(_PACKAGE):
        # If `function` is a log method, the field `method_name` would contain "run". To avoid this,
        # give the code of `run` the name of the function that calls `propagate`.
        name: Any = {_CODE_NAME: getattr(caller, _CODE_NAME)}
        run.__code__ = run.__code__.replace(**name)
    return functools.wraps(function)(run)


def _ignore(_: BaseException | None) -> None:
    """Do nothing: after a propagated call has ended, nothing must be done."""
