"""A journey adds common fields to all entries of one user's flow, such as a checkout.

A run is one execution of the flow.

What must stay true: a journey passes on the app's exceptions unchanged. The journey's own code
never raises an exception. Each run writes one closing entry, even if an exception ends the run.
"""

from __future__ import annotations

import functools
import os
import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from voyage_logger._base.fork_locks import loading
from voyage_logger._base.levels import ERROR, INFO, WARN
from voyage_logger._base.wire import JOURNEY_COMPLETED, JOURNEY_FAILED, JOURNEY_INTERRUPTED
from voyage_logger._entry.json_data import clip, to_text
from voyage_logger._entry.timeline import Timeline
from voyage_logger._logger.context import AMBIENT, Layer, Scope, merged, within
from voyage_logger._logger.ticketed_errors import Ticketed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType
    from typing import TypeVar

    from typing_extensions import Unpack

    from voyage_logger._entry.log_fields import LogFields
    from voyage_logger._logger.log_call import LogCalls

    F = TypeVar("F", bound=Callable[..., Any] | classmethod[Any, Any, Any])

_OUTCOMES = {
    "completed": (INFO, JOURNEY_COMPLETED),
    "failed": (ERROR, JOURNEY_FAILED),
    "interrupted": (WARN, JOURNEY_INTERRUPTED),
}
_MAX_REASON = 200  # The largest length of an error text, in characters.


class Journey(Scope):
    """One run of a flow. The class is a context manager and a decorator.

    Inside the block, each entry of the thread or task contains the journey's fields. The field
    `event_timeline` contains the steps so far. When the block ends, the journey writes one closing
    entry with its outcome. If no exception ends the block, the outcome is "completed" (level info).
    If an `Exception` ends the block, the outcome is "failed" (level error), and the closing entry
    contains the traceback. If any other exception, such as `CancelledError`, ends the block, the
    outcome is "interrupted" (level warn). The journey does not catch or change the exception.

    If a journey is entered again, a new run begins: `with journey as run` returns the new run. Each
    call of a decorated function is a separate run. Thread-safe. Tasks that start inside the block
    share the journey.
    """

    def __init__(
        self,
        calls: LogCalls,
        name: str,
        fields: dict[str, Any],
        *,
        ticket_on_error: bool,
        steps: Iterable[tuple[str, int]] = (),
        is_continued: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__({"event_flow_name": name, **fields})
        self._calls = calls
        self._ticket_on_error = ticket_on_error
        self._steps = tuple(steps)
        self._is_continued = is_continued
        self._clock = clock
        self._uses = count()
        # The attributes below belong to one run.
        self._timeline = Timeline(self._steps, self._calls.redaction.mask)
        self._began_at = self._clock()
        self._parent: Journey | None = None
        self._ticketed = Ticketed()  # Inner journeys have opened a ticket for these errors.
        self._run_fields = self._fields

    def __repr__(self) -> str:
        fields = getattr(self, "_fields", {})  # An error report can show an incomplete journey.
        return f"<Journey {fields.get('event_flow_name')!r}>"

    def step(self, name: object) -> None:
        """Add a step with the current time to the timeline.

        The timeline keeps the first 10 and the latest 39 steps. This method never raises an
        exception. Thread-safe.

        Args:
            name: The name of the step, such as "card_charged".
        """
        self._timeline.add(name)

    def timeline(self) -> list[dict[str, Any]]:
        """Return the steps so far as dicts with `step` and `timestamp` (epoch milliseconds)."""
        return self._timeline.snapshot()

    def carrier(self) -> dict[str, str]:
        """Return an HTTP header that can be passed to `continue_journey` in another process.

        The header contains the flow's name, the session id, the user's id and the latest steps. The
        size of the header is at most 2 KiB. The header contains no user name, no e-mail address and
        no value that redaction masks.

        Call this method inside the `with` block: the session id is created when the block begins.
        """
        with loading:
            from voyage_logger._logger.journey_header import pack  # noqa: PLC0415 - rarely used

        return pack(self._run_fields, self._timeline.steps(), self._calls.redaction)

    def __enter__(self) -> Journey:
        run = self if next(self._uses) == 0 else self._again()
        outer = AMBIENT.get()
        self._push(run._begin(outer), outer)  # noqa: SLF001 - an object of this class
        return run

    def __call__(self, function: F) -> F:
        """Decorate a function or coroutine function, so that each call is a separate run.

        If the call returns a coroutine or a generator, the run ends when the coroutine or generator
        ends. If the call returns a context manager of `contextlib`, the run ends when the `with`
        block ends. A `staticmethod` and a `classmethod` can also be decorated.

        Raises:
            TypeError: `function` cannot be called, or is a generator function. The code that
                iterates over the generator would also log with the journey's fields.
        """
        with loading:
            from voyage_logger._logger.callables import decorated  # noqa: PLC0415 - rarely used

        return cast("F", decorated(function, self._decorated))

    def _decorated(self, function: Any) -> Any:
        with loading:
            from voyage_logger._logger.callables import is_async, name_of  # noqa: PLC0415 - rarely used
            from voyage_logger._logger.ongoing_calls import carry_for  # noqa: PLC0415 - rarely used

        name = name_of(function)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            self.__enter__()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                self._leave(error, None, name)
                raise
            carry = carry_for(result)
            if carry is None:
                self._leave(None, None, name)
                return result
            layer = self._pop()
            return carry(result, layer, partial(self._end, layer, None, name), self)

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            self.__enter__()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                self._leave(error, None, name)
                raise
            self._leave(None, None, name)
            return result

        return run_async if is_async(function) else run

    def _begin(self, outer: Layer | None) -> Layer:
        """Begin the run. Return a layer with the fields for all entries inside the run."""
        bound = self._calls.bound
        fields = self._fields if outer is None else merged(outer.fields, self._fields)
        if fields.get("session_id") is None and bound.get("session_id") is None:
            fields = {**fields, "session_id": os.urandom(16).hex()}
        self._run_fields = merged(bound, fields)
        self._parent = current_journey()
        self._began_at = self._clock()
        return Layer(fields, self, self._timeline)

    def _again(self) -> Journey:
        return Journey(
            self._calls,
            self._fields["event_flow_name"],
            self._fields,
            ticket_on_error=self._ticket_on_error,
            steps=self._steps,
            is_continued=self._is_continued,
            clock=self._clock,
        )

    def _leave(
        self, error: BaseException | None, frame: FrameType | None, method_name: str | None = None
    ) -> None:
        """End the innermost run of this journey, and write the run's closing entry."""
        self._end(self._pop(), frame, method_name, error)

    @staticmethod
    def _end(
        layer: Layer | None,
        frame: FrameType | None,
        method_name: str | None,
        error: BaseException | None,
    ) -> None:
        """Write the closing entry of the run that has left `layer`."""
        run = None if layer is None else layer.journey
        if isinstance(
            run, Journey
        ):  # Otherwise, `__exit__` was called more often than `__enter__`.
            with within(layer):
                run._close(error, frame, method_name)  # noqa: SLF001 - an object of this class

    def _close(
        self, error: BaseException | None, frame: FrameType | None, method_name: str | None
    ) -> None:
        duration = round((self._clock() - self._began_at) * 1000, 3)
        meta_data: dict[str, Any] = {"duration_ms": duration}
        if self._is_continued:
            meta_data["continued"] = True
        fields: dict[str, Any] = {"meta_data": meta_data}
        if not self._calls.captures_method:
            frame = None
        elif frame is None and "method_name" not in self._run_fields:
            fields["method_name"] = method_name  # If the name is None, the entry has no such field.
        outcome, reason = ("completed", "") if error is None else self._describe(error, fields)
        rank, fields["event_name"] = _OUTCOMES[outcome]
        meta_data["outcome"] = outcome
        message = f"Journey {to_text(self._fields['event_flow_name'])} {outcome}{reason}"
        self._calls.log(rank, message, (), fields, frame)
        # A task that is still active after the run must not keep the outer journeys in memory.
        self._parent = None
        self._ticketed.clear()

    def _describe(self, error: BaseException, fields: dict[str, Any]) -> tuple[str, str]:
        """Return the outcome and the error's text. If the run failed, add the error to `fields`."""
        reason = f"{type(error).__name__}: {to_text(error)}".rstrip(": ")
        reason = f": {clip(self._calls.redaction.mask(reason), _MAX_REASON)}"
        if not isinstance(error, Exception):  # Ctrl-C and cancellation are not errors.
            return "interrupted", reason
        fields["exc_info"] = error
        self._open_ticket(error, fields)
        return "failed", reason

    def _open_ticket(self, error: BaseException, fields: dict[str, Any]) -> None:
        """Open a ticket if `ticket_on_error` is set and no inner journey has opened a ticket."""
        is_open = error in self._ticketed
        if self._ticket_on_error and not is_open:
            fields["add_ticket"] = is_open = True
        if is_open and self._parent is not None:
            self._parent._ticketed.add(error)  # noqa: SLF001 - an object of this class


class JourneyMethods:
    """The methods `journey` and `continue_journey` of `VoyageLogger`."""

    _calls: LogCalls

    def journey(
        self, name: str, /, *, ticket_on_error: bool = False, **fields: Unpack[LogFields]
    ) -> Journey:
        """Return a journey for use as a decorator, or in a `with` or `async with` statement.

        Inside the journey, all entries contain `event_flow_name`, `session_id` and
        `event_timeline`. The journey creates a session id, unless the fields, the logger or the
        context contain a `session_id`. When the journey ends, it writes one closing entry with the
        journey's duration. If an error ended the journey, the closing entry contains the traceback.
        The journey does not catch or change an exception.

        Args:
            name: The name of the flow, such as "checkout".
            ticket_on_error: If True, an error that ends the journey opens a ticket.
            fields: Fields for all entries inside the journey: any fields that `debug` accepts.
        """
        return Journey(self._calls, name, dict(fields), ticket_on_error=ticket_on_error)

    def continue_journey(
        self,
        carrier: object,
        name: str = "journey",
        /,
        *,
        ticket_on_error: bool = False,
        **fields: Unpack[LogFields],
    ) -> Journey:
        """Return a journey that continues the journey of another process.

        Args:
            carrier: The result of `Journey.carrier()` in the other process, or the headers of a
                request as a mapping or as pairs. Header names can be in upper or lower case.
                Invalid content is ignored. If no valid journey is found, a new journey begins.
            name: The flow's name, if neither the carrier nor `event_flow_name` contains the name.
            ticket_on_error: If True, an error that ends the journey opens a ticket.
            fields: More fields, as for `journey`. These fields take precedence over the carrier.
        """
        with loading:
            from voyage_logger._logger.journey_header import unpack  # noqa: PLC0415 - rarely used

        carried = unpack(carrier)
        return Journey(
            self._calls,
            name,
            {**carried.fields, **fields},
            ticket_on_error=ticket_on_error,
            steps=carried.steps,
            is_continued=bool(carried.fields or carried.steps),
        )


def current_journey() -> Journey | None:
    """Return the innermost journey of this thread or task, or None."""
    layer = AMBIENT.get()
    found = None if layer is None else layer.journey
    return found if isinstance(found, Journey) else None
