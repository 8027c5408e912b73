"""A journey: a flow of one user, from start to end, that each entry within it describes.

What must stay true: exceptions of the app pass through unchanged. A journey itself never raises. A
run writes one closing entry, also if it ends with an exception.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, cast

from voyage_logger._base.levels import ERROR, INFO, WARN
from voyage_logger._base.wire import (
    JOURNEY_COMPLETED,
    JOURNEY_FAILED,
    JOURNEY_INTERRUPTED,
)
from voyage_logger._entry.json_data import clip, to_text
from voyage_logger._entry.timeline import Timeline
from voyage_logger._logger.context import AMBIENT, Layer, Scope, merged, within
from voyage_logger._logger.ticketed_errors import Ticketed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from typing_extensions import Unpack

    from voyage_logger._entry.log_fields import LogFields
    from voyage_logger._logger.log_call import LogCalls

F = TypeVar("F", bound=Callable[..., Any])

_OUTCOMES = {
    "completed": (INFO, JOURNEY_COMPLETED),
    "failed": (ERROR, JOURNEY_FAILED),
    "interrupted": (WARN, JOURNEY_INTERRUPTED),
}
_MAX_REASON = 200  # characters of an exception's text in the closing entry's message


class Journey(Scope):
    """One run of a flow, made by `VoyageLogger.journey`: a context manager and a decorator.

    Inside the block, each entry of the thread or task carries the journey's fields and the
    `event_timeline` so far. The end writes one closing entry, mostly "completed" at level info.
    After an error, the entry is "failed" at level error, with the traceback. After another
    exception, such as the cancellation of a task, the entry is "interrupted" at level warn. The
    exception passes on unchanged.

    A journey that is entered again begins a new run, which `as` returns. Each call of a decorated
    function is a run of its own. Thread-safe. Tasks that start inside share the journey.
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
        # The attributes below describe one run.
        self._timeline = Timeline(self._steps, self._calls.redaction.mask)
        self._began_at = self._clock()
        self._parent: Journey | None = None
        self._ticketed = Ticketed()  # the exceptions that journeys inside have reported
        self._run_fields = self._fields

    def __repr__(self) -> str:
        return f"<Journey {self._fields['event_flow_name']!r}>"

    def step(self, name: object) -> None:
        """Add a step with the present time to the timeline.

        The first 10 and the latest 39 steps are kept. Never raises. Thread-safe.

        Args:
            name: The name of the step, such as "card_charged".
        """
        self._timeline.add(name)

    def timeline(self) -> list[dict[str, Any]]:
        """Return the steps so far, as in the API: `step` and `timestamp` (epoch ms)."""
        return self._timeline.snapshot()

    def carrier(self) -> dict[str, str]:
        """Return the journey as an HTTP header, for `VoyageLogger.continue_journey` elsewhere.

        The header has at most 2 KiB: the flow's name, the session, the user's id and the latest
        steps. The header holds no user names, no e-mail addresses and nothing that redaction masks.

        Call this method inside the `with` block: the session begins with the block.
        """
        from voyage_logger._logger.journey_header import pack  # noqa: PLC0415 - few apps use it

        return pack(self._run_fields, self._timeline.steps(), self._calls.redaction)

    def __enter__(self) -> Journey:
        run = self if next(self._uses) == 0 else self._again()
        outer = AMBIENT.get()
        self._push(run._begin(outer), outer)  # noqa: SLF001 - an object of this class
        return run

    def __call__(self, function: F) -> F:
        """Decorate a function or coroutine function: each call is a run of its own.

        Raises:
            TypeError: The function is a generator function, whose body runs in the context of the
                consumer. The journey's fields would leak there.
        """
        from voyage_logger._logger.callables import is_async, name_of  # noqa: PLC0415 - rarely used

        name = name_of(function)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            self.__enter__()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                self._leave(error, None, name)
                raise
            self._leave(None, None, name)
            return result

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

        return cast("F", run_async if is_async(function) else run)

    def _begin(self, outer: Layer | None) -> Layer:
        """Begin the run, and return the layer within it."""
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
        """End the layer of the innermost run, and write the run's closing entry."""
        layer = self._pop()
        run = None if layer is None else layer.journey
        if not isinstance(run, Journey):
            return  # The journey was left more often than it was entered.
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
        elif method_name is not None and "method_name" not in self._run_fields:
            fields["method_name"] = method_name
        outcome, reason = ("completed", "") if error is None else self._describe(error, fields)
        rank, fields["event_name"] = _OUTCOMES[outcome]
        meta_data["outcome"] = outcome
        message = f"Journey {to_text(self._fields['event_flow_name'])} {outcome}{reason}"
        self._calls.log(rank, message, (), fields, frame)
        # A task that outlives the run must not keep the outer journeys alive.
        self._parent = None
        self._ticketed.clear()

    def _describe(self, error: BaseException, fields: dict[str, Any]) -> tuple[str, str]:
        """Return the outcome and its reason, and add an error to the closing entry's fields."""
        reason = f"{type(error).__name__}: {to_text(error)}".rstrip(": ")
        reason = f": {clip(self._calls.redaction.mask(reason), _MAX_REASON)}"
        if not isinstance(error, Exception):  # a task that is cancelled, Ctrl-C, sys.exit()
            return "interrupted", reason
        fields["exc_info"] = error
        self._open_ticket(error, fields)
        return "failed", reason

    def _open_ticket(self, error: BaseException, fields: dict[str, Any]) -> None:
        """Open a ticket if the journey does so, unless a journey inside has opened one."""
        is_open = error in self._ticketed
        if self._ticket_on_error and not is_open:
            fields["add_ticket"] = is_open = True
        if is_open and self._parent is not None:
            self._parent._ticketed.add(error)  # noqa: SLF001 - an object of this class


class JourneyMethods:
    """The methods of `VoyageLogger` for journeys."""

    _calls: LogCalls

    def journey(
        self, name: str, /, *, ticket_on_error: bool = False, **fields: Unpack[LogFields]
    ) -> Journey:
        """Return a journey: a context manager, also for `async with`, and a decorator.

        Inside, all entries carry `event_flow_name`, `session_id` (a new one, unless one is given or
        ambient) and the `event_timeline` so far. The end of the journey writes one closing entry
        with the duration. An exception is logged with its traceback and passes on unchanged.

        Args:
            name: The name of the flow, such as "checkout".
            ticket_on_error: Whether an exception opens a ticket.
            fields: More fields for the entries, as for `debug`.
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
        """Return the journey that another process has begun.

        Args:
            carrier: The result of `Journey.carrier()` in the other process, or all headers of a
                request: a mapping or pairs, in any case. The content is checked, not trusted.
                Without a journey in the headers, a new one begins.
            name: The flow's name if the carrier has none. `event_flow_name=` takes precedence.
            ticket_on_error: Whether an exception opens a ticket.
            fields: More fields, as for `journey`. These fields take precedence.
        """
        from voyage_logger._logger.journey_header import unpack  # noqa: PLC0415 - few apps use it

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
