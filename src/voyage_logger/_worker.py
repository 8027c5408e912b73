"""The worker: one daemon thread that cuts batches, delivers them, waits, retries and accounts.

What must stay true: it alone decides when something is sent; it ends only when told to, whatever a
transport or a user's function does; every wait is on the queue's condition, so that flush, close
and exit can end it; and with nothing queued it waits without a time limit.

Where no thread can be had (at exit on Python 3.12 and later, or at a limit of the system), the same
loop runs in the caller's thread: `run_here`.
"""

from __future__ import annotations

import threading
import time
from random import Random
from typing import TYPE_CHECKING, Any

from voyage_logger import _retry
from voyage_logger._batching import BEHIND, RequestSize
from voyage_logger._encoding import shorten
from voyage_logger._errors import ConnectionFailed, VoyageError
from voyage_logger._losses import LossTeller
from voyage_logger._outcome import Kind, Outcome, error_of
from voyage_logger._queue import NEVER, EntryQueue, Record
from voyage_logger._trimming import MIN_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._diagnostics import Diagnostics
    from voyage_logger._settings import Settings
    from voyage_logger.transports import BaseTransport

MOST_REFUSALS = 32  # requests that one batch may cost a server which refuses everything
_PATIENCE = 3  # failed attempts before a passing trouble is worth a line
_LEAST_TIME = 0.05  # seconds for the last request before a deadline


class Worker:
    """Delivers what is in a queue.

    Args:
        queue: Where the entries are.
        transport: How they leave.
        settings: The logger's settings.
        diagnostics: Where trouble is reported.
        write_notice: Puts an entry about losses into the queue.
        on_end: Called when the loop has ended, whatever the reason.
        clock: The monotonic clock, seconds.
        random: A source of numbers from 0 to below 1.

    Attributes:
        requests, batches, retries, last_delivery, last_problem: See `Stats`.
        losses: Tells people of lost entries.
        is_running: True from the loop's start to its end.

    `start`, `nudge`, `drain`, `retire` and `stop` may be called from any thread.
    """

    def __init__(
        self,
        queue: EntryQueue,
        transport: BaseTransport,
        settings: Settings,
        diagnostics: Diagnostics,
        write_notice: Callable[[dict[str, Any]], None],
        on_end: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] | None = None,
    ) -> None:
        self._queue = queue
        self._transport = transport
        self._settings = settings
        self._diagnostics = diagnostics
        self._write_notice = write_notice
        self._on_end = on_end
        self._clock = clock
        # Not the module's: an app that seeds it must not synchronize a fleet, nor be disturbed.
        self._random = random or Random().random  # noqa: S311 - jitter, not cryptography
        self._size = RequestSize(settings.batch_size, settings.max_batch_bytes)
        self.losses = LossTeller(queue, diagnostics, clock)
        self._trouble: tuple[type, int | None] | None = None  # what has been reported
        self._due: float | None = None  # when the entries that wait are to be sent though few
        self._shortened = 0  # the entry that has been shortened because the server refused it
        self.requests = self.batches = self.retries = 0
        self.last_delivery: float | None = None
        self.last_problem: str | None = None
        # Guarded by the queue's lock.
        self.is_running = False
        self._driver: int | None = None  # the thread that runs the loop
        self._flush_until = 0  # entries up to this sequence number are to be sent at once
        self._nudges = 0
        self._deadline: float | None = None  # set once the time that is left is limited
        self._is_retired = False
        self._is_stopped = False

    # Orders from other threads.

    def start(self) -> None:
        """Starts the thread.

        Raises:
            RuntimeError: The system or the interpreter gives no more threads.
        """
        self.is_running = True
        try:
            threading.Thread(target=self._run, name="voyage-logger", daemon=True).start()
        except RuntimeError:
            self.is_running = False
            raise

    def run_here(self, deadline: float) -> None:
        """Runs the loop in this thread until nothing is left or the deadline has come."""
        with self._queue.changed:
            if self.is_running:
                return
            self.is_running = True
            orders = (self._flush_until, self._deadline, self._is_retired, self._is_stopped)
            self.drain(deadline)
            self.retire()
        try:
            self._run()
        finally:
            with self._queue.changed:
                self._flush_until, self._deadline, self._is_retired, self._is_stopped = orders

    def is_here(self) -> bool:
        """True if the calling thread is the one that runs the loop."""
        return self._driver == threading.get_ident()

    def nudge(self, until: int) -> None:
        """Has all entries up to a sequence number sent now.

        That ends a pause between attempts, unless the server asked for it.
        """
        with self._queue.changed:
            self._flush_until = max(self._flush_until, until)
            self._nudges += 1
            self._queue.changed.notify_all()

    def drain(self, deadline: float) -> None:
        """Has everything sent now and from now on, with the time that is left until `deadline`."""
        with self._queue.changed:
            self._deadline = deadline
            self.nudge(NEVER)

    def retire(self) -> None:
        """Ends the loop once nothing is left."""
        with self._queue.changed:
            self._is_retired = True
            self._queue.changed.notify_all()

    def stop(self) -> None:
        """Ends the loop after the present attempt."""
        with self._queue.changed:
            self._is_stopped = True
            self._queue.changed.notify_all()
            self._queue.settled.notify_all()

    @property
    def is_stopped(self) -> bool:
        """True once nothing more will be sent: told so, or without hope before a deadline."""
        return self._is_stopped

    # The loop.

    def _run(self) -> None:
        self._driver = threading.get_ident()
        try:
            if self._deadline is None:
                self._sign_in()
            while self._wait_until_due():
                self._size.adapt(len(self._queue), is_behind=self._is_behind())
                self._deliver(self._queue.take(self._size.entries, self._size.bytes))
                self.losses.tell()
                if not self._is_stopped and (fields := self.losses.notice()) is not None:
                    self._write_notice(fields)
        finally:
            with self._queue.changed:
                self._driver = None
                self.is_running = False
                self._queue.settled.notify_all()
            self._on_end()

    def _sign_in(self) -> None:
        """Signs in before the first batch is due, so that wrong credentials show at once."""
        try:
            self._transport.sign_in()
        except VoyageError as error:
            self._note_trouble(error, attempt=1)
        except Exception as error:  # noqa: BLE001 - a user's transport; `send` will show it again
            self._note_trouble(VoyageError(f"sign_in raised {type(error).__name__}"), attempt=1)

    def _wait_until_due(self) -> bool:
        """Waits until there is something to send; False if the loop is to end."""
        queue = self._queue
        with queue.changed:
            while not self._is_stopped:
                oldest = queue.oldest()
                if oldest == NEVER:
                    if self._is_retired:
                        return False
                    self._due = None
                    self._wait_for(1, None)
                    continue
                if queue.is_urgent:
                    self._flush_until = max(self._flush_until, queue.newest())
                    queue.is_urgent = False
                now = self._clock()
                if self._due is None:
                    self._due = self._next_due(now)
                is_full = len(queue) >= self._size.entries
                if is_full or oldest <= self._flush_until or now >= self._due:
                    return True
                self._wait_for(self._size.entries, self._due - now)
            return False

    def _wait_for(self, entries: int, time_limit: float | None) -> None:
        """Waits for so many queued entries, an urgent one, an order, or the time limit."""
        self._queue.wake_at = entries
        self._queue.changed.wait(time_limit)
        self._queue.wake_at = NEVER

    def _next_due(self, now: float) -> float:
        """When entries that come from now on are to be sent though they are few."""
        return now + _retry.interval(self._settings.flush_interval, self._random)

    def _is_behind(self) -> bool:
        """True if more waits than the client may let pass: or, with little time left, at all."""
        return self._queue.fill() > BEHIND or self._deadline is not None

    def _deliver(self, batch: list[Record]) -> None:
        """Sends a batch until each of its entries is settled, or the loop is to end."""
        self._due = self._next_due(self._clock())  # for entries that come while this is under way
        chunks = [batch] if batch else []
        attempt = refusals = 0
        while chunks and not self._is_stopped:
            chunk = chunks.pop()
            if len(chunk) > 1 and _bytes(chunk) > self._size.bytes:
                chunks += _halves(chunk)
                continue
            outcome = self._attempt(chunk, is_retry=attempt > 0)
            if outcome.kind is Kind.DELIVERED:
                attempt = refusals = 0
            elif outcome.kind is Kind.DISCARDED:
                self._queue.settle(len(chunk), dropped=outcome.detail)
            elif outcome.kind in (Kind.TOO_LARGE, Kind.REFUSED):
                attempt = 0
                refusals += 1
                chunks += self._split(chunk, outcome, refusals + len(chunks))
            else:
                attempt += 1
                chunks.append(chunk)
                self._back_off(outcome, attempt)

    def _attempt(self, chunk: list[Record], *, is_retry: bool) -> Outcome:
        """One attempt, accounted for."""
        self.requests += 1
        self.retries += is_retry
        try:
            outcome = self._transport.send(
                [payload for _, _, payload in chunk], time_limit=self._time_limit()
            )
        except Exception as error:  # noqa: BLE001 - a defect in a transport must not end delivery
            outcome = Outcome(Kind.TRY_AGAIN, f"the transport raised {type(error).__name__}")
        if outcome.kind is Kind.DELIVERED:
            self.batches += 1
            self.last_delivery = time.time()
            self._queue.settle(len(chunk))
            self._end_trouble()
        return outcome

    def _split(self, chunk: list[Record], outcome: Outcome, spent: int) -> list[list[Record]]:
        """What to send in the place of a chunk that the server does not take as it is.

        Args:
            chunk: The oldest entries in flight.
            outcome: What the server said.
            spent: Requests that were refused in a row, and chunks that are still to come.
        """
        is_too_large = outcome.kind is Kind.TOO_LARGE
        size = _bytes(chunk)
        if is_too_large:
            self._size.learn_too_large(size)
        else:
            self._size.learn_refused(len(chunk))
        if len(chunk) > 1 and spent < MOST_REFUSALS:
            return _halves(chunk)
        if len(chunk) == 1 and is_too_large:
            sequence, lane, payload = chunk[0]
            limit = min(len(payload) - 1, max(self._size.bytes - 1, MIN_LIMIT))
            if limit >= MIN_LIMIT and sequence != self._shortened:
                self._shortened = sequence
                payload = shorten(payload, limit)
                self._queue.replace_first(payload)
                return [[(sequence, lane, payload)]]
        reason = "too large" if is_too_large else f"HTTP {outcome.status}"
        self.losses.words = self.last_problem = outcome.detail
        self._queue.settle(len(chunk), rejected=reason)
        return []

    def _back_off(self, outcome: Outcome, attempt: int) -> None:
        """Waits before the next attempt; a flush or the end of the process cuts that short."""
        pause = _retry.pause(outcome, attempt, self._random)
        if pause:
            self._note_trouble(error_of(outcome), attempt)
        if outcome.kind is Kind.BLOCKED and self._deadline is not None:
            self.stop()  # the answer was asked for with little time left, and will not change
        now = self._clock()
        end, floor = now + pause, now + (outcome.retry_after or 0.0)
        with self._queue.changed:
            nudges = self._nudges
            while not self._is_stopped and now < end:
                if self._deadline is not None and max(floor, now) >= self._deadline:
                    self.stop()
                elif self._nudges != nudges:
                    end, nudges = min(end, floor), self._nudges
                else:
                    self._queue.changed.wait(min(end, self._deadline or end) - now)
                now = self._clock()
        self.losses.tell()

    def _time_limit(self) -> float | None:
        if self._deadline is None:
            return None
        return max(_LEAST_TIME, self._deadline - self._clock())

    # Words.

    def _note_trouble(self, error: VoyageError, attempt: int) -> None:
        """Reports a trouble when it begins or changes; a passing one only if it does not pass."""
        self.last_problem = str(error)
        trouble = (type(error), error.status)
        is_passing = isinstance(error, ConnectionFailed)
        if trouble != self._trouble and not (is_passing and attempt < _PATIENCE):
            self._trouble = trouble
            self._diagnostics.report(type(error).__name__, error)

    def _end_trouble(self) -> None:
        self.last_problem = None
        if self._trouble is not None:
            self._trouble = None
            self._diagnostics.say("recovered", "entries are being delivered again")


def _bytes(records: list[Record]) -> int:
    return sum(len(payload) + 1 for _, _, payload in records)


def _halves(records: list[Record]) -> list[list[Record]]:
    """The records in two parts, the first of which is the last of the list: a stack's top."""
    middle = len(records) // 2
    return [records[middle:], records[:middle]]
