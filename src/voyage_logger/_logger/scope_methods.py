"""The methods of `VoyageLogger` for contexts, journeys and uncaught exceptions.

What must stay true: none of the methods sends entries by itself; entries go through `LogCalls`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._logger.context import Scope
from voyage_logger._logger.journey import Journey

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from typing_extensions import Unpack

    from voyage_logger._entry.log_fields import LogFields
    from voyage_logger._logger.log_call import LogCalls


class ScopeMethods:
    """The methods of `VoyageLogger` for contexts, journeys and uncaught exceptions."""

    _calls: LogCalls

    def context(self, **fields: Unpack[LogFields]) -> Scope:
        """Return a context manager that adds fields to all entries of this thread or task.

        The fields are added to entries of all loggers. `async with` works, too. Tasks that start
        inside the block inherit the fields; for threads and executors, use `propagate`.

        Args:
            fields: The fields, as for `debug`.
        """
        return Scope(dict(fields))

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
            fields: More fields, as for `journey`. They take precedence over the carrier's.
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

    def capture_uncaught(self, loop: AbstractEventLoop | None = None) -> Callable[[], None]:
        """Log uncaught exceptions: of the program, of threads and of an event loop.

        The previous hooks (`sys.excepthook`, `threading.excepthook`, the loop's exception handler)
        are called afterwards. Ctrl-C is not logged. Each exception is logged once, even if this
        method is called several times, for example for another loop. An exception that ends the
        logger's own `with` block is logged before the logger closes.

        Args:
            loop: The event loop to watch; default: the loop that runs in this thread, if any. No
                loop runs before `asyncio.run`, so call this method inside.

        Returns:
            A function that restores the previous hooks.
        """
        from voyage_logger._logger.uncaught import Uncaught  # noqa: PLC0415 - few apps use it

        return Uncaught(self._calls, loop).undo
