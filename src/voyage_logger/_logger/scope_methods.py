"""The facade's methods for what surrounds log calls: context, journeys, uncaught exceptions.

What must stay true: none of them sends anything by itself; they write through the logger's intake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._logger.context import Scope
from voyage_logger._logger.journey import Journey
from voyage_logger._logger.journey_header import unpack
from voyage_logger._logger.uncaught import capture

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from typing_extensions import Unpack

    from voyage_logger._entry.log_fields import LogFields
    from voyage_logger._logger.log_call import LogCalls


class ScopeMethods:
    """What `VoyageLogger` offers beside log calls."""

    _calls: LogCalls

    def context(self, **fields: Unpack[LogFields]) -> Scope:
        """A context manager: all entries of this thread or task carry the fields meanwhile.

        Entries of any logger, and those that come through the standard library's `logging`. Also
        for `async with`. Tasks that are started inside inherit it; for plain threads and
        executors there is `propagate`.

        Args:
            fields: As for `debug`.
        """
        return Scope(dict(fields))

    def journey(
        self, name: str, /, *, ticket_on_error: bool = False, **fields: Unpack[LogFields]
    ) -> Journey:
        """A journey: a context manager, also for `async with`, and a decorator.

        Inside, all entries carry `event_flow_name`, `session_id` (made unless one is given or
        ambient) and the `event_timeline` so far. Leaving it writes one closing entry with the
        duration; an exception is written with its traceback and passes on unchanged.

        Args:
            name: What is going on, such as "checkout".
            ticket_on_error: An exception opens a ticket.
            fields: What else the entries carry, as for `debug`.
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
        """The journey that another process has begun and has sent along.

        Args:
            carrier: What `Journey.carrier()` gave there, or the headers it arrived with: a mapping
                or pairs, in any case. Nothing in it is trusted; without a journey in it, this is
                a new one.
            name: The flow's name if the carrier has none; `event_flow_name=` wins over both.
            ticket_on_error: As for `journey`.
            fields: As for `journey`; they win over what was carried.
        """
        carried = unpack(carrier)
        return Journey(
            self._calls,
            name,
            {**carried.fields, **fields},
            ticket_on_error=ticket_on_error,
            steps=carried.steps,
            is_continued=bool(carried.fields or carried.steps),
        )

    def capture_uncaught(self, loop: AbstractEventLoop | None = None) -> Callable[[], None]:
        """Logs exceptions that nobody catches: of the program, of threads, of an event loop.

        The hooks that were there (`sys.excepthook`, `threading.excepthook`, the loop's exception
        handler) are called afterwards as before. Ctrl-C is not logged. May be called again, as
        for another loop: each exception is logged once. One that leaves the `with` block of the
        logger itself is logged there, for that closes it, even if it is caught further out.

        Args:
            loop: An event loop to watch; default: the one that runs in this thread, if any. Before
                `asyncio.run` there is none, so call this inside.

        Returns:
            A function that undoes it.
        """
        return capture(self._calls, loop)
