"""The ambient context: fields that all entries of a thread or task carry, without being passed on.

What must stay true: an empty context costs a log call one `ContextVar.get`; a layer never changes
once it is made, so tasks that inherit it are not disturbed; and what a scope has added is gone when
the scope is left, in whatever order and context that happens.

One context serves all loggers of a process: it says what is going on, not who logs it.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from voyage_logger._entry.field_conversion import as_mapping
from voyage_logger._logger.callables import body_of, is_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType, TracebackType

    from typing_extensions import Self

    from voyage_logger._entry.timeline import Timeline

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = f"{__name__.partition('.')[0]}."


class Layer:
    """What is ambient within one scope, all outer scopes included.

    Attributes:
        fields: The fields; never changed once the layer is in use.
        journey: The innermost journey, or None.
        timeline: The steps of that journey.
        is_left: True if its scope was left before an inner one was.
        left_to: What the context went back to then.
    """

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
        self.is_left = False
        self.left_to: Layer | None = None


AMBIENT: ContextVar[Layer | None] = ContextVar("voyage_logger", default=None)


def over(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """The fields of both, in a new dict: the upper ones win, and meta_data is merged by key."""
    merged = {**lower, **upper}
    if upper.get("meta_data") is not None and lower.get("meta_data") is not None:
        below = as_mapping(lower["meta_data"])
        merged["meta_data"] = {**below, **as_mapping(upper["meta_data"])}
    return merged


class Scope:
    """A context manager that makes fields ambient: see `VoyageLogger.context`.

    It may be entered again, also while it is entered, by any number of threads and tasks.

    Args:
        fields: The fields to add.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._entered: list[tuple[Layer, Layer | None]] = []  # each with what was there before

    def __enter__(self) -> Self:
        outer = AMBIENT.get()
        if outer is None:
            self._push(Layer(self._fields), None)
        else:
            fields = over(outer.fields, self._fields)
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
        """Ends the innermost layer of this scope.

        Args:
            error: What goes on through it, if anything does.
            frame: Whose scope it is.
        """
        del error, frame  # of interest to a journey alone
        self._pop()

    def _push(self, layer: Layer, outer: Layer | None) -> None:
        self._entered.append((layer, outer))
        AMBIENT.set(layer)

    def _pop(self) -> Layer | None:
        """Ends the innermost layer of this scope in the present context, and gives it.

        Not by a token: that would raise where a scope is left in another context than it was
        entered in, as happens to generators that are closed by the event loop.
        """
        current = AMBIENT.get()
        for pair in reversed(self._entered):
            layer, outer = pair
            if layer is current:
                self._entered.remove(pair)
                while outer is not None and outer.is_left:  # left before this one was
                    outer = outer.left_to
                AMBIENT.set(outer)
                return layer
        if not self._entered:
            return None
        layer, outer = self._entered.pop()
        layer.left_to, layer.is_left = outer, True
        return layer


@contextlib.contextmanager
def within(layer: Layer | None) -> Iterator[None]:
    """Has a layer's fields ambient meanwhile, and then again what was before."""
    before = AMBIENT.get()
    AMBIENT.set(layer)
    try:
        yield
    finally:
        AMBIENT.set(before)


def propagate(function: Callable[P, R]) -> Callable[P, R]:
    """The function, to be run elsewhere with the context and the journey of this moment.

    Plain threads and executors begin with an empty context; asyncio tasks do not need this::

        executor.submit(propagate(work), order)
        threading.Thread(target=propagate(work)).start()

    Args:
        function: A function or coroutine function; the result may be called any number of times,
            by several threads at once.

    Raises:
        TypeError: It is a generator function: its body runs where it is consumed.
    """
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
        # A log method finds its caller's name, which is `run`: what is meant is who propagates it.
        run.__code__ = _named_after(run.__code__, sys._getframe(1).f_code)  # noqa: SLF001 - as above
    return functools.wraps(function)(run)


def _named_after(code: CodeType, other: CodeType) -> CodeType:
    """The code under the name of another, as `method_name` has it."""
    if sys.version_info >= (3, 11):
        return code.replace(co_qualname=other.co_qualname)
    return code.replace(co_name=other.co_name)
