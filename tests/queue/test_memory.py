"""Tests of the queue in memory: its order, its limits and its counts."""

from __future__ import annotations

import gc
from collections import deque
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant

from tests.contracts import queue as queue_contract
from tests.contracts import queue_model
from tests.contracts.queue import (
    ROOMY,
    AfterCall,
    Bounded,
    Interruption,
    alarm,
    elsewhere,
    entry,
    queue,
    take_all,
)
from tests.support.loggers import assert_law
from voyage_logger._base.levels import CRITICAL, DEBUG, ERROR, INFO, LANES
from voyage_logger._queue.lanes import NEVER, RECORD_OVERHEAD, Record, first
from voyage_logger._queue.memory import MemoryQueue

if TYPE_CHECKING:
    from tests.contracts.queue import MakeQueue
    from voyage_logger._queue.lanes import Record

__all__ = ["alarm", "queue"]


@pytest.fixture
def make_queue() -> MakeQueue:
    return lambda max_entries: MemoryQueue(max_entries, ROOMY)


class TestOrder(queue_contract.Order):
    pass


class TestTake(queue_contract.Take):
    pass


class TestSettle(queue_contract.Settle):
    pass


class TestWaking(queue_contract.Waking):
    pass


class TestThreads(queue_contract.Threads):
    pass


class TestSignals(queue_contract.Signals):
    pass


class Model(queue_model.Model):
    """The model of the queue in memory. The limits of this queue are exact."""

    def make(self, some: int, more: int) -> MemoryQueue:
        self.max_entries, self.max_bytes = some, more * (RECORD_OVERHEAD + 20)
        return MemoryQueue(self.max_entries, self.max_bytes)

    def size(self, records: list[Record]) -> int:
        return sum(len(payload) + RECORD_OVERHEAD for _, _, payload in records)

    def is_full(self, waiting: list[Record]) -> bool:
        return len(waiting) > self.max_entries or self.size(waiting) > self.max_bytes

    def is_over(self) -> bool:
        return self.is_full(self.waiting)

    @invariant()
    def sizes_are_known(self) -> None:
        size = self.size(self.waiting)
        assert self.queue.stats().pending_bytes == self.size(self.flight) + size
        assert self.queue.fill() == max(len(self.waiting) / self.max_entries, size / self.max_bytes)

    @invariant()
    def oldest_is_exact(self) -> None:
        numbers = [number for number, _, _ in self.flight + self.waiting]
        assert self.queue.oldest() == min(numbers, default=NEVER)


class TestModel(Model.TestCase):  # type: ignore[valid-type,misc]
    settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


@pytest.fixture
def full() -> Bounded:
    size, capacity = 100, 16
    queue = MemoryQueue(1000, capacity * (size + RECORD_OVERHEAD))
    return Bounded(queue, size, capacity, 1, "queue_full")


class TestFullQueue(queue_contract.FullQueue):
    def test_queue_is_bounded_in_entries(self) -> None:
        """If entries are small, the limit on their number is reached first."""
        queue = MemoryQueue(2, ROOMY)
        for payload in (b"1", b"2", b"3"):
            queue.append(payload, INFO)

        assert take_all(queue) == [b"2", b"3"]
        assert queue.stats().dropped_by == {"queue_full": 1}

    def test_queue_is_bounded_in_bytes(self) -> None:
        """If entries are large, the limit on their memory is reached first."""
        queue = MemoryQueue(1000, 10 * (RECORD_OVERHEAD + 100))
        for _ in range(50):
            queue.append(b"x" * 100, INFO)

        assert len(queue) == 10
        assert queue.stats().pending_bytes == 10 * (RECORD_OVERHEAD + 100)

    def test_entry_larger_than_the_queue_is_dropped_and_counted(self) -> None:
        """An entry that is larger than the queue counts as dropped and takes no memory."""
        queue = MemoryQueue(10, 1000)
        queue.append(b"x" * 1001, CRITICAL)

        stats = queue.stats()
        assert (stats.dropped, stats.pending, stats.pending_bytes) == (1, 0, 0)

    def test_losses_are_counted_by_level(self) -> None:
        """The queue counts lost entries by level, for the report of losses."""
        queue = MemoryQueue(1, ROOMY)
        for lane in (DEBUG, DEBUG, INFO, ERROR):
            queue.append(b"x", lane)

        assert queue.losses() == {("queue_full", DEBUG): 2, ("queue_full", INFO): 1}


class TestAccounts:
    def test_empty_queue_counts_no_bytes(self, queue: MemoryQueue) -> None:
        """However entries have left the queue, the counted memory of an empty queue is zero."""
        for length in range(100):
            queue.append(b"x" * length, length % len(LANES))
        queue.take(30, ROOMY)
        queue.replace_first(b"short")
        queue.settle(10)
        queue.settle(10, rejected="HTTP 400")
        queue.drop_all("closed")

        assert queue.stats().pending_bytes == 0
        assert queue.fill() == 0


def busy(queue: MemoryQueue) -> int:
    """Call all methods of the queue, and return how many entries were accepted."""
    for length in range(4):
        queue.append(b"x" * 10 * length, length % 3)
    queue.take(2, ROOMY)
    queue.drop_new(INFO, "TypeError")
    queue.replace_first(b"short")
    queue.settle(1)
    queue.settle(1, rejected="HTTP 400")
    queue.take(2, 30)
    queue.oldest()
    queue.settle(1, dropped="shutdown")
    queue.append(b"z" * 100, DEBUG)
    queue.drop_all("closed")
    return 6


class TestReentry:
    def test_handler_that_logs_anywhere_keeps_the_counts_right(self) -> None:
        """If a signal handler logs at any place inside the queue, its entry is counted."""
        at = 0
        has_come = True
        while has_come:
            at += 1
            queue = MemoryQueue(3, ROOMY)
            with Interruption(at, lambda queue=queue: queue.append(b"y" * 7, INFO)) as interruption:  # type: ignore[misc]
                accepted = busy(queue)
            has_come = interruption.has_come

            assert_law(queue.stats())
            assert queue.stats().accepted == accepted + has_come
            assert len(queue) == len(take_all(queue)), f"place {at}"
            queue.drop_all("closed")
            stats = queue.stats()
            assert (stats.pending, stats.pending_bytes, queue.fill()) == (0, 0, 0), f"place {at}"
            assert_law(stats)
        assert at > 50

    def test_handler_that_fills_the_queue_anywhere_keeps_the_counts_right(self) -> None:
        """If a handler logs more entries than the queue holds, the counts stay right."""
        at = 0
        has_come = True
        while has_come:
            at += 1
            queue = MemoryQueue(3, 3 * RECORD_OVERHEAD)

            def log_many(queue: MemoryQueue = queue) -> None:
                for number in range(8):
                    queue.append(b"y" * number * 9, number % 5)

            with Interruption(at, log_many) as interruption:
                accepted = busy(queue)
            has_come = interruption.has_come
            queue.take(NEVER, NEVER)
            queue.drop_all("closed")

            stats = queue.stats()
            assert stats.accepted == accepted + 8 * has_come
            assert (stats.pending, stats.pending_bytes, queue.fill()) == (0, 0, 0), f"place {at}"
            assert_law(stats)

    def test_handler_that_drops_all_anywhere_keeps_the_counts_right(self) -> None:
        """If a handler drops all entries at any place in the queue, the counts stay right."""
        at = 0
        has_come = True
        while has_come:
            at += 1
            queue = MemoryQueue(3, ROOMY)
            with Interruption(at, lambda queue=queue: queue.drop_all("closed")) as interruption:  # type: ignore[misc]
                accepted = busy(queue)
            has_come = interruption.has_come
            queue.drop_all("closed")

            stats = queue.stats()
            assert stats.accepted == accepted
            assert (stats.pending, stats.pending_bytes, queue.fill()) == (0, 0, 0), f"place {at}"
            assert_law(stats)

    @pytest.mark.parametrize("is_amending", [False, True])
    def test_handler_that_changes_entries_during_a_take_keeps_the_sizes_right(
        self, *, is_amending: bool
    ) -> None:
        """If a handler sheds or replaces an entry during `take`, the counted sizes stay right."""
        at = 0
        has_come = True
        while has_come:
            at += 1
            queue = MemoryQueue(3, ROOMY)
            first = bytearray(b"x")
            sequence = queue.append(first, INFO)
            queue.append(b"x" * 20, INFO)
            queue.append(b"x" * 300, INFO)

            def change(
                queue: MemoryQueue = queue, first: bytearray = first, sequence: int = sequence
            ) -> None:
                if is_amending:
                    queue.amend(INFO, sequence, first, b"x" * 50)
                else:
                    queue.append(b"y" * 4000, INFO)

            with Interruption(at, change) as interruption:
                queue.settle(len(queue.take(2, ROOMY)))
            has_come = interruption.has_come
            queue.settle(len(queue.take(10, ROOMY)))

            stats = queue.stats()
            assert (stats.pending, stats.pending_bytes, queue.fill()) == (0, 0, 0), f"place {at}"
            assert_law(stats)

    @pytest.mark.parametrize(
        ("interrupted", "at", "rejected"),
        [("len", 2, "no good"), ("size_of", 1, "")],
        ids=["rejected", "sent"],
    )
    def test_handler_that_drops_all_while_entries_are_settled_counts_each_once(
        self, interrupted: str, at: int, rejected: str
    ) -> None:
        """If a handler drops entries while they are settled, they count only as dropped."""
        queue = MemoryQueue(10, ROOMY)
        for _ in range(3):
            queue.append(b"x", INFO)
        queue.take(NEVER, NEVER)
        with AfterCall(interrupted, lambda: queue.drop_all("closed"), at):
            queue.settle(3, rejected=rejected)

        stats = queue.stats()
        assert (stats.dropped_by, stats.pending, stats.pending_bytes) == ({"closed": 3}, 0, 0)
        assert_law(stats)

    def test_handler_that_sheds_the_same_entry_is_noticed(self) -> None:
        """If a handler sheds the entry that a log call is about to shed, no other entry is lost."""
        queue = MemoryQueue(3, ROOMY)
        for _ in range(3):
            queue.append(b"x", INFO)
        with AfterCall("len", lambda: queue.append(b"y", INFO)):
            queue._shed_to(2, ROOMY, "queue_full")

        stats = queue.stats()
        assert (stats.accepted, stats.dropped, stats.pending) == (4, 2, 2)
        assert_law(stats)

    @pytest.mark.parametrize("times", [1, 1000])
    def test_stats_end_though_a_handler_logs_during_each_read(self, times: int) -> None:
        """`stats` reads again after a handler has logged, but it does not read forever."""
        queue = MemoryQueue(NEVER, ROOMY)

        class Disturbing:
            """Logs an entry in each of the first `times` calls of `len`."""

            left = times

            def __len__(self) -> int:
                if self.left:
                    self.left -= 1
                    queue.append(b"x", INFO)
                return 0

        stats = queue.ledger.stats(Disturbing())
        assert 0 < queue.stats().accepted - stats.accepted <= 1 or stats.accepted == times
        assert queue.stats().accepted == min(times, 10)


def test_try_drop_new_does_not_wait_for_the_lock() -> None:
    """`try_drop_new` counts a dropped entry, or does nothing while another thread has the lock."""
    queue = MemoryQueue(10, ROOMY)
    queue.try_drop_new(INFO, "closed")
    with queue.lock:
        elsewhere(lambda: queue.try_drop_new(INFO, "closed"))

    assert (queue.stats().accepted, queue.stats().dropped_by) == (1, {"closed": 1})


def test_entries_in_flight_return_to_the_head_of_the_queue() -> None:
    """Entries that return from flight are taken again before later entries."""
    queue = MemoryQueue(10, ROOMY)
    for number in range(4):
        queue.append(entry(number), number % 2)
    queue.take(3, ROOMY)
    queue.return_flight()

    assert take_all(queue) == [entry(number) for number in range(4)]
    assert_law(queue.stats())


def test_first_reads_a_lane_again_after_a_destructor_has_logged() -> None:
    """If the garbage collector runs a `__del__` that logs, `first` still returns the records."""
    lane: deque[Record] = deque((number, INFO, b"x") for number in range(3))
    thresholds = gc.get_threshold()

    class Logging:
        """Logs in its destructor, which only the garbage collector calls."""

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            lane.append((3, INFO, b"x"))

    try:
        for threshold in range(1, 30):
            gc.collect()
            while len(lane) > 3:
                lane.pop()
            Logging()
            gc.set_threshold(threshold)
            found = first(lane, 3)
            gc.set_threshold(*thresholds)
            assert [number for number, *_ in found] == [0, 1, 2]
    finally:
        gc.set_threshold(*thresholds)
