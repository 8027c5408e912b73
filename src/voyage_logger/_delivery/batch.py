"""Send one batch until each of its entries is settled: delivered, rejected or dropped.

What must stay true: the entries are settled in the order in which the worker took the entries. If
the server refuses every entry of a batch, the client makes at most `MOST_REFUSALS` requests for
the batch. If a transport raises an exception, the client repeats the attempt later.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from voyage_logger._base.errors import VoyageError
from voyage_logger._base.feedback import apart
from voyage_logger._delivery.backoff import Failures
from voyage_logger._delivery.request_size import RequestSize
from voyage_logger._entry.encoding import shorten
from voyage_logger._entry.trimming import MIN_LIMIT
from voyage_logger._queue.lanes import json_bytes, payload_of
from voyage_logger.transports import Kind, Outcome, error_of

if TYPE_CHECKING:
    from typing import Protocol

    from voyage_logger._base.settings import Settings
    from voyage_logger._delivery.loss_report import LossReport
    from voyage_logger._delivery.server_state import ServerState
    from voyage_logger._queue.contract import Queue
    from voyage_logger._queue.lanes import Record
    from voyage_logger.transports import BaseTransport

    class Pacer(Protocol):
        """The worker's methods that `BatchDelivery` calls."""

        def begin_attempt(self) -> float | None: ...
        def back_off(self, outcome: Outcome, attempt: float) -> None: ...
        @property
        def is_stopped(self) -> bool: ...


MOST_REFUSALS = 32


class BatchDelivery:
    """Sends the batches of one queue. Only the worker's thread uses this class.

    `refused_in_a_row` is the number of batches in a row that the server refused completely.
    """

    def __init__(
        self,
        queue: Queue,
        transport: BaseTransport,
        settings: Settings,
        server: ServerState,
        losses: LossReport,
        pacer: Pacer,
    ) -> None:
        self._queue = queue
        self._transport = transport
        self._server = server
        self._losses = losses
        self._pacer = pacer
        self._failures = Failures()
        self._size = RequestSize(settings.batch_size, settings.max_batch_bytes)
        self._shortened = 0  # The sequence number of the latest entry that was shortened.
        self._reason = self._words = ""  # Why the server rejected the last rejected entry.
        self.refused_in_a_row = 0

    def warm_up(self) -> None:
        """Sign in before the first batch is due, so that wrong credentials are reported early."""
        try:
            apart(self._transport.warm_up)
        except VoyageError as error:
            self._server.note_problem(error, attempt=1)
        except Exception as error:  # noqa: BLE001 - a bug in a transport must not stop the worker
            self._server.note_problem(error_of(_raised(error)), attempt=1)

    def shorten_pauses(self) -> None:
        """Make the next pauses short again, because a caller of `flush` is waiting."""
        self._failures.ease()

    def deliver_next(self, *, is_behind: bool) -> None:
        """Take a batch, and send it until all its entries are settled or the worker stops."""
        size = self._size
        size.adapt(len(self._queue), is_behind=is_behind)
        batch = self._queue.take(size.entries, size.bytes)
        lessons = size.lessons
        chunks = [batch] if batch else []  # The last chunk of this list has the oldest entries.
        if self._deliver(chunks):
            self.refused_in_a_row = 0
        elif batch and not chunks:
            self.refused_in_a_row += 1
            size.lessons = lessons  # All requests were refused, so their size is not the cause.

    def _deliver(self, chunks: list[list[Record]]) -> bool:
        """Send the chunks until all their entries are settled or the worker stops.

        Return True if the transport has delivered or discarded at least one entry.
        """
        has_settled, refusals = False, 0  # `refusals` counts refused chunks in a row.
        while chunks and not self._pacer.is_stopped:
            while len(chunk := chunks.pop()) > 1 and json_bytes(chunk) > self._size.bytes:
                chunks += _halves(chunk)
            if refusals >= MOST_REFUSALS:
                self._reject(chunk)  # After too many refusals, send no further requests.
                continue
            outcome = self._attempt(chunk)
            if outcome.kind is Kind.DELIVERED:
                has_settled, refusals = True, 0
            elif outcome.kind is Kind.DISCARDED:
                has_settled = True
            elif outcome.kind in (Kind.TOO_LARGE, Kind.REFUSED):
                refusals += 1
                chunks += self._split(chunk, outcome, refusals + len(chunks))
            else:
                chunks.append(chunk)
                self._back_off(outcome)
        return has_settled

    def _attempt(self, chunk: list[Record]) -> Outcome:
        """Try once to send a chunk. If the chunk is delivered or discarded, settle its entries."""
        outcome = self._send(chunk)
        if outcome.kind is Kind.DELIVERED:
            self._failures.make_up()
            if self._size.is_taught:
                self._size.learn_delivered(json_bytes(chunk), len(chunk))
            self._server.note_delivery()
            self._queue.settle(len(chunk))
        elif outcome.kind is Kind.DISCARDED:
            self._failures.make_up()
            self._queue.settle(len(chunk), dropped=outcome.detail)
        return outcome

    def _send(self, chunk: list[Record]) -> Outcome:
        time_limit = self._pacer.begin_attempt()
        self._server.note_request(is_retry=self._failures.in_a_row > 0)
        # Log calls can still change a queued `bytearray`, so the transport gets copies as `bytes`.
        payloads = [*map(bytes, map(payload_of, chunk))]
        try:
            outcome = apart(self._transport.send, payloads, time_limit=time_limit)
        except Exception as error:  # noqa: BLE001 - a bug in a transport must not stop the worker
            return _raised(error)
        if type(outcome) is not Outcome:
            return Outcome(Kind.TRY_AGAIN, "the transport returned no Outcome")
        return outcome

    def _back_off(self, outcome: Outcome) -> None:
        """Count a failed attempt, report it, and wait until the next attempt is due."""
        attempt = self._failures.add(outcome.kind)
        if self._failures.unauthorized != 1:  # A single 401 is normal, because tokens expire.
            self._server.note_problem(error_of(outcome), self._failures.in_a_row)
        self._pacer.back_off(outcome, attempt)

    def _split(self, chunk: list[Record], outcome: Outcome, spent: int) -> list[list[Record]]:
        """Return what to send instead of a refused chunk: two halves, a shorter entry or nothing.

        `spent` is the number of refused requests in a row plus the number of unsent chunks.
        """
        self._failures.make_up()
        is_too_large = outcome.kind is Kind.TOO_LARGE
        if is_too_large:
            self._size.learn_too_large(json_bytes(chunk), len(chunk))
        else:
            self._size.learn_refused(len(chunk))
        if len(chunk) > 1 and spent + 2 <= MOST_REFUSALS:
            return _halves(chunk)
        if len(chunk) == 1 and is_too_large and (shortened := self._shorten(chunk[0])):
            return [[shortened]]
        self._words = outcome.detail
        self._reason = "too large" if is_too_large else f"HTTP {outcome.status}"
        self._reject(chunk)
        return []

    def _reject(self, chunk: list[Record]) -> None:
        """Settle the entries of a chunk as rejected, with the reason of the latest refusal."""
        with self._queue.lock:
            self._losses.expect(self._words)
            self._queue.settle(len(chunk), rejected=self._reason, words=self._words)

    def _shorten(self, record: Record) -> Record | None:
        """Shorten an entry. Return None if the entry was shortened before or is already short."""
        sequence, lane, payload = record
        fitting = min(len(payload) // 2, self._size.bytes - 1)
        limit = min(len(payload) - 1, max(fitting, MIN_LIMIT))
        if sequence == self._shortened or limit < MIN_LIMIT:
            return None
        self._shortened = sequence
        shorter = shorten(bytes(payload), limit)
        self._queue.replace_first(shorter)
        return sequence, lane, shorter


def _raised(error: Exception) -> Outcome:
    """Return the outcome of an attempt in which the transport raised an exception.

    The outcome does not contain the exception's message, because the message can contain a secret.
    An `ImportError` counts as `BLOCKED`, because the next attempt would fail in the same way.
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
    """Return the newer half and the older half of the records. The older half is sent first."""
    middle = len(records) // 2
    return [records[middle:], records[:middle]]
