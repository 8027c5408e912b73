"""One batch, sent until each of its entries is settled: delivered, rejected or dropped.

What must stay true: entries are settled in their order; a server that refuses everything costs at
most `MOST_REFUSALS` requests a batch; whatever a transport raises is an attempt to repeat.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Protocol

from voyage_logger._base.errors import ConnectionFailed, VoyageError
from voyage_logger._base.feedback import apart
from voyage_logger._delivery.pacing import Failures
from voyage_logger._delivery.request_size import RequestSize
from voyage_logger._entry.encoding import shorten
from voyage_logger._entry.trimming import MIN_LIMIT
from voyage_logger._queue.lanes import json_bytes, payload_of
from voyage_logger.transports._outcome import Kind, Outcome, error_of

if TYPE_CHECKING:
    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.settings import Settings
    from voyage_logger._queue.contract import Queue
    from voyage_logger._queue.lanes import Record
    from voyage_logger.transports import BaseTransport

MOST_REFUSALS = 32
_QUIET_FAILURES = 3  # failed attempts before a passing trouble is worth a line


class Pacer(Protocol):
    """Who knows about time: when to go on, how long an attempt may take, when to give up."""

    def begin_attempt(self) -> float | None:
        """Called before each attempt; gives the most seconds that its waits may take."""

    def back_off(self, outcome: Outcome, attempt: float) -> None:
        """Waits until the next attempt is due."""

    @property
    def is_stopped(self) -> bool:
        """True once no further attempt is to be made."""


class Delivery:
    """Sends the batches of one queue. Not thread-safe: the worker's own.

    Args:
        queue: Where the entries in flight are settled.
        transport: How they leave.
        settings: The logger's settings.
        diagnostics: Where trouble is reported.
        pacer: Who decides on time.

    Attributes:
        size: How large the next batch may be.
        requests, batches, retries, last_delivery, last_problem: See `Stats`.
        words: What the server said of the last entry that it rejected, until people are told.
        refused_in_a_row: Batches of which nothing was delivered.
        has_news: True from a rejection until people have been told; set under the queue's lock.
    """

    def __init__(
        self,
        queue: Queue,
        transport: BaseTransport,
        settings: Settings,
        diagnostics: Diagnostics,
        pacer: Pacer,
    ) -> None:
        self._queue = queue
        self._transport = transport
        self._diagnostics = diagnostics
        self._pacer = pacer
        self._trouble: tuple[type, int | None] | None = None  # what has been reported
        self.failures = Failures()
        self._shortened = 0  # the entry that has been shortened because the server refused it
        self.size = RequestSize(settings.batch_size, settings.max_batch_bytes)
        self.requests = self.batches = self.retries = 0
        self.last_delivery: float | None = None
        self.last_problem: str | None = None
        self.words = ""
        self.refused_in_a_row = 0
        self._reason = ""
        self.has_news = False

    @property
    def is_well(self) -> bool:
        """True if the server has let this process in, and no attempt has failed since."""
        is_known = self.batches > 0 or self._transport.sign_ins > 0
        return is_known and self.last_problem is None

    def warm_up(self) -> None:
        """Signs in before the first batch is due, so that wrong credentials show at once."""
        try:
            apart(self._transport.warm_up)
        except VoyageError as error:
            self._note_trouble(error, attempt=1)
        except Exception as error:  # noqa: BLE001 - a defect in a transport must not end delivery
            self._note_trouble(error_of(_raised(error)), attempt=1)

    def deliver(self, batch: list[Record]) -> None:
        """Sends a batch, in parts if need be, until it is settled or the pacer has stopped."""
        chunks = [batch] if batch else []  # a stack: the oldest entries are on top
        lessons, is_any_taken = self.size.lessons, False
        failures, refusals = self.failures, 0  # refusals of batches, in a row
        while chunks and not self._pacer.is_stopped:
            chunk = chunks.pop()
            if len(chunk) > 1 and json_bytes(chunk) > self.size.bytes:
                chunks += _halves(chunk)
                continue
            if refusals >= MOST_REFUSALS:
                self._reject(chunk)  # what the server has refused so often, it is not asked again
                continue
            outcome = self._attempt(chunk, is_retry=failures.in_a_row > 0)
            if outcome.kind is Kind.DELIVERED:
                failures.make_up()
                refusals = 0
                is_any_taken = True
            elif outcome.kind is Kind.DISCARDED:
                failures.make_up()
                self._queue.settle(len(chunk), dropped=outcome.detail)
                is_any_taken = True
            elif outcome.kind in (Kind.TOO_LARGE, Kind.REFUSED):
                failures.make_up()
                refusals += 1
                chunks += self._split(chunk, outcome, refusals + len(chunks))
            else:
                attempt = failures.add(outcome.kind)
                chunks.append(chunk)
                if failures.unauthorized != 1:  # one refused token is no trouble, a second one is
                    self._note_trouble(error_of(outcome), failures.in_a_row)
                self._pacer.back_off(outcome, attempt)
        if is_any_taken:
            self.refused_in_a_row = 0
        elif batch and not chunks:
            self.refused_in_a_row += 1
            self.size.lessons = lessons  # no size is right for a server that refuses every one

    def _attempt(self, chunk: list[Record], *, is_retry: bool) -> Outcome:
        """One attempt, accounted for."""
        time_limit = self._pacer.begin_attempt()
        self.requests += 1
        self.retries += is_retry
        # Those that could be amended while they waited are bytes from now on.
        payloads = [*map(bytes, map(payload_of, chunk))]
        try:
            outcome = apart(self._transport.send, payloads, time_limit=time_limit)
            if type(outcome) is not Outcome:
                return Outcome(Kind.TRY_AGAIN, "the transport returned no Outcome")
        except Exception as error:  # noqa: BLE001 - a defect in a transport must not end delivery
            return _raised(error)
        if outcome.kind is Kind.DELIVERED:
            self.batches += 1
            if self.size.is_taught:
                self.size.learn_taken(json_bytes(chunk), len(chunk))
            self.last_delivery = time.time()
            self._end_trouble()
            self._queue.settle(len(chunk))
        return outcome

    def _split(self, chunk: list[Record], outcome: Outcome, spent: int) -> list[list[Record]]:
        """What to send in the place of a chunk that the server does not take as it is.

        Args:
            chunk: The oldest entries in flight.
            outcome: What the server said.
            spent: Requests that were refused in a row, and chunks that are still to come.
        """
        is_too_large = outcome.kind is Kind.TOO_LARGE
        if is_too_large:
            self.size.learn_too_large(json_bytes(chunk), len(chunk))
        else:
            self.size.learn_refused(len(chunk))
        if len(chunk) > 1 and spent + 2 <= MOST_REFUSALS:
            return _halves(chunk)
        if len(chunk) == 1 and is_too_large and (shortened := self._shorten(chunk[0])):
            return [[shortened]]
        self.words = outcome.detail
        self._reason = "too large" if is_too_large else f"HTTP {outcome.status}"
        self._reject(chunk)
        return []

    def _reject(self, chunk: list[Record]) -> None:
        """Settles a chunk as rejected, for the reason of the latest refusal."""
        with self._queue.lock:
            self.has_news = True
            self._queue.settle(len(chunk), rejected=self._reason, words=self.words)

    def _shorten(self, record: Record) -> Record | None:
        """The entry in the size that may fit, or None if that has been tried or is too little."""
        sequence, lane, payload = record
        fitting = min(len(payload) // 2, self.size.bytes - 1)
        limit = min(len(payload) - 1, max(fitting, MIN_LIMIT))
        if sequence == self._shortened or limit < MIN_LIMIT:
            return None
        self._shortened = sequence
        shorter = shorten(bytes(payload), limit)
        self._queue.replace_first(shorter)
        return sequence, lane, shorter

    def _note_trouble(self, error: VoyageError, attempt: int) -> None:
        """Reports a trouble when it begins or changes; a passing one only if it does not pass."""
        self.last_problem = str(error)
        trouble = (type(error), error.status)
        is_transient = isinstance(error, ConnectionFailed) and error.is_transient
        if trouble != self._trouble and not (is_transient and attempt < _QUIET_FAILURES):
            self._trouble = trouble
            self._diagnostics.report(type(error).__name__, error, "entries are waiting: ")

    def _end_trouble(self) -> None:
        self.last_problem = None
        if self._trouble is not None:
            self._trouble = None
            self._diagnostics.say("recovered", "entries are being delivered again")


def _raised(error: Exception) -> Outcome:
    """What an exception of a transport comes to: named, but not quoted, for it may hold a secret.

    A module that is not there (`python -S`) will not come by waiting.
    """
    cause = None
    if isinstance(error, ImportError):
        cause = error.name
    elif isinstance(error, OSError) and isinstance(error.errno, int):
        cause = os.strerror(error.errno)
    return Outcome(
        Kind.BLOCKED if isinstance(error, ImportError) else Kind.TRY_AGAIN,
        f"the transport raised {type(error).__name__}{f' ({cause})' if cause else ''}",
    )


def _halves(records: list[Record]) -> list[list[Record]]:
    """The records in two parts, the older one last: on top of the stack."""
    middle = len(records) // 2
    return [records[middle:], records[:middle]]
