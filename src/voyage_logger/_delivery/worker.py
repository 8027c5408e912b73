"""The worker: a daemon thread that takes a batch, sends it, and waits until the next batch is due.

What must stay true: only the worker decides when entries are sent. Only an order, such as `stop`,
ends the worker's loop. If a transport or a function of the app raises an exception, the loop
continues. The worker always waits on a condition variable of the queue, so that flush, close and
exit can end the wait. The queue's lock guards all orders, and each new order wakes the worker.

Sometimes the system cannot start a thread: during exit on Python 3.12.0 to 3.12.2, or if there are
too many threads. If no thread can be started, `run_here` runs the loop in the caller's thread.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from voyage_logger._base.fork_locks import loading
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
    """The orders that other threads give to one worker: flush, drain, stop. Thread-safe."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.flush_until = 0  # Entries up to this sequence number are sent immediately.
        self.deadline: float | None = None  # The monotonic time at which sending must end.
        self.stops_when_empty = self.is_stopped = False
        self.is_flush_new = False  # True from a flush until the worker reacts to the flush.

    def flush(self, until: int) -> None:
        """Make the worker immediately send all entries with a sequence number up to `until`.

        A flush ends the pause between two attempts, unless the server has asked for this pause.
        """
        with self._queue.lock:
            self.flush_until = max(self.flush_until, until)
            self.is_flush_new = True
            self._queue.changed.notify_all()

    def drain(self, deadline: float) -> None:
        """Until `deadline`, make the worker send all queued and all new entries immediately."""
        with self._queue.lock:
            self.deadline = deadline
            self.flush(LAST)

    def stop_when_empty(self) -> None:
        """Make the worker stop when the queue is empty."""
        with self._queue.lock:
            self.stops_when_empty = True
            self._queue.changed.notify_all()

    def stop(self) -> None:
        """Make the worker stop after its present attempt, and wake all waiting threads."""
        with self._queue.lock:
            self.is_stopped = True
            self._queue.changed.notify_all()
            self._queue.settled.notify_all()

    @contextmanager
    def drain_only(self, deadline: float) -> Iterator[None]:
        """Inside the context, drain the queue. After the context, restore the earlier orders."""
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

    `start` calls `on_start`, even if the worker already runs. When the worker's loop ends, the
    worker calls `on_end`. The queue's lock is held while `on_start` or `on_end` runs.
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
        with loading:
            from random import Random  # noqa: PLC0415 - the package's import must stay fast

        self._queue = queue
        self._batch_size = settings.batch_size
        self._diagnostics = diagnostics
        self._on_start = on_start
        self._on_end = on_end
        self._clock = clock
        # An app can seed `random` with the same number in each process, so use a separate `Random`.
        self._random = random or Random().random  # noqa: S311 - The numbers need not be secret.
        self.server = ServerState(transport, diagnostics)
        self.losses = LossReport(queue, self.server, diagnostics, write_notice, clock)
        self._delivery = BatchDelivery(queue, transport, settings, self.server, self.losses, self)
        self._flush_interval = FlushInterval(settings.flush_interval)
        self.orders = Orders(queue)
        # Hold the queue's lock to change the next three attributes. No lock is needed to read
        # these attributes: an old value only causes one more attempt to start a thread.
        self.is_running = False
        self._driver: int | None = None  # The id of the thread that runs the loop.
        self._no_thread_until = 0.0

    def start(self) -> bool:
        """Start the thread if the worker is not running. Return False if the start failed."""
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
        except BaseException:  # After Ctrl-C, let the next log call try to start the worker again.
            self._end()
            raise
        if self.start_thread():
            return True
        with self._queue.lock:
            self._no_thread_until = self._clock() + _THREAD_RETRY_SECONDS
        self._diagnostics.say("no thread", "no thread to be had: entries wait for flush or exit")
        return False

    def start_thread(self) -> bool:
        """Start the thread, without the steps of `start`. Return False if no thread can start."""
        with self._queue.lock:
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
        """Run the loop in the caller's thread until the queue is empty or the deadline passes."""
        with self._queue.lock:
            if self.is_running:
                return
            self.is_running = True
        with self.orders.drain_only(deadline):
            self._run()

    def join(self, deadline: float) -> None:
        """Wait until the loop ends or the deadline passes."""
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
            # Claim the losses while the lock is held, so that no other thread reports the losses.
            error = self.losses.claim_last(at_once=at_once)
        self.losses.report(error)

    @property
    def is_stopped(self) -> bool:
        """True if the worker must stop, because of an order or because the deadline has passed."""
        return self.orders.is_stopped

    @property
    def can_settle(self) -> bool:
        """True if the caller can wait until entries are settled: another thread runs the loop."""
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
        """Wait until entries are due, and return True. If the loop must end, return False."""
        while True:
            self._queue.maintain()
            with self._queue.lock:
                verdict = self._look()
            if verdict is not None:
                return verdict

    def _look(self) -> bool | None:
        """Return True if entries are due, False if the loop must end, or None after waiting."""
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
        """The queue is empty: wait for an entry. If the loop must end, return False instead."""
        if self.orders.stops_when_empty:
            return False
        self._flush_interval.rest()
        self._queue.wait_for_entries(1, self._queue.maintenance_interval)
        return None

    def _at_most(self, seconds: float) -> float:
        interval = self._queue.maintenance_interval
        return seconds if interval is None else min(seconds, interval)

    def _is_behind(self) -> bool:
        return self._queue.fill() > BEHIND or self.orders.deadline is not None

    def _end_round(self) -> None:
        """Report new losses. Pause if the server refused all entries of several recent batches."""
        self.losses.tell_all()
        refused = self._delivery.refused_in_a_row
        if refused > 1 and self.orders.deadline is None:
            self.back_off(_REFUSED_ALL, refused - 1)

    # `BatchDelivery` calls the methods below, which implement the protocol `Pacer`.

    def begin_attempt(self) -> float | None:
        """Begin an attempt. Return the attempt's time limit in seconds, or None for no limit."""
        with self._queue.lock:
            if self.orders.is_flush_new:
                self._follow_flush()
            if self.orders.deadline is None:
                return None
            return max(LEAST_TIME, self.orders.deadline - self._clock())

    def _follow_flush(self) -> None:
        self.orders.is_flush_new = False
        self._delivery.shorten_pauses()

    def back_off(self, outcome: Outcome, attempt: float) -> None:
        """Wait before the next attempt. A flush or the end of the process shortens this pause."""
        if outcome.kind is Kind.BLOCKED and self.orders.deadline is not None:
            self.orders.stop()  # Another attempt before the deadline would fail, too.
        now = self._clock()
        least = _LEAST_BLOCKED_PAUSE if outcome.kind in PERSISTENT else _LEAST_PAUSE
        pause = backoff.pause(outcome, attempt, self._random)
        self._wait(now, now + pause, now + (outcome.retry_after or 0.0), now + least)
        self.losses.tell()

    def _wait(self, now: float, end: float, wanted: float, least: float) -> None:
        """Wait until `end`. A flush ends the wait earlier: at the later of `wanted` and `least`.

        `wanted` is the end of the pause that the server asked for. `least` is the end of the
        shortest pause that is allowed: without `least`, many flushes would cause many requests.
        """
        queue, orders = self._queue, self.orders
        while not orders.is_stopped and now < end:
            with queue.lock:
                deadline = orders.deadline
                if deadline is not None and (queue.is_durable or max(wanted, now) >= deadline):
                    orders.stop()  # If entries are on the disk, the next process can send them.
                elif orders.is_flush_new:
                    end = min(end, wanted if deadline is not None else max(wanted, least))
                    self._follow_flush()
                else:
                    queue.changed.wait(self._at_most(min(end, deadline or end) - now))
                now = self._clock()
            queue.maintain()
