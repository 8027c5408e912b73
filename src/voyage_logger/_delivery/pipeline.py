"""A pipeline: the queue, the worker and the transport of a logger and of all bound from it.

What must stay true: `submit` is all that a log call does here, and costs one comparison and one
append; everything rare (the first entry of a process, a fork that skipped the hooks, a closed
logger, the end of the process) leaves by one other door.
"""

from __future__ import annotations

import sys
import threading
from os import getpid
from typing import TYPE_CHECKING, Any

from voyage_logger._base.clock import monotonic
from voyage_logger._base.frozen import replace
from voyage_logger._base.levels import NOTICE_LANE
from voyage_logger._base.stats import FlushResult, Stats
from voyage_logger._delivery import pool_hosts, process
from voyage_logger._delivery.worker import Worker
from voyage_logger._queue import queue_for
from voyage_logger._queue.lanes import LAST, NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.settings import Settings
    from voyage_logger.transports import BaseTransport

FLUSH_TIMEOUT = 30.0
_THREAD_RETRY_SECONDS = 1.0
# Seconds without a confirmed batch, at the end of a process, from a server not known to work.
_DURABLE_PATIENCE = 1.0


class Pipeline:
    """Takes encoded entries in and gets them delivered.

    Args:
        settings: The logger's settings.
        transport: How entries leave.
        diagnostics: Where trouble is reported.
        make_notice: Makes the bytes of an entry about losses from its fields.
        on_fork: Called in a forked child, before anything else is made anew; takes no lock.

    Attributes:
        is_closed: True once nothing more is taken in.

    Thread-safe, and safe to re-enter from signal handlers and `__del__`.
    """

    def __init__(
        self,
        settings: Settings,
        transport: BaseTransport,
        diagnostics: Diagnostics,
        *,
        make_notice: Callable[[dict[str, Any]], bytes],
        on_fork: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._diagnostics = diagnostics
        self._make_notice = make_notice
        self._on_fork = on_fork
        self.is_closed = False
        self._make_empty()
        process.watch(self)

    def start_empty(self) -> None:
        """Makes a forked child's pipeline its own: the entries of the parent are the parent's."""
        self._on_fork()
        self._transport.reset()
        self.queue.release_in_child()
        self._make_empty()

    def _make_empty(self) -> None:
        settings = self._settings
        self._pid = getpid()
        # The process whose worker is known to run; None sends log calls through the other door.
        self._home: int | None = None
        self._no_thread_until = 0.0
        self._is_starting = False
        self._is_draining = False  # between begin_exit and end_exit, in the main thread
        self.queue = queue_for(settings, self._transport.destination, self._diagnostics)
        self._reported = self.queue.stats()  # what flush() has accounted for
        self._worker = Worker(
            self.queue,
            self._transport,
            settings,
            self._diagnostics,
            write_notice=self._write_notice,
            on_end=self._leave_home,
        )

    def submit(self, payload: bytes | bytearray, lane: int) -> int | None:
        """Takes in an encoded entry. Never raises, never waits for the network (but at exit).

        Returns:
            The entry's sequence number in the queue, or None if it has not been taken in.
        """
        if self._home == getpid():
            return self.queue.append(payload, lane)
        return self._submit_elsewhere(payload, lane)

    def drop_new(self, lane: int, reason: str) -> None:
        """Accounts for an entry that could not be made."""
        self.notice_fork()
        self.queue.drop_new(lane, reason)

    def stats(self) -> Stats:
        """The counts at this moment."""
        self.notice_fork()
        delivery = self._worker.delivery
        return replace(
            self.queue.stats(),
            requests=delivery.requests,
            batches=delivery.batches,
            retries=delivery.retries,
            sign_ins=self._transport.sign_ins,
            last_delivery=delivery.last_delivery,
            last_problem=delivery.last_problem,
        )

    def flush(self, timeout: float) -> FlushResult:
        """Has all sent that was submitted before the call, and waits `timeout` seconds at most."""
        started = monotonic()
        target = self.begin_flush()
        before = self._reported
        self._await(target, started + timeout)
        return self._result(before, target, started)

    def close(self, timeout: float | None) -> FlushResult:
        """Sends what is queued and takes in nothing more.

        Args:
            timeout: The most seconds to wait; None: as long as the exit of a process would.
        """
        self.notice_fork()
        started = monotonic()
        before = self._reported
        self.is_closed = True
        self._home = None
        limit = self._settings.shutdown_timeout if timeout is None else timeout
        patience = _DURABLE_PATIENCE if timeout is None else timeout
        self.queue.is_ending = True
        self._worker.drain(started + limit)
        self._await_end(started + limit, patience)
        self._worker.stop()
        self.queue.close("closed")
        self._worker.tell_last_losses(at_once=True)
        self._transport.close()
        return self._result(before, self.queue.newest(), started)

    def stop_when_empty(self) -> None:
        """Lets the worker end once it has nothing left: the last logger that used it is gone."""
        self._worker.stop_when_empty()
        if self.queue.oldest() != NEVER and not self._start_worker():
            process.hold(self)
        if not self._worker.is_running:
            self.queue.release()

    @property
    def is_working(self) -> bool:
        """True while the worker runs."""
        return self._worker.is_running

    def stop_worker(self, deadline: float) -> None:
        """Stop the worker, and wait until `deadline` for a request or a write in progress."""
        self._worker.stop()
        self._worker.join(deadline)

    def begin_flush(self) -> int:
        """Has everything sent, without waiting; gives the newest entry that this is about."""
        self.notice_fork()
        self._worker.nudge(target := self.queue.newest())
        return target

    def end_flush(self, target: int, began_at: float) -> None:
        """Waits until all entries up to `target` are settled, `shutdown_timeout` at most."""
        self._await(target, began_at + self._settings.shutdown_timeout)

    def begin_exit(self) -> None:
        """Has everything sent within `shutdown_timeout` from the exit's begin, without waiting."""
        self.notice_fork()
        self._home = None  # entries that come during exit leave by the other door
        self._is_draining = True
        self.queue.is_ending = True
        self._worker.drain(self._exit_deadline())

    def end_exit(self, *, at_once: bool) -> None:
        """Waits until nothing is left, notices of loss included, and gives up what then is."""
        is_done = False
        try:
            is_done = self._await_end(self._exit_deadline(), _DURABLE_PATIENCE)
        finally:  # Ctrl-C ends the waiting, not the accounting
            if is_done:
                self._is_draining = False
                self._worker.tell_losses(at_once=at_once)
            else:
                self._worker.stop_and_drop("shutdown", at_once=at_once)
                self._is_draining = False
                self.queue.drop_all("shutdown")  # what daemon threads have left to this one since
            self.queue.release()

    def tell_rest(self) -> None:
        """Tells of losses that were left for later."""
        self._worker.tell_last_losses(at_once=True)

    def _exit_deadline(self) -> float:
        return process.exit_began_at() + self._settings.shutdown_timeout

    def _submit_elsewhere(self, payload: bytes | bytearray, lane: int) -> int | None:
        if sys.is_finalizing():  # threads are frozen, and nobody can be told
            self.queue.try_drop_new(lane, "shutdown")
            return None
        self.notice_fork()
        is_exiting = process.is_exiting()
        if self.is_closed:
            self.queue.drop_new(lane, "closed")
            self._worker.tell_losses(at_once=is_exiting and self._is_told_now())
            return None
        if is_exiting:  # first: what an earlier drain has left of time is not this entry's
            self._worker.drain(self._exit_deadline())
        sequence = self.queue.append(payload, lane)
        if not is_exiting:
            self._start_worker()
        elif threading.current_thread() is threading.main_thread():
            process.drain([self], at_once=self._is_told_now())
        else:
            self._outlast_exit()
        return sequence

    def _is_told_now(self) -> bool:
        """False if a later hook can tell of a loss; `on_error` would hear of its own from that."""
        return self._diagnostics.is_inside_on_error or not process.is_told_later(self)

    def _outlast_exit(self) -> None:
        """Has an entry sent that a daemon thread logs during exit, before its call returns.

        What cannot be sent is given up and told by the main thread, in one line for all, and what
        comes after that by the last exit hook: a thread that goes on is not to fill stderr.
        """
        if self._await(self.queue.newest(), self._exit_deadline()):
            return
        if not self._is_draining:
            self.queue.drop_all("shutdown")
            self._worker.tell_last_losses()

    def notice_fork(self) -> None:
        """For servers that fork without running Python's hooks."""
        if self._pid != getpid():
            self.start_empty()

    def _start_worker(self) -> bool:
        """Starts the worker's thread; False if there is none to be had."""
        with self.queue.lock:
            if self._worker.is_running:
                self._home = self._pid
                return True
            if self._is_starting:
                return True
            if monotonic() < self._no_thread_until:
                return False
            self._is_starting = True
        self._home = self._pid  # before the start: the worker may end, and leave home, at once
        try:
            process.hook_exit()
            if pool_hosts.has_dead_threads():
                self._diagnostics.say("uwsgi", pool_hosts.DEAD_THREADS)
            self._worker.start()
        except BaseException as error:
            self._home = None
            if not isinstance(error, RuntimeError):
                raise
            self._no_thread_until = monotonic() + _THREAD_RETRY_SECONDS
            self._diagnostics.say(
                "no thread", "no thread to be had: entries wait for flush or exit"
            )
            return False
        finally:
            self._is_starting = False
        return True

    def _start_late(self) -> bool:
        """Starts the worker for somebody who waits for it; False if there is none to be had.

        A thread rather than the caller's own, wherever there is one: a wait for it has an end,
        and a name server that does not answer has none.
        """
        if not self.is_closed and not process.is_exiting():
            return self._start_worker()
        try:
            self._worker.start()  # and log calls go on leaving by the other door
        except RuntimeError:  # at exit on Python 3.12.0 to 3.12.2
            return False
        return True

    def _leave_home(self) -> None:
        self._home = None

    def _await(self, target: int, deadline: float) -> bool:
        """Waits until all entries up to `target` are settled; False if the deadline came first."""
        queue, worker = self.queue, self._worker
        is_ending = self.is_closed or process.is_exiting()
        # A spool may hold what dead processes have left, which only a worker will find.
        is_wanted = queue.is_pending(target) or (queue.is_durable and not is_ending)
        is_idle = is_wanted and not worker.is_running
        if is_idle and monotonic() < deadline and not self._start_late():
            worker.run_here(deadline)
        with queue.lock:
            while (is_pending := queue.is_pending(target)) or worker.delivery.has_news:
                remaining = deadline - monotonic()
                if remaining <= 0 or not worker.can_settle:
                    break
                queue.settled.wait(remaining)
        return not is_pending

    def _await_end(self, deadline: float, patience: float) -> bool:
        """Waits until nothing is left; where that would be kept, only while there is hope.

        Args:
            deadline: When to give up in any case.
            patience: For how many seconds a server is waited for that is not known to work.
        """
        if not self.queue.is_durable:
            return self._await(LAST, deadline)
        queue, delivery = self.queue, self._worker.delivery
        while True:
            settled = delivery.batches
            end = min(deadline, monotonic() + patience)
            is_done = self._await(LAST, end)
            is_over = not self._worker.can_settle or monotonic() >= deadline
            # Where the server works, the worker is sending whatever there is.
            is_busy = delivery.is_well and queue.oldest() != NEVER
            if is_done or is_over or (settled == delivery.batches and not is_busy):
                break
        if queue.oldest() == 0:  # what dead processes have left must not hold this one up
            self._worker.stop()
            # But for an answer to what is under way: without it, the batch would come twice.
            self._worker.join(deadline if delivery.is_well else end)
        return is_done

    def _result(self, before: Stats, target: int, started: float) -> FlushResult:
        pending = self.queue.pending_until(target)
        now = self._reported = self.queue.stats()
        return FlushResult(
            delivered=now.delivered - before.delivered,
            rejected=now.rejected - before.rejected,
            dropped=now.dropped - before.dropped,
            pending=pending,
            elapsed=monotonic() - started,
        )

    def _write_notice(self, fields: dict[str, Any]) -> None:
        """Puts an entry about losses into the queue."""
        self.queue.append(self._make_notice(fields), NOTICE_LANE)
