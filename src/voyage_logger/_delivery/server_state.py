"""Count the requests, and record whether the server works.

What must stay true: only the thread that sends entries changes a `ServerState`. All threads can
read a `ServerState`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from voyage_logger._base.errors import ConnectionFailed, VoyageError
from voyage_logger._base.frozen import replace
from voyage_logger._base.printable import printable

if TYPE_CHECKING:
    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.stats import Stats
    from voyage_logger.transports import BaseTransport

_QUIET_FAILURES = 3  # A temporary problem is reported after this many failed attempts in a row.


class ServerState:
    """Counts the requests of one transport, and reports each problem once."""

    def __init__(self, transport: BaseTransport, diagnostics: Diagnostics) -> None:
        self._transport = transport
        self._diagnostics = diagnostics
        self._reported: tuple[type, int | None] | None = None  # The last reported problem.
        self._requests = self._retries = 0
        self.batches = 0  # The number of delivered batches.
        self._last_delivery: float | None = None
        self.last_problem: str | None = None  # Why the latest attempt failed; None after a success.

    @property
    def is_well(self) -> bool:
        """True if a sign-in or a batch has succeeded before, and the last attempt did not fail."""
        is_known = self.batches > 0 or self._transport.sign_ins > 0
        return is_known and self.last_problem is None

    def add_to(self, stats: Stats) -> Stats:
        """Return the queue's counts together with the counts of this `ServerState`."""
        return replace(
            stats,
            requests=self._requests,
            batches=self.batches,
            retries=self._retries,
            sign_ins=self._transport.sign_ins,
            last_delivery=self._last_delivery,
            last_problem=self.last_problem,
        )

    def note_request(self, *, is_retry: bool) -> None:
        """Count a request. The worker calls this method just before it sends the request."""
        self._requests += 1
        self._retries += is_retry

    def note_delivery(self) -> None:
        """Count a delivered batch. If a problem was reported, report that the problem is over."""
        self.batches += 1
        self._last_delivery = time.time()
        self.last_problem = None
        if self._reported is not None:
            self._reported = None
            self._diagnostics.say("recovered", "entries are being delivered again")

    def note_problem(self, error: VoyageError, attempt: int) -> None:
        """Report a new problem. Report a temporary problem only after three failures in a row."""
        self.last_problem = printable(str(error))
        trouble = (type(error), error.status)
        is_transient = isinstance(error, ConnectionFailed) and error.is_transient
        if trouble != self._reported and not (is_transient and attempt < _QUIET_FAILURES):
            self._reported = trouble
            self._diagnostics.report(type(error).__name__, error, "entries are waiting: ")
