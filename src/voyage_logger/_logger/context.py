"""The ambient context: fields that all entries of a thread or task carry.

All loggers of a process share one context.

What must stay true: an empty context costs a log call one `ContextVar.get`. A layer never changes
after it is made, because other tasks may have inherited it. A scope that is left removes its own
fields, in any order of leaving and in any context.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from voyage_logger._entry.field_conversion import as_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

    from typing_extensions import Self, Unpack

    from voyage_logger._entry.log_fields import LogFields
    from voyage_logger._entry.timeline import Timeline

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = f"{__name__.partition('.')[0]}."
_CODE_NAME = "co_qualname" if sys.version_info >= (3, 11) else "co_name"


class Layer:
    """The ambient fields within one scope, and the innermost journey with its timeline."""

    __slots__ = ("fields", "is_left", "journey", "left_to", "timeline")

    def __init__(
        self,
        fields: dict[str, Any],
        journey: Scope | None = None,
        timeline: Timeline | None = None,
    ) -> None:
        self.fields = fields
        self.journey = journey
        self.timeline = timeline
        self.is_left = False  # True if the scope was left before a scope inside it
        self.left_to: Layer | None = None  # the layer around this one when its scope was left


AMBIENT: ContextVar[Layer | None] = ContextVar("voyage_logger", default=None)


def merged(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of both dicts; `upper` takes precedence, and meta_data is merged by key."""
    fields = {**lower, **upper}
    if upper.get("meta_data") is not None and lower.get("meta_data") is not None:
        below = as_mapping(lower["meta_data"])
        fields["meta_data"] = {**below, **as_mapping(upper["meta_data"])}
    return fields


class Scope:
    """A context manager that makes fields ambient: see `VoyageLogger.context`.

    Several threads and tasks may enter one scope, each more than once.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._entered: list[tuple[Layer, Layer | None]] = []  # each with the layer around it

    def __enter__(self) -> Self:
        outer = AMBIENT.get()
        if outer is None:
            self._push(Layer(self._fields), None)
        else:
            fields = merged(outer.fields, self._fields)
            self._push(Layer(fields, outer.journey, outer.timeline), outer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(error, sys._getframe(1))  # noqa: SLF001 - the only quick way

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(error, sys._getframe(1))  # noqa: SLF001 - the only quick way

    def _leave(self, error: BaseException | None, frame: FrameType | None) -> None:
        """End the innermost layer of this scope."""
        del error, frame  # Only a journey uses the arguments.
        self._pop()

    def _push(self, layer: Layer, outer: Layer | None) -> None:
        self._entered.append((layer, outer))
        AMBIENT.set(layer)

    def _pop(self) -> Layer | None:
        """End the innermost layer of this scope in the present context, and return the layer."""
        # `ContextVar.reset` would raise if the event loop closes a generator in another context.
        current = AMBIENT.get()
        for pair in reversed(self._entered):
            layer, outer = pair
            if layer is current:
                self._entered.remove(pair)
                while outer is not None and outer.is_left:
                    outer = outer.left_to
                AMBIENT.set(outer)
                return layer
        if not self._entered:
            return None
        layer, layer.left_to = self._entered.pop()
        layer.is_left = True
        return layer


class ContextMethods:
    """The method of `VoyageLogger` for contexts."""

    def context(self, **fields: Unpack[LogFields]) -> Scope:
        """Return a context manager that adds fields to all entries of this thread or task.

        The fields are added to entries of all loggers. `async with` works, too. Tasks that start
        inside the block inherit the fields; for threads and executors, use `propagate`.

        Args:
            fields: The fields, as for `debug`.
        """
        return Scope(dict(fields))


@contextlib.contextmanager
def within(layer: Layer | None) -> Iterator[None]:
    """Make a layer ambient inside a `with` block."""
    before = AMBIENT.get()
    AMBIENT.set(layer)
    try:
        yield
    finally:
        AMBIENT.set(before)


def propagate(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with the present context and journey, to be run in another thread.

    Plain threads and executors begin with an empty context. Tasks of asyncio inherit the context::

        executor.submit(propagate(work), order)
        threading.Thread(target=propagate(work)).start()

    Args:
        function: A function or coroutine function. Several threads may call the result at once.

    Raises:
        TypeError: The function is a generator function, whose body runs in the consumer's context.
    """
    from voyage_logger._logger.callables import body_of, is_async  # noqa: PLC0415 - rarely used

    layer = AMBIENT.get()

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with within(layer):
            return function(*args, **kwargs)

    async def run_async(*args: P.args, **kwargs: P.kwargs) -> Any:
        with within(layer):
            return await function(*args, **kwargs)  # type: ignore[misc]

    if is_async(function):
        return functools.wraps(function)(run_async)  # type: ignore[return-value]
    if str(getattr(body_of(function), "__module__", "")).startswith(_PACKAGE):
        # A log method writes the name of its caller's code, here `run`, into `method_name`.
        # So `run` gets the code name of the function that calls `propagate`.
        name: Any = {_CODE_NAME: getattr(sys._getframe(1).f_code, _CODE_NAME)}  # noqa: SLF001
        run.__code__ = run.__code__.replace(**name)
    return functools.wraps(function)(run)
