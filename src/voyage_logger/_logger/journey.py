"""A journey: what one user does from start to end, told by every entry on the way.

What must stay true: the app's exceptions pass through unchanged, nothing here raises by itself, and
a run writes one closing entry, however it ends.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, cast

from voyage_logger._base.event_names import (
    JOURNEY_COMPLETED,
    JOURNEY_FAILED,
    JOURNEY_INTERRUPTED,
)
from voyage_logger._base.levels import ERROR, INFO, WARN
from voyage_logger._entry.json_data import clip, to_text
from voyage_logger._entry.timeline import Timeline
from voyage_logger._logger.callables import is_async, name_of
from voyage_logger._logger.context import AMBIENT, Layer, Scope, over, within
from voyage_logger._logger.journey_header import pack
from voyage_logger._logger.ticketed_errors import Ticketed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from voyage_logger._logger.log_call import LogCalls

F = TypeVar("F", bound=Callable[..., Any])

_EVENT_NAMES = {
    "completed": JOURNEY_COMPLETED,
    "failed": JOURNEY_FAILED,
    "interrupted": JOURNEY_INTERRUPTED,
}
_MAX_REASON = 200  # characters of an exception's text in the closing entry's message


class Journey(Scope):
    """One run of a flow, made by `VoyageLogger.journey`: a context manager and a decorator.

    While it is entered, each entry of the thread or task carries the journey's fields and the
    `event_timeline` so far. Leaving it writes one closing entry: "completed" at level info; for an
    exception "failed" at level error, with the traceback; for what is no error, such as the
    cancellation of a task, "interrupted" at level warn. The exception goes on unchanged.

    Entering a journey again begins a new run, which `as` gives; a decorated function makes one at
    each call. Thread-safe; tasks that are started inside share it.
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
        # Of one run.
        self._timeline = Timeline(self._steps, self._calls.mask)
        self._began_at = self._clock()
        self._parent: Journey | None = None
        self._ticketed = Ticketed()  # by journeys within
        self._run_fields = self._fields

    def __repr__(self) -> str:
        return f"<Journey {self._fields['event_flow_name']!r}>"

    def step(self, name: object) -> None:
        """Adds a step to the timeline, with the time.

        Of many steps the first 10 and the latest 39 are kept. Never raises. Thread-safe.

        Args:
            name: What has been reached, such as "card_charged".
        """
        self._timeline.add(name)

    def timeline(self) -> list[dict[str, Any]]:
        """The steps so far, as the API documents them: `step` and `timestamp` (epoch ms)."""
        return self._timeline.snapshot()

    def carrier(self) -> dict[str, str]:
        """The journey as HTTP headers, for `VoyageLogger.continue_journey` in another process.

        One header of at most 2 KiB: the flow's name, the session, the user's id and the latest
        steps. Names and e-mail addresses do not travel, nor what the logger's redaction hides.

        To be taken inside the `with`: before it, there is no session yet.
        """
        return pack(self._run_fields, self._timeline.steps(), self._calls.redaction)

    def __enter__(self) -> Journey:
        run = self if next(self._uses) == 0 else self._again()
        outer = AMBIENT.get()
        self._push(run._begin(outer), outer)  # noqa: SLF001 - an object of this class
        return run

    def __call__(self, function: F) -> F:
        """Decorates a function or coroutine function: each call is a run of its own.

        Raises:
            TypeError: It is a generator function: its body runs in the context of whoever asks
                for the next value, so a journey around it would leak there.
        """
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
        """Begins the run, and gives what is ambient within it."""
        bound = self._calls.bound
        fields = self._fields if outer is None else over(outer.fields, self._fields)
        if fields.get("session_id") is None and bound.get("session_id") is None:
            fields = {**fields, "session_id": os.urandom(16).hex()}
        self._run_fields = over(bound, fields)
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
        """Writes the closing entry of the run that is left, and takes back its context."""
        layer = self._pop()
        run = None if layer is None else layer.journey
        if not isinstance(run, Journey):
            return  # left more often than entered
        with within(layer):
            run._close(error, frame, method_name)  # noqa: SLF001 - an object of this class

    def _close(
        self, error: BaseException | None, frame: FrameType | None, method_name: str | None
    ) -> None:
        name = to_text(self._fields["event_flow_name"])
        meta_data: dict[str, Any] = {
            "duration_ms": round((self._clock() - self._began_at) * 1000, 3)
        }
        if self._is_continued:
            meta_data["continued"] = True
        fields: dict[str, Any] = {"meta_data": meta_data}
        is_named = "method_name" in self._run_fields or not self._calls.captures_method
        if method_name is not None and not is_named:
            fields["method_name"] = method_name
        if error is None:
            rank, outcome, message = INFO, "completed", f"Journey {name} completed"
        else:
            reason = f"{type(error).__name__}: {to_text(error)}".rstrip(": ")
            reason = clip(self._calls.mask(reason), _MAX_REASON)
            if isinstance(error, Exception):
                rank, outcome = ERROR, "failed"
                fields["exc_info"] = error
                self._open_ticket(error, fields)
            else:  # a task that is cancelled, Ctrl-C, sys.exit()
                rank, outcome = WARN, "interrupted"
            message = f"Journey {name} {outcome}: {reason}"
        meta_data["outcome"] = outcome
        fields["event_name"] = _EVENT_NAMES[outcome]
        self._calls.take(rank, message, (), fields, frame)
        # A task that outlives the run must not hold all that were around it.
        self._parent = None
        self._ticketed.clear()

    def _open_ticket(self, error: BaseException, fields: dict[str, Any]) -> None:
        """Opens a ticket if that is wanted, and no journey within has for this exception."""
        is_open = error in self._ticketed
        if self._ticket_on_error and not is_open:
            fields["add_ticket"] = is_open = True
        if is_open and self._parent is not None:
            self._parent._ticketed.add(error)  # noqa: SLF001 - an object of this class


def current_journey() -> Journey | None:
    """The innermost journey that this thread or task is in, or None."""
    layer = AMBIENT.get()
    found = None if layer is None else layer.journey
    return found if isinstance(found, Journey) else None
