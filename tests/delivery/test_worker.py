"""Tests of the worker's loop: orders that end the loop, and threads that wait for the loop."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import Recorder, until
from voyage_logger import EntriesLost, Kind, Outcome
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import INFO
from voyage_logger._delivery.worker import Worker
from voyage_logger._queue.memory import MemoryQueue
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger import BaseTransport, VoyageError

    MakeWorker = Callable[..., Worker]

LIMIT = 30.0  # seconds; a thread that runs longer counts as hanging
ROOMY = 1 << 30


class Passing(Recorder):
    """A transport whose server is busy only at the first request."""

    attempts = 0

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        self.attempts += 1
        if self.attempts == 1:
            return Outcome(Kind.TRY_AGAIN, "HTTP 503")
        return super().send(entries, time_limit=time_limit)


class Stuck(Recorder):
    """A transport whose server does not answer until `may_answer` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_answer = threading.Event(), threading.Event()

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        self.is_asked.set()
        self.may_answer.wait(2 * LIMIT)
        return super().send(entries, time_limit=time_limit)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue(1000, ROOMY)


@pytest.fixture
def errors() -> list[VoyageError]:
    """Return the list of errors that were passed to `on_error`."""
    return []


@pytest.fixture
def make_worker(make_logger: MakeLogger, errors: list[VoyageError]) -> MakeWorker:
    def make(
        queue: MemoryQueue, transport: BaseTransport, clock: Callable[[], float] = time.monotonic
    ) -> Worker:
        return Worker(
            queue,
            transport,
            make_logger(transport=Recorder())._settings,
            Diagnostics(errors.append),
            write_notice=lambda _fields: None,
            clock=clock,
            random=lambda: 0.1,
        )

    return make


class TestEntryAtADeadline:
    """The worker has a deadline, and the server is busy at the first request."""

    def test_is_not_sent_again_if_it_is_on_the_disk(
        self, make_worker: MakeWorker, tmp_path: Path
    ) -> None:
        """At the end of a process, an entry on the disk is sent once, even if the attempt fails."""
        settings = SpoolSettings(tmp_path / "spool", ROOMY, None, "nowhere")
        queue = SpoolQueue(1000, ROOMY, settings, Diagnostics())
        queue.append(b'{"m":"x"}', INFO)
        transport = Passing()
        make_worker(queue, transport).run_here(time.monotonic() + LIMIT)

        assert transport.attempts == 1
        assert (queue.stats().pending, queue.stats().dropped) == (1, 0)
        queue.close("closed")

    def test_is_sent_again_if_it_is_in_memory(
        self, make_worker: MakeWorker, queue: MemoryQueue
    ) -> None:
        """Until the deadline, an entry in memory is sent again after a failed attempt."""
        queue.append(b'{"m":"x"}', INFO)
        transport = Passing()
        make_worker(queue, transport).run_here(time.monotonic() + LIMIT)

        assert transport.attempts == 2
        assert queue.stats().delivered == 1


def test_run_in_the_caller_s_thread_does_not_end_a_later_worker(
    make_worker: MakeWorker, queue: MemoryQueue
) -> None:
    """The deadline of `run_here` does not apply to a worker that is started later."""
    worker = make_worker(queue, Recorder())
    worker.run_here(time.monotonic() + LIMIT)
    worker.start()
    until(lambda: len(queue.changed._waiters) == 1)  # type: ignore[attr-defined]
    orders = worker.orders.deadline, worker.orders.stops_when_empty, worker.orders.is_stopped
    worker.orders.stop()
    worker.join(time.monotonic() + LIMIT)

    assert orders == (None, False, False)


class TestSecondLoop:
    """While the loop of a worker runs, a second loop of the same worker ends immediately."""

    @pytest.fixture
    def transport(self) -> Stuck:
        return Stuck()

    @pytest.fixture
    def busy(
        self, make_worker: MakeWorker, queue: MemoryQueue, transport: Stuck
    ) -> Iterator[Worker]:
        """Yield a worker that is waiting for the answer to a request."""
        worker = make_worker(queue, transport)
        queue.append(b'{"m":"x"}', INFO)
        worker.orders.drain(time.monotonic() + 2 * LIMIT)  # the deadline of the first request
        worker.start()
        assert transport.is_asked.wait(LIMIT)
        yield worker
        worker.orders.stop()  # ends the thread even if the test fails
        transport.may_answer.set()
        worker.join(time.monotonic() + LIMIT)

    def end(self, worker: Worker, transport: Stuck) -> None:
        """Answer the request, and wait until the worker has ended."""
        worker.orders.stop_when_empty()
        transport.may_answer.set()
        worker.join(time.monotonic() + LIMIT)
        assert not worker.is_running

    def test_in_the_caller_s_thread_sends_nothing_twice(
        self, busy: Worker, queue: MemoryQueue, transport: Stuck
    ) -> None:
        """If a loop is running, `run_here` returns immediately and does not change the orders."""
        busy.run_here(0.0)

        assert busy.is_running
        assert not busy.orders.is_flush_new
        self.end(busy, transport)
        assert [entry["m"] for entry in transport.entries] == ["x"]
        assert queue.stats().delivered == 1

    def test_in_a_second_thread_sends_nothing_twice(
        self, busy: Worker, queue: MemoryQueue, transport: Stuck
    ) -> None:
        """If two threads start the same worker, only one of them sends entries."""
        before = set(threading.enumerate())
        assert busy.start_thread()
        for second in set(threading.enumerate()) - before:
            second.join(LIMIT)
            assert not second.is_alive()

        assert busy.is_running
        self.end(busy, transport)
        assert [entry["m"] for entry in transport.entries] == ["x"]
        assert queue.stats().delivered == 1


class TestStop:
    def test_ends_a_loop_that_has_nothing_to_do(
        self, make_worker: MakeWorker, queue: MemoryQueue
    ) -> None:
        """If a worker waits for entries without a time limit, `stop` ends its thread."""
        worker = make_worker(queue, Recorder())
        worker.start()
        until(lambda: len(queue.changed._waiters) == 1)  # type: ignore[attr-defined]
        worker.orders.stop()
        worker.join(time.monotonic() + LIMIT)
        is_over = not worker.is_running
        worker.orders.flush(0)

        assert is_over

    def test_wakes_all_threads_that_wait_for_settled_entries(
        self, make_worker: MakeWorker, queue: MemoryQueue
    ) -> None:
        """`stop` wakes all threads that wait for settled entries."""
        worker = make_worker(queue, Recorder())
        woken: list[bool] = []

        def wait() -> None:
            with queue.lock:
                woken.append(queue.settled.wait(LIMIT))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: len(queue.settled._waiters) == 3)  # type: ignore[attr-defined]
        worker.orders.stop()
        for thread in threads:
            thread.join(2 * LIMIT)

        assert woken == [True] * 3

    def test_ends_a_flush_that_waits_for_a_stuck_server(
        self, make_logger: MakeLogger, tmp_path: Path
    ) -> None:
        """`close` ends a flush that waits for the answer to a request."""
        transport = Stuck()
        logger = make_logger(transport=transport, spool_dir=tmp_path / "spool", flush_interval=600)
        logger.info("a")
        flushing = threading.Thread(target=logger.flush, args=(10 * LIMIT,))
        flushing.start()
        assert transport.is_asked.wait(LIMIT)
        logger.close(timeout=0)
        flushing.join(LIMIT)
        is_over = not flushing.is_alive()
        transport.may_answer.set()
        flushing.join(LIMIT)

        assert is_over


class TestStopAndDrop:
    def test_loss_is_told_by_the_thread_that_drops(
        self, make_worker: MakeWorker, queue: MemoryQueue, errors: list[VoyageError]
    ) -> None:
        """The thread that drops entries also reports the loss, so each loss is reported."""
        is_tempted = True

        def claim() -> None:
            if queue.lock.acquire(blocking=False):
                worker.losses.claim_last(at_once=True)
                queue.lock.release()

        def clock() -> float:
            nonlocal is_tempted
            if is_tempted:  # true once, just before the worker claims the loss
                is_tempted = False
                other = threading.Thread(target=claim)
                other.start()
                other.join(LIMIT)
            return time.monotonic()

        worker = make_worker(queue, Recorder(), clock)
        queue.append(b'{"m":"x"}', INFO)
        worker.stop_and_drop("shutdown", at_once=True)

        (error,) = errors
        assert isinstance(error, EntriesLost)
        assert error.reasons == {"shutdown": 1}
        assert not is_tempted
