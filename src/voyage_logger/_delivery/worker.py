"""The worker: one daemon thread that cuts batches, has them delivered, waits and accounts.

What must stay true: it alone decides when something is sent; it ends only when told to, whatever a
transport or a user's function does; every wait is on the queue's condition, so that flush, close
and exit can end it; and with nothing queued it waits without a time limit.

Where no thread can be had (at exit on Python 3.12.0 to 3.12.2, or at a limit of the system), the
same loop runs in the caller's thread: `run_here`.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from voyage_logger._delivery import backoff
from voyage_logger._delivery.batch import Delivery
from voyage_logger._delivery.loss_report import LossTeller
from voyage_logger._delivery.pacing import Rhythm
from voyage_logger._delivery.request_size import BEHIND
from voyage_logger._queue.lanes import LAST, NEVER
from voyage_logger.transports._base import LEAST_TIME
from voyage_logger.transports._outcome import PERSISTENT, Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.errors import EntriesLost
    from voyage_logger._base.settings import Settings
    from voyage_logger._queue.contract import Queue
    from voyage_logger.transports import BaseTransport

_REFUSED_ALL = Outcome(Kind.TRY_AGAIN, "every entry of a batch was refused")
# Seconds between attempts, however often somebody flushes.
_LEAST_PAUSE = 0.5
_LEAST_BLOCKED_PAUSE = 5.0


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
        delivery: What the loop has batches sent by.
        is_running: True from the loop's start to its end.

    `start`, `nudge`, `drain`, `stop_when_empty` and `stop` may be called from any thread.
    """

    def __init__(
        self,
        queue: Queue,
        transport: BaseTransport,
        settings: Settings,
        diagnostics: Diagnostics,
        write_notice: Callable[[dict[str, Any]], None],
        on_end: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] | None = None,
    ) -> None:
        from random import Random  # noqa: PLC0415 - not to be paid by the import

        self._queue = queue
        self._settings = settings
        self._write_notice = write_notice
        self._on_end = on_end
        self._clock = clock
        # Not the module's: an app that seeds it must not synchronize a fleet, nor be disturbed.
        self._random = random or Random().random  # noqa: S311 - jitter, not cryptography
        self.delivery = Delivery(queue, transport, settings, diagnostics, self)
        self._losses = LossTeller(queue, diagnostics, clock)
        self._noted_at = 0  # the batches confirmed when the stream was last told of losses
        self._rhythm = Rhythm(settings.flush_interval)
        # Guarded by the queue's lock.
        self.is_running = False
        self._driver: int | None = None  # the thread that runs the loop
        self._flush_until = 0  # entries up to this sequence number are to be sent at once
        self._nudges = 0
        self._followed = 0  # the nudges that an attempt has followed
        self._deadline: float | None = None  # set once the time that is left is limited
        self._stops_when_empty = False
        self._is_stopped = False

    # Orders from other threads.

    def start(self) -> None:
        """Starts the thread.

        Raises:
            RuntimeError: The system or the interpreter gives no more threads.
        """
        self.is_running = True
        try:
            threading.Thread(target=self._live, name="voyage-logger", daemon=True).start()
        except BaseException:  # an interrupt, too, must not leave a worker that is none
            self.is_running = False
            raise

    def run_here(self, deadline: float) -> None:
        """Runs the loop in this thread until nothing is left or the deadline has come."""
        with self._queue.lock:
            if self.is_running:
                return
            self.is_running = True
            orders = (self._flush_until, self._deadline, self._stops_when_empty, self._is_stopped)
            self.drain(deadline)
            self.stop_when_empty()
        try:
            self._run()
        finally:
            with self._queue.lock:
                self._flush_until, self._deadline, self._stops_when_empty, self._is_stopped = orders

    def nudge(self, until: int) -> None:
        """Has all entries up to a sequence number sent now.

        That ends a pause between attempts, unless the server asked for it.
        """
        with self._queue.lock:
            self._flush_until = max(self._flush_until, until)
            self._nudges += 1
            self._queue.changed.notify_all()

    def drain(self, deadline: float) -> None:
        """Has everything sent now and from now on, with the time that is left until `deadline`."""
        with self._queue.lock:
            self._deadline = deadline
            self.nudge(LAST)

    def stop_when_empty(self) -> None:
        """Ends the loop once nothing is left."""
        with self._queue.lock:
            self._stops_when_empty = True
            self._queue.changed.notify_all()

    def stop(self) -> None:
        """Ends the loop after the present attempt."""
        with self._queue.lock:
            self._is_stopped = True
            self._queue.changed.notify_all()
            self._queue.settled.notify_all()

    def join(self, deadline: float) -> None:
        """Waits until the loop has ended."""
        with self._queue.lock:
            while self.is_running and self._driver != threading.get_ident():
                remaining = deadline - self._clock()
                if remaining <= 0:
                    return
                self._queue.settled.wait(remaining)

    @property
    def is_stopped(self) -> bool:
        """True once nothing more will be sent: told so, or without hope before a deadline."""
        return self._is_stopped

    @property
    def can_settle(self) -> bool:
        """True if the loop runs, and not in the calling thread: then it is worth waiting for."""
        is_own = self._driver == threading.get_ident()
        return self.is_running and not self._is_stopped and not is_own

    # The loop.

    def _live(self) -> None:
        """The life of the thread."""
        self._run()
        if self._stops_when_empty:  # nobody will log here again
            self._queue.release()

    def _run(self) -> None:
        with self._queue.lock:
            if self._driver is not None:
                return
            self._driver = threading.get_ident()
            self.is_running = True
        try:
            if self._deadline is None:
                self.delivery.warm_up()
            while self._wait_until_due():
                self._rhythm.begin(self._clock(), self._random)
                size = self.delivery.size
                size.adapt(len(self._queue), is_behind=self._is_behind())
                self.delivery.deliver(self._queue.take(size.entries, size.bytes))
                self._end_round()
        finally:
            with self._queue.lock:
                self._driver = None
                self.is_running = False
                self.delivery.has_news = False
                self._on_end()
                self._queue.settled.notify_all()

    def _wait_until_due(self) -> bool:
        """Waits until there is something to send; False if the loop is to end."""
        while True:
            self._queue.maintain()
            with self._queue.lock:
                verdict = self._look()
            if verdict is not None:
                return verdict

    def _look(self) -> bool | None:
        """Looks at the queue; True to send now, False to end, None after some waiting."""
        queue = self._queue
        if self._is_stopped:
            return False
        oldest = queue.oldest()
        if oldest == NEVER:
            if self._stops_when_empty:
                return False
            self._rhythm.rest()
            queue.wait_for_entries(1, queue.maintenance_interval)
            return None
        if queue.is_urgent:
            self._flush_until = max(self._flush_until, queue.newest())
            queue.clear_urgent()
        remaining = self._rhythm.remaining(self._clock(), self._random)
        is_full = len(queue) >= self._settings.batch_size
        if is_full or oldest <= self._flush_until or remaining <= 0:
            return True
        queue.wait_for_entries(self._settings.batch_size, self._at_most(remaining))
        return None

    def _at_most(self, seconds: float) -> float:
        """So many seconds, or as many as the queue can be left alone, if those are fewer."""
        interval = self._queue.maintenance_interval
        return seconds if interval is None else min(seconds, interval)

    def _is_behind(self) -> bool:
        """True if more waits than the client may let pass: or, with little time left, at all."""
        return self._queue.fill() > BEHIND or self._deadline is not None

    def tell_losses(self, *, at_once: bool = False) -> None:
        """Tells people of new losses, unless they heard of others within the last minute."""
        self._report(self._losses.claim(self.delivery.words, at_once=at_once))

    def tell_last_losses(self, *, at_once: bool = False) -> None:
        """The same at the end, with what the last attempt came to, which is the cause."""
        self._report(self._claim_last(at_once=at_once))

    def stop_and_drop(self, reason: str, *, at_once: bool) -> None:
        """Ends the loop, drops what is left, and tells people of all in one line."""
        with self._queue.lock:
            self.stop()
            self._queue.drop_all(reason)
            # Claimed under the same lock: what others lose or tell in between is a line of its own.
            error = self._claim_last(at_once=at_once)
        self._report(error)

    def _claim_last(self, *, at_once: bool) -> EntriesLost | None:
        words, problem = self.delivery.words, self.delivery.last_problem
        return self._losses.claim(words, at_once=at_once, problem=problem)

    def _report(self, error: EntriesLost | None) -> None:
        if error is not None:
            self._losses.report(error)
            self.delivery.words = ""
        with self._queue.lock:
            self.delivery.has_news = False
            self._queue.settled.notify_all()

    def _end_round(self) -> None:
        """Tells the stream of new losses, if it has just been seen to work, and people."""
        if (
            self.delivery.batches != self._noted_at
            and (fields := self._losses.notice()) is not None
        ):
            self._noted_at = self.delivery.batches
            self._write_notice(fields)
        self.tell_losses()
        if self.delivery.refused_in_a_row > 1 and self._deadline is None:
            self.back_off(_REFUSED_ALL, self.delivery.refused_in_a_row - 1)

    # What the delivery asks.

    def begin_attempt(self) -> float | None:
        """Notes that an attempt follows all nudges so far; gives the time limit of its waits."""
        with self._queue.lock:
            self._follow()
            if self._deadline is None:
                return None
            return max(LEAST_TIME, self._deadline - self._clock())

    def _follow(self) -> None:
        """Notes that the next attempt is for somebody who waits: its pauses are short again."""
        if self._nudges != self._followed:
            self._followed = self._nudges
            self.delivery.failures.ease()

    def back_off(self, outcome: Outcome, attempt: float) -> None:
        """Waits before the next attempt; a flush or the end of the process cuts that short."""
        if outcome.kind is Kind.BLOCKED and self._deadline is not None:
            self.stop()  # the answer was asked for with little time left, and will not change
        start = now = self._clock()
        end = now + backoff.pause(outcome, attempt, self._random)
        least = _LEAST_BLOCKED_PAUSE if outcome.kind in PERSISTENT else _LEAST_PAUSE
        floor = now + (outcome.retry_after or 0.0)
        while not self._is_stopped and now < end:
            with self._queue.lock:
                if self._deadline is not None and (
                    self._queue.is_durable or max(floor, now) >= self._deadline
                ):
                    self.stop()  # what is durable need not be sent by a process in a hurry
                elif self._nudges != self._followed:
                    soonest = floor if self._deadline is not None else max(floor, start + least)
                    end = min(end, soonest)
                    self._follow()
                else:
                    self._queue.changed.wait(self._at_most(min(end, self._deadline or end) - now))
                now = self._clock()
            self._queue.maintain()
        self.tell_losses()
