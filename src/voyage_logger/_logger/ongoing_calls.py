"""Keeps a context for a decorated call whose work continues after the call has returned.

For example, the call of a function under `functools.wraps` can return a coroutine, although the
function is not a coroutine function. The coroutine does the work when it is awaited. The work of a
call also continues if the call returns a generator or a context manager of `contextlib`.

What must stay true: the replacement has the same values, exceptions and names as the object that
the call returned. A generator and the code that iterates over the generator have separate contexts.
If the work begins, `end` is called exactly once: when the work ends.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

from voyage_logger._logger.context import AMBIENT, Layer, Scope, within

if TYPE_CHECKING:
    from types import TracebackType

    End = Callable[[BaseException | None], None]
    Decorate = Callable[[Callable[..., Any]], Callable[..., Any]]
    Carry = Callable[[Any, Layer | None, End, Decorate], Any]


def carry_for(result: object) -> Carry | None:
    """Return a function that replaces the result of a call, or None if the call's work is done.

    The function takes the result, the layer for the work, and two functions. When the work ends,
    the first function gets the exception that ended the work, or None. The second function is a
    decorator: a context manager of `contextlib` can decorate functions, and needs this decorator.
    """
    # An app's own class is not replaced, because the app might use other methods of the class. The
    # types of Cython have the same names as the types of Python.
    kind, carry = _CARRIES.get(type(result).__name__, _OTHER)
    return carry if isinstance(result, kind) else None


async def _coroutine(coroutine: Any, layer: Layer | None, end: End, _: Decorate) -> Any:
    with within(layer):
        try:
            result = await coroutine
        except BaseException as error:
            end(error)
            raise
    end(None)
    return result


class _Inside:
    """A context manager for the steps of a generator, which keeps the generator's own context."""

    def __init__(self, layer: Layer | None) -> None:
        self._layer = self._outer = layer

    def __enter__(self) -> None:
        self._outer = AMBIENT.get()
        AMBIENT.set(self._layer)

    def __exit__(self, *_: object) -> None:
        self._layer = AMBIENT.get()
        AMBIENT.set(self._outer)


def _generator(generator: Any, layer: Layer | None, end: End, decorate: Decorate) -> Any:
    carry = _coroutine if inspect.isawaitable(generator) else _steps  # see `types.coroutine`
    return carry(generator, layer, end, decorate)


def _steps(generator: Any, layer: Layer | None, end: End, _: Decorate) -> Any:
    inside, step = _Inside(layer), partial(next, generator)
    while True:
        try:
            with inside:
                value = step()
        except StopIteration as stop:
            end(None)
            return stop.value
        except BaseException as error:
            end(error)
            raise
        finally:
            del step  # Without this line, the error and this frame would keep each other in memory.
        try:
            sent = yield value
        except BaseException as error:  # noqa: BLE001 - the generator gets every exception
            step = partial(generator.throw, error)
        else:
            step = partial(generator.send, sent)


async def _async_steps(generator: Any, layer: Layer | None, end: End, _: Decorate) -> Any:
    inside, step = _Inside(layer), partial(generator.asend, None)
    while True:
        try:
            with inside:
                value = await step()
        except StopAsyncIteration:
            end(None)
            return
        except BaseException as error:
            end(error)
            raise
        finally:
            del step  # Without this line, the error and this frame would keep each other in memory.
        try:
            sent = yield value
        except BaseException as error:  # noqa: BLE001 - the generator gets every exception
            step = partial(generator.athrow, error)
        else:
            step = partial(generator.asend, sent)


class _Managed(Scope):
    """What the managers below share: the layer applies from the start to the end of the block."""

    def __init__(self, manager: Any, layer: Layer | None, end: End, decorate: Decorate) -> None:
        super().__init__({})
        self._manager = manager
        self._layer = Layer({}) if layer is None else layer
        self._end = end
        self._decorate = decorate

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self._decorate(self._manager(function))

    def _begin(self) -> None:
        self._push(self._layer, AMBIENT.get())

    def _finish(self, error: BaseException | None) -> None:
        self._pop()
        self._end(error)


class _Manager(_Managed):
    def __enter__(self) -> Any:
        self._begin()
        try:
            return self._manager.__enter__()
        except BaseException as error:
            self._finish(error)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        try:
            is_handled = self._manager.__exit__(kind, error, traceback)
        except BaseException as raised:
            self._finish(raised)
            raise
        self._finish(None if is_handled else error)
        return is_handled


class _AsyncManager(_Managed):
    async def __aenter__(self) -> Any:
        self._begin()
        try:
            return await self._manager.__aenter__()
        except BaseException as error:
            self._finish(error)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        try:
            is_handled = await self._manager.__aexit__(kind, error, traceback)
        except BaseException as raised:
            self._finish(raised)
            raise
        self._finish(None if is_handled else error)
        return is_handled


def _named(carry: Carry) -> Carry:
    """Return a function that gives a replacement the names of the original, for reprs and tools."""

    def carry_named(result: Any, layer: Layer | None, end: End, decorate: Decorate) -> Any:
        made = carry(result, layer, end, decorate)
        made.__name__, made.__qualname__ = result.__name__, result.__qualname__
        return made

    return carry_named


_OTHER: tuple[type, Any] = (object, None)
_CARRIES: dict[str, tuple[type, Carry]] = {
    "coroutine": (Coroutine, _named(_coroutine)),
    "generator": (Generator, _named(_generator)),
    "async_generator": (AsyncGenerator, _named(_async_steps)),
    "_GeneratorContextManager": (AbstractContextManager, _Manager),
    "_AsyncGeneratorContextManager": (AbstractAsyncContextManager, _AsyncManager),
}
