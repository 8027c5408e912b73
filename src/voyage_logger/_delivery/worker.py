"""The worker: a daemon thread that takes a batch, sends it, and waits until the next batch is due.

What must stay true: only the worker decides when entries are sent. Only an order ends the worker's
loop. An exception from a transport or a user's function does not end the loop. Every wait uses a
condition of the queue, so that flush, close and exit can end the wait. The queue's lock guards all
orders, and each new order wakes the worker.

Starting a thread can fail: at exit on Python 3.12.0 to 3.12.2, or at the system's limit of threads.
If no thread can start, `run_here` runs the loop in the caller's thread.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from voyage_logger._delivery import backoff, exit_and_fork, pool_hosts
from voyage_logger._delivery.batch import BatchDelivery
from voyage_logger._delivery.flush_interval import FlushInterval
from voyage_logger._delivery.loss_report import LossReport
from voyage_logger._delivery.request_size import BEHIND
from voyage_logger._delivery.server_state import ServerState
from voyage_logger._queue.lanes import LAST, NEVER
from voyage_logger.transports import LEAST_TIME, PERSISTENT, Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.settings import Settings
    from voyage_logger._queue.contract import Queue
    from voyage_logger.transports import BaseTransport

_REFUSED_ALL = Outcome(Kind.TRY_AGAIN, "every entry of a batch was refused")
# The shortest pauses after a failed attempt, in seconds, even if the app often calls `flush`.
_LEAST_PAUSE = 0.5
_LEAST_BLOCKED_PAUSE = 5.0
_THREAD_RETRY_SECONDS = 1.0


class Orders:
    """The orders of other threads to one worker: flush, drain, stop. Thread-safe."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.flush_until = 0  # Entries up to this sequence number are sent at once.
        self.deadline: float | None = None  # The time of the monotonic clock at which sending ends.
        self.stops_when_empty = self.is_stopped = False
        self.is_flush_new = False  # True from a flush until the next attempt begins.

    def flush(self, until: int) -> None:
        """Make the worker send all entries up to the sequence number `until` at once.

        A flush ends a pause between attempts, unless the server asked for the pause.
        """
        with self._queue.lock:
            self.flush_until = max(self.flush_until, until)
            self.is_flush_new = True
            self._queue.changed.notify_all()

    def drain(self, deadline: float) -> None:
        """Until `deadline`, make the worker send each queued or new entry at once."""
        with self._queue.lock:
            self.deadline = deadline
            self.flush(LAST)

    def stop_when_empty(self) -> None:
        """Make the worker end once the queue is empty."""
        with self._queue.lock:
            self.stops_when_empty = True
            self._queue.changed.notify_all()

    def stop(self) -> None:
        """Make the worker end after the present attempt, and wake all waiting threads."""
        with self._queue.lock:
            self.is_stopped = True
            self._queue.changed.notify_all()
            self._queue.settled.notify_all()

    @contextmanager
    def drain_only(self, deadline: float) -> Iterator[None]:
        """Give the order to drain. At the end of the context, restore the earlier orders."""
        with self._queue.lock:
            earlier = self.flush_until, self.deadline, self.stops_when_empty, self.is_stopped
            self.drain(deadline)
            self.stop_when_empty()
        try:
            yield
        finally:
            with self._queue.lock:
                self.flush_until, self.deadline, self.stops_when_empty, self.is_stopped = earlier


class Worker:
    """Delivers the entries of a queue.

    `start` calls `on_start` if the worker is running or starts now. The worker calls `on_end` when
    its loop ends. `on_start` and `on_end` are called under the queue's lock.
    """

    def __init__(
        self,
        queue: Queue,
        transport: BaseTransport,
        settings: Settings,
        diagnostics: Diagnostics,
        write_notice: Callable[[dict[str, Any]], None],
        on_start: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] | None = None,
    ) -> None:
        from random import Random  # noqa: PLC0415 - the package's import must stay fast

        self._queue = queue
        self._batch_size = settings.batch_size
        self._diagnostics = diagnostics
        self._on_start = on_start
        self._on_end = on_end
        self._clock = clock
        # An app may seed `random` in all its processes. Then all processes would wait equally long.
        self._random = random or Random().random  # noqa: S311 - This is jitter, not cryptography.
        self.server = ServerState(transport, diagnostics)
        self.losses = LossReport(queue, self.server, diagnostics, write_notice, clock)
        self._delivery = BatchDelivery(queue, transport, settings, self.server, self.losses, self)
        self._flush_interval = FlushInterval(settings.flush_interval)
        self.orders = Orders(queue)
        # The queue's lock guards the next three attributes.
        self.is_running = False
        self._driver: int | None = None  # The id of the thread that runs the loop.
        self._no_thread_until = 0.0

    def start(self) -> bool:
        """Start the thread unless the worker is running. Return False if no thread can start."""
        with self._queue.lock:
            if not self.is_running and self._clock() < self._no_thread_until:
                return False
            self._on_start()
            if self.is_running:
                return True
            self.is_running = True
        try:
            exit_and_fork.hook_exit()
            if pool_hosts.has_dead_threads():
                self._diagnostics.say("uwsgi", pool_hosts.DEAD_THREADS)
        except BaseException:  # After Ctrl-C, the next log call must be able to start the worker.
            self._end()
            raise
        if self.start_late():
            return True
        self._no_thread_until = self._clock() + _THREAD_RETRY_SECONDS
        self._diagnostics.say("no thread", "no thread to be had: entries wait for flush or exit")
        return False

    def start_late(self) -> bool:
        """Start the thread without calling `on_start`: the logger or the process is ending."""
        self.is_running = True
        try:
            threading.Thread(target=self._live, name="voyage-logger", daemon=True).start()
        except BaseException as error:
            self._end()
            if not isinstance(error, RuntimeError):
                raise
            return False
        return True

    def run_here(self, deadline: float) -> None:
        """Run the loop in the caller's thread until the queue is empty or the deadline is over."""
        with self._queue.lock:
            if self.is_running:
                return
            self.is_running = True
        with self.orders.drain_only(deadline):
            self._run()

    def join(self, deadline: float) -> None:
        """Wait until the loop has ended or the deadline is over."""
        with self._queue.lock:
            while self.is_running and self._driver != threading.get_ident():
                remaining = deadline - self._clock()
                if remaining <= 0:
                    return
                self._queue.settled.wait(remaining)

    def stop_and_drop(self, reason: str, *, at_once: bool) -> None:
        """End the loop, drop all entries, and report all losses in one line."""
        with self._queue.lock:
            self.orders.stop()
            self._queue.drop_all(reason)
            # Claim the losses under the lock, so that no other thread reports these losses.
            error = self.losses.claim_last(at_once=at_once)
        self.losses.report(error)

    @property
    def is_stopped(self) -> bool:
        """True once the worker must stop, by an order or because the time is over."""
        return self.orders.is_stopped

    @property
    def can_settle(self) -> bool:
        """True if the caller can wait for its entries, because another thread runs the loop."""
        is_own = self._driver == threading.get_ident()
        return self.is_running and not self.orders.is_stopped and not is_own

    def _live(self) -> None:
        self._run()
        if self.orders.stops_when_empty:  # No logger uses this queue any more.
            self._queue.release()

    def _end(self) -> None:
        """Record that the worker is not running, and wake the threads that wait for the worker."""
        with self._queue.lock:
            self.is_running = False
            self._on_end()
            self.losses.end()

    def _run(self) -> None:
        with self._queue.lock:
            if self._driver is not None:
                return
            self._driver = threading.get_ident()
            self.is_running = True
        try:
            if self.orders.deadline is None:
                self._delivery.warm_up()
            while self._wait_until_due():
                self._flush_interval.begin(self._clock(), self._random)
                self._delivery.deliver_next(is_behind=self._is_behind())
                self._end_round()
        finally:
            with self._queue.lock:
                self._driver = None
                self._end()

    def _wait_until_due(self) -> bool:
        """Wait until entries are due, and return True. Return False if the loop must end."""
        while True:
            self._queue.maintain()
            with self._queue.lock:
                verdict = self._look()
            if verdict is not None:
                return verdict

    def _look(self) -> bool | None:
        """Return True if entries are due, False if the loop must end, and None after a wait."""
        queue, orders = self._queue, self.orders
        if orders.is_stopped:
            return False
        if (oldest := queue.oldest()) == NEVER:
            return self._rest()
        if queue.is_urgent:
            orders.flush_until = max(orders.flush_until, queue.newest())
            queue.clear_urgent()
        remaining = self._flush_interval.remaining(self._clock(), self._random)
        is_full = len(queue) >= self._batch_size
        if is_full or oldest <= orders.flush_until or remaining <= 0:
            return True
        queue.wait_for_entries(self._batch_size, self._at_most(remaining))
        return None

    def _rest(self) -> bool | None:
        """Wait for an entry, because the queue is empty. Return False if the loop must end."""
        if self.orders.stops_when_empty:
            return False
        self._flush_interval.rest()
        self._queue.wait_for_entries(1, self._queue.maintenance_interval)
        return None

    def _at_most(self, seconds: float) -> float:
        """Return `seconds`, but at most the queue's maintenance interval."""
        interval = self._queue.maintenance_interval
        return seconds if interval is None else min(seconds, interval)

    def _is_behind(self) -> bool:
        """True if the queue fills up, or if the time for sending is limited."""
        return self._queue.fill() > BEHIND or self.orders.deadline is not None

    def _end_round(self) -> None:
        """Report new losses. Pause if the server has refused several whole batches in a row."""
        self.losses.tell_all()
        refused = self._delivery.refused_in_a_row
        if refused > 1 and self.orders.deadline is None:
            self.back_off(_REFUSED_ALL, refused - 1)

    # `BatchDelivery` calls the methods below: they are the protocol `Pacer`.

    def begin_attempt(self) -> float | None:
        """Record that an attempt begins. Return the attempt's time limit in seconds, or None."""
        with self._queue.lock:
            if self.orders.is_flush_new:
                self._follow_flush()
            if self.orders.deadline is None:
                return None
            return max(LEAST_TIME, self.orders.deadline - self._clock())

    def _follow_flush(self) -> None:
        """Mark the latest order to flush as done, and make the next pauses short again."""
        self.orders.is_flush_new = False
        self._delivery.shorten_pauses()

    def back_off(self, outcome: Outcome, attempt: float) -> None:
        """Wait before the next attempt. A flush or the end of the process shortens the wait."""
        if outcome.kind is Kind.BLOCKED and self.orders.deadline is not None:
            self.orders.stop()  # a later attempt would fail, too
        now = self._clock()
        least = _LEAST_BLOCKED_PAUSE if outcome.kind in PERSISTENT else _LEAST_PAUSE
        pause = backoff.pause(outcome, attempt, self._random)
        self._wait(now, now + pause, now + (outcome.retry_after or 0.0), now + least)
        self.losses.tell()

    def _wait(self, now: float, end: float, wanted: float, least: float) -> None:
        """Wait until `end`. A flush shortens the wait, but not below `wanted` and `least`.

        The server asked for a pause until `wanted`. The shortest pause ends at `least`, so that
        many flushes do not cause many requests.
        """
        queue, orders = self._queue, self.orders
        while not orders.is_stopped and now < end:
            with queue.lock:
                deadline = orders.deadline
                if deadline is not None and (queue.is_durable or max(wanted, now) >= deadline):
                    orders.stop()  # Entries on the disk can wait for the next process.
                elif orders.is_flush_new:
                    end = min(end, wanted if deadline is not None else max(wanted, least))
                    self._follow_flush()
                else:
                    queue.changed.wait(self._at_most(min(end, deadline or end) - now))
                now = self._clock()
            queue.maintain()
