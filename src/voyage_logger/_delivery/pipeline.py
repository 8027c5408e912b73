"""A pipeline: the queue, the worker and the transport that a logger and its bound loggers share.

What must stay true: for each entry, a log call calls only `submit`, which usually makes one
comparison and one append. `_submit_with_checks` handles the rare cases: the first entry of a
process, a fork in which Python's fork hooks did not run, a closed logger, and exit.
"""

from __future__ import annotations

import sys
import threading
from os import getpid
from typing import TYPE_CHECKING, Any

from voyage_logger._base.clock import monotonic
from voyage_logger._base.levels import NOTICE_LANE
from voyage_logger._base.stats import CLOSED, SHUTDOWN, FlushResult, Stats
from voyage_logger._delivery import exit_and_fork
from voyage_logger._delivery.worker import Worker
from voyage_logger._queue import queue_for
from voyage_logger._queue.lanes import LAST, NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.settings import Settings
    from voyage_logger.transports import BaseTransport

FLUSH_TIMEOUT = 30.0
# At exit, a process with a spool waits only this many seconds for a server that might be down.
_DURABLE_PATIENCE = 1.0


class Pipeline:
    """Accepts encoded entries and delivers them.

    After a call of `close`, `is_closed` is True, and the pipeline drops all new entries.
    Thread-safe. Signal handlers and `__del__` methods can call any method at any time.

    Args:
        make_notice: A function that encodes a log entry about lost entries.
        on_fork: A forked child calls this function first. The function must not acquire a lock.
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
        exit_and_fork.watch(self)

    def start_empty(self) -> None:
        """In a forked child, start with an empty queue, because the parent sends its entries."""
        self._on_fork()
        self._transport.reset()
        self.queue.release_in_child()
        self._make_empty()

    def _make_empty(self) -> None:
        settings, transport, diagnostics = self._settings, self._transport, self._diagnostics
        self._pid = getpid()
        # The process id while the worker runs. If it is None, log calls use `_submit_with_checks`.
        self._served_pid: int | None = None
        self._is_draining = False  # True while the exit hook sends the last entries.
        self.queue = queue = queue_for(settings, transport.destination, diagnostics)
        self._reported = queue.stats()  # The counts at the end of the last `flush` or `close`.
        self._worker = Worker(
            queue,
            transport,
            settings,
            diagnostics,
            write_notice=self._write_notice,
            on_start=self._rely_on_worker,
            on_end=self._rely_on_nothing,
        )

    def submit(self, payload: bytes | bytearray, lane: int) -> int | None:
        """Queue an entry, and return its sequence number. Return None if the entry was dropped.

        This method never raises an exception, and waits for the network only during exit.
        """
        if self._served_pid == getpid():
            return self.queue.append(payload, lane)
        return self._submit_with_checks(payload, lane)

    def drop_new(self, lane: int, reason: str) -> None:
        """Count an entry as accepted and dropped, because the client failed to create the entry."""
        self.notice_fork()
        self.queue.drop_new(lane, reason)

    def stats(self) -> Stats:
        """Return the current counts."""
        self.notice_fork()
        return self._worker.server.add_to(self.queue.stats())

    def flush(self, timeout: float) -> FlushResult:
        """Send all entries that were accepted before this call. Wait at most `timeout` seconds."""
        started = monotonic()
        target = self.begin_flush()
        before = self._reported
        self._await(target, started + timeout)
        return self._result(before, target, started)

    def close(self, timeout: float | None) -> FlushResult:
        """Send queued entries; drop new entries. If `timeout` is None, wait as long as at exit."""
        self.notice_fork()
        started = monotonic()
        before = self._reported
        self.is_closed = True
        self._served_pid = None
        limit = self._settings.shutdown_timeout if timeout is None else timeout
        self.queue.is_ending = True
        self._worker.orders.drain(started + limit)
        self._await_end(started + limit, _DURABLE_PATIENCE if timeout is None else timeout)
        self._worker.orders.stop()
        self.queue.close(CLOSED)
        self._worker.losses.tell_last(at_once=True)
        self._worker.losses.wait_for_others(started + limit)
        self._transport.close()
        return self._result(before, self.queue.newest(), started)

    def stop_when_empty(self) -> None:
        """Stop the worker when the queue is empty: no logger uses this pipeline any more."""
        self._worker.orders.stop_when_empty()
        if self.queue.oldest() != NEVER and not self._worker.start():
            exit_and_fork.hold(self)
        if not self._worker.is_running:
            self.queue.release()

    @property
    def is_working(self) -> bool:
        """True while the worker runs."""
        return self._worker.is_running

    def stop_worker(self, deadline: float) -> None:
        """Stop the worker, and wait until its request or disk write ends, or until `deadline`."""
        self._worker.orders.stop()
        self._worker.join(deadline)

    def begin_flush(self) -> int:
        """Make the worker send all entries now. Return the sequence number of the newest entry."""
        self.notice_fork()
        self._worker.orders.flush(target := self.queue.newest())
        return target

    def end_flush(self, target: int, began_at: float) -> None:
        """Wait until all entries up to `target` are settled, but at most `shutdown_timeout`."""
        self._await(target, began_at + self._settings.shutdown_timeout)

    def begin_exit(self) -> None:
        """Make the worker send all entries within `shutdown_timeout` after the exit began."""
        self.notice_fork()
        self._served_pid = None
        self._is_draining = True
        self.queue.is_ending = True
        self._worker.orders.drain(self._exit_deadline())

    def end_exit(self, *, at_once: bool) -> None:
        """Wait for pending entries until the deadline. Drop the rest. Report all losses."""
        is_done = False
        try:
            is_done = self._await_end(self._exit_deadline(), _DURABLE_PATIENCE)
        finally:  # Count and report all losses even if Ctrl-C has ended the wait.
            if is_done:
                self._is_draining = False
                self._worker.losses.tell(at_once=at_once)
            else:
                self._worker.stop_and_drop(SHUTDOWN, at_once=at_once)
                self._is_draining = False
                self.queue.drop_all(SHUTDOWN)  # Daemon threads might have added more entries.
            self._worker.losses.wait_for_others(self._exit_deadline())
            self.queue.release()

    def tell_rest(self) -> None:
        """Report the losses that were not reported before."""
        self._worker.losses.tell_last(at_once=True)
        self._worker.losses.wait_for_others(self._exit_deadline())

    def _exit_deadline(self) -> float:
        return exit_and_fork.exit_began_at() + self._settings.shutdown_timeout

    def _submit_with_checks(self, payload: bytes | bytearray, lane: int) -> int | None:
        # When the interpreter is finalizing, no other thread runs, and losses cannot be reported.
        if sys.is_finalizing():  # pragma: no cover - Coverage cannot measure this code.
            self.queue.try_drop_new(lane, SHUTDOWN)
            return None
        self.notice_fork()
        is_exiting = exit_and_fork.is_exiting()
        if self.is_closed:
            self.queue.drop_new(lane, CLOSED)
            self._worker.losses.tell(at_once=is_exiting and self._is_told_now())
            return None
        if is_exiting:  # Set a new deadline, because the earlier deadline might have passed.
            self._worker.orders.drain(self._exit_deadline())
        sequence = self.queue.append(payload, lane)
        if not is_exiting:
            self._worker.start()
        elif threading.current_thread() is threading.main_thread():
            exit_and_fork.drain([self], at_once=self._is_told_now())
        else:
            self._wait_in_daemon_thread()
        return sequence

    def _is_told_now(self) -> bool:
        """True if losses must be reported now, because no later exit hook reports these losses."""
        return self._diagnostics.is_inside_on_error or not exit_and_fork.is_told_later(self)

    def _wait_in_daemon_thread(self) -> None:
        """During exit, wait until the entry that this daemon thread has logged is settled.

        The entry is dropped if it is still pending at the deadline. If the main thread is draining,
        the main thread drops and reports the entry. Otherwise, this thread drops the entry. This
        thread reports losses at most once a minute, so that daemon threads do not fill stderr. The
        last exit hook reports the remaining losses.
        """
        if self._await(self.queue.newest(), self._exit_deadline()):
            return
        if not self._is_draining:
            self.queue.drop_all(SHUTDOWN)
            self._worker.losses.tell_last()

    def _await(self, target: int, deadline: float) -> bool:
        """Wait until entries up to `target` are settled. Return False if entries stay pending."""
        queue, worker = self.queue, self._worker
        is_ending = self.is_closed or exit_and_fork.is_exiting()
        # Only a running worker finds the files of dead processes in a spool.
        is_wanted = queue.is_pending(target) or (queue.is_durable and not is_ending)
        is_idle = is_wanted and not worker.is_running and monotonic() < deadline
        start = worker.start_thread if is_ending else worker.start
        # Use a new thread if possible: a DNS lookup in this thread could last beyond the deadline.
        if is_idle and not start():
            worker.run_here(deadline)
        with queue.lock:
            while (is_pending := queue.is_pending(target)) or worker.losses.is_due:
                remaining = deadline - monotonic()
                if remaining <= 0 or not worker.can_settle:
                    break
                queue.settled.wait(remaining)
        return not is_pending

    def _await_end(self, deadline: float, patience: float) -> bool:
        """Wait until no entry is pending, but at most until `deadline`.

        If the queue is durable and the server does not work, wait at most `patience` seconds.
        """
        if not self.queue.is_durable:
            return self._await(LAST, deadline)
        worker, server = self._worker, self._worker.server
        while True:
            settled = server.batches
            end = min(deadline, monotonic() + patience)
            is_done = self._await(LAST, end)
            is_over = not worker.can_settle or monotonic() >= deadline
            is_busy = server.is_well and self.queue.oldest() != NEVER
            if is_done or is_over or (settled == server.batches and not is_busy):
                break
        if self.queue.oldest() == 0:  # Adopted entries must not delay the end of this process.
            # Without this wait for an answer, the batch of the present request would be sent again.
            self.stop_worker(deadline if server.is_well else end)
        return is_done

    def notice_fork(self) -> None:
        """In a forked child in which Python's fork hooks did not run, do the work of the hooks."""
        if self._pid != getpid():
            self.start_empty()

    def _write_notice(self, fields: dict[str, Any]) -> None:
        self.queue.append(self._make_notice(fields), NOTICE_LANE)

    def _rely_on_worker(self) -> None:
        self._served_pid = self._pid

    def _rely_on_nothing(self) -> None:
        self._served_pid = None

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
