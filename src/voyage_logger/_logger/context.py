"""The ambient context: fields that are added to all entries of a thread or asyncio task.

All loggers of a process use the same context. A `with` block of `context` or `journey` is a scope.
When a scope is entered, a layer is added to the context. A layer contains all fields that apply
inside the scope.

What must stay true: if the context is empty, a log call needs only one call of `ContextVar.get`.
The fields of a layer never change, because other tasks can inherit the layer. When a scope
is left, only the fields of this scope are removed. Scopes can be left in any order.
"""

from __future__ import annotations

import contextlib
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from voyage_logger._entry.field_conversion import as_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

    from typing_extensions import Self, Unpack

    from voyage_logger._entry.log_fields import LogFields
    from voyage_logger._entry.timeline import Timeline


class Layer:
    """The ambient fields inside one scope, the innermost journey, and the journey's timeline."""

    __slots__ = ("fields", "is_left", "journey", "left_to", "timeline")

    def __init__(
        self, fields: dict[str, Any], journey: Scope | None = None, timeline: Timeline | None = None
    ) -> None:
        self.fields = fields
        self.journey = journey
        self.timeline = timeline
        self.is_left = False  # True if the scope was left while an inner scope was active.
        self.left_to: Layer | None = None  # The outer layer if `is_left` is True, else None.


AMBIENT: ContextVar[Layer | None] = ContextVar("voyage_logger", default=None)


def merged(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """Merge two dicts of fields. `upper` takes precedence. `meta_data` is merged key by key."""
    fields = {**lower, **upper}
    if upper.get("meta_data") is not None and lower.get("meta_data") is not None:
        below = as_mapping(lower["meta_data"])
        fields["meta_data"] = {**below, **as_mapping(upper["meta_data"])}
    return fields


def caller() -> FrameType | None:
    """Return the frame that called the function that calls `caller`. None: there is no such frame.

    There is no such frame if C code calls the function, as `atexit` and `_thread` do. In addition,
    an audit hook of the app can raise any error when the client asks for a frame.
    """
    try:
        return sys._getframe(2)  # noqa: SLF001 - the module `inspect` is slow
    except Exception:  # noqa: BLE001 # pragma: no cover - Coverage sees no thread of `_thread`.
        return None


class Scope:
    """A context manager that adds fields to the ambient context: see `VoyageLogger.context`.

    Several threads and tasks can enter the same scope, and each can enter it several times.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._entered: list[tuple[Layer, Layer | None]] = []  # pairs: (layer, outer layer)

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
        self._leave(error, caller())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(error, caller())

    def _leave(self, error: BaseException | None, frame: FrameType | None) -> None:
        """Remove the innermost layer of this scope from the context."""
        del error, frame  # Only the method of the subclass `Journey` needs these arguments.
        self._pop()

    def _push(self, layer: Layer, outer: Layer | None) -> None:
        self._entered.append((layer, outer))
        AMBIENT.set(layer)

    def _pop(self) -> Layer | None:
        """Remove the innermost layer of this scope from the context, and return the layer."""
        # `ContextVar.reset` would fail if asyncio closes a generator in a different context.
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
    """The method `context` of `VoyageLogger`."""

    def context(self, /, **fields: Unpack[LogFields]) -> Scope:
        """Return a context manager that adds fields to all entries of this thread or task.

        All loggers of the process add the fields to their entries. Both `with` and `async with`
        work. Tasks that start inside the block inherit the fields. Threads and executors do not
        inherit the fields: use `propagate`.

        Args:
            fields: Any fields that the method `debug` accepts.
        """
        return Scope(dict(fields))


@contextlib.contextmanager
def within(layer: Layer | None) -> Iterator[None]:
    """Make `layer` the current layer as long as the `with` block runs."""
    before = AMBIENT.get()
    AMBIENT.set(layer)
    try:
        yield
    finally:
        AMBIENT.set(before)
