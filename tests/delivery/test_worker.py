"""The worker's orders, seen alone: what ends its loop, and who is told of that."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import Recorder, parts_of_worker, until
from voyage_logger import EntriesLost, Kind, Outcome
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import INFO
from voyage_logger._delivery.worker import Worker
from voyage_logger._queue.memory import MemoryQueue
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger import BaseTransport, VoyageError

    MakeWorker = Callable[..., Worker]

LIMIT = 30.0  # seconds, after which a thread counts as stuck
ROOMY = 1 << 30


class Passing(Recorder):
    """A server whose first answer is that it is busy."""

    attempts = 0

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        self.attempts += 1
        if self.attempts == 1:
            return Outcome(Kind.TRY_AGAIN, "HTTP 503")
        return super().send(entries, time_limit=time_limit)


class Stuck(Recorder):
    """A server that does not answer until it is told to."""

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
    """What `on_error` was called with."""
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
            *parts_of_worker(queue, transport, Diagnostics(errors.append), clock),
            clock=clock,
            random=lambda: 0.1,
        )

    return make


class TestLastChance:
    """A loop with little time left, and a server that is busy at first."""

    def test_is_not_taken_by_what_will_be_kept(
        self, make_worker: MakeWorker, tmp_path: Path
    ) -> None:
        """A process in a hurry leaves entries on the disk with the first attempt that fails."""
        settings = SpoolSettings(tmp_path / "spool", ROOMY, None, "nowhere")
        queue = SpoolQueue(1000, ROOMY, settings, Diagnostics())
        queue.append(b'{"m":"x"}', INFO)
        transport = Passing()
        make_worker(queue, transport).run_here(time.monotonic() + LIMIT)

        assert transport.attempts == 1
        assert (queue.stats().pending, queue.stats().dropped) == (1, 0)
        queue.close("closed")

    def test_is_taken_by_what_would_be_lost(
        self, make_worker: MakeWorker, queue: MemoryQueue
    ) -> None:
        """What memory alone has is tried again, as long as there is time."""
        queue.append(b'{"m":"x"}', INFO)
        transport = Passing()
        make_worker(queue, transport).run_here(time.monotonic() + LIMIT)

        assert transport.attempts == 2
        assert queue.stats().delivered == 1


class TestStop:
    def test_ends_a_loop_that_has_nothing_to_do(
        self, make_worker: MakeWorker, queue: MemoryQueue
    ) -> None:
        """A worker that waits for entries without a time limit leaves no thread behind."""
        worker = make_worker(queue, Recorder())
        worker.start()
        until(lambda: len(queue.changed._waiters) == 1)  # type: ignore[attr-defined]
        worker.orders.stop()
        worker.join(time.monotonic() + LIMIT)
        is_over = not worker.is_running
        worker.orders.flush(0)

        assert is_over

    def test_wakes_all_who_wait(self, make_worker: MakeWorker, queue: MemoryQueue) -> None:
        """Whoever waits for entries to be settled learns that they will not be."""
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
        """Once the logger is closed nobody waits for a request that may never end."""
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


class TestGivingUp:
    def test_is_told_by_who_gives_up(
        self, make_worker: MakeWorker, queue: MemoryQueue, errors: list[VoyageError]
    ) -> None:
        """No other thread can take over to tell it, and then end with the process before it has."""
        is_tempted = True

        def claim() -> None:
            if queue.lock.acquire(blocking=False):
                worker._losses.claim_last(at_once=True)
                queue.lock.release()

        def clock() -> float:
            nonlocal is_tempted
            if is_tempted:  # once, when the loss is about to be claimed
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
