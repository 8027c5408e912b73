"""The queue: its order, its bounds, and the count of all that ever came."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import queue_contract
from queue_contract import ROOMY, Interruption, alarm, assert_law, queue, take_all
from voyage_logger._levels import CRITICAL, DEBUG, ERROR, INFO, LANES, NOTICE_LANE, TICKET_LANE
from voyage_logger._queue import NEVER, RECORD_OVERHEAD, EntryQueue

if TYPE_CHECKING:
    from queue_contract import MakeQueue
    from voyage_logger import _queue

__all__ = ["alarm", "queue"]


@pytest.fixture
def make_queue() -> MakeQueue:
    return lambda max_entries: EntryQueue(max_entries, ROOMY)


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


class Model(RuleBasedStateMachine):
    """The queue against lists that do the same in the plainest way."""

    @initialize(
        max_entries=st.integers(1, 8),
        max_bytes=st.integers(1, 8).map((RECORD_OVERHEAD + 20).__mul__),
    )
    def start(self, max_entries: int, max_bytes: int) -> None:
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self.queue = EntryQueue(max_entries, max_bytes)
        self.waiting: list[_queue.Record] = []
        self.flight: list[_queue.Record] = []
        self.newest = self.accepted = self.delivered = 0
        self.rejected: Counter[tuple[str, int]] = Counter()
        self.dropped: Counter[tuple[str, int]] = Counter()

    def size(self, records: list[_queue.Record]) -> int:
        return sum(len(payload) + RECORD_OVERHEAD for _, _, payload in records)

    @rule(length=st.integers(0, 400), lane=st.integers(0, len(LANES) - 1))
    def append(self, length: int, lane: int) -> None:
        self.newest += 1
        self.accepted += 1
        payload = b"x" * length
        self.waiting.append((self.newest, lane, payload))
        while len(self.waiting) > self.max_entries or self.size(self.waiting) > self.max_bytes:
            victim = min(self.waiting, key=lambda record: (record[1], record[0]))
            self.waiting.remove(victim)
            self.dropped["queue_full", victim[1]] += 1
        self.queue.append(payload, lane)

    @rule(count=st.integers(1, 6), room=st.integers(1, 1200))
    def take(self, count: int, room: int) -> None:
        left = room
        is_boarding = not self.flight
        while is_boarding and self.waiting and len(self.flight) < count:
            left -= len(self.waiting[0][2]) + 1
            if left < 0 and self.flight:
                break
            self.flight.append(self.waiting.pop(0))

        assert self.queue.take(count, room) == self.flight

    @rule(count=st.integers(0, 8), how=st.sampled_from(["", "rejected", "dropped"]))
    def settle(self, count: int, how: str) -> None:
        ended, self.flight = self.flight[:count], self.flight[count:]
        if how:
            getattr(self, how).update((f"a {how} reason", lane) for _, lane, _ in ended)
        else:
            self.delivered += len(ended)
        self.queue.settle(count, **({how: f"a {how} reason"} if how else {}))

    @rule(length=st.integers(0, 400))
    def replace_first(self, length: int) -> None:
        payload = b"y" * length
        if self.flight:
            self.flight[0] = (*self.flight[0][:2], payload)
        self.queue.replace_first(payload)

    @rule()
    def abandon(self) -> None:
        records = self.flight + self.waiting
        self.flight, self.waiting = [], []
        self.dropped.update(("closed", lane) for _, lane, _ in records)

        assert self.queue.abandon("closed") == len(records)

    @rule(lane=st.integers(0, len(LANES) - 1))
    def refuse(self, lane: int) -> None:
        self.accepted += 1
        self.dropped["TypeError", lane] += 1
        self.queue.refuse(lane, "TypeError")

    @invariant()
    def counts_agree(self) -> None:
        stats = self.queue.stats()
        assert_law(stats)
        assert (stats.accepted, stats.delivered) == (self.accepted, self.delivered)
        assert stats.pending == len(self.flight) + len(self.waiting)
        assert stats.pending_bytes == self.size(self.flight) + self.size(self.waiting)
        assert stats.rejected == sum(self.rejected.values())
        assert self.queue.losses() == self.rejected + self.dropped

    @invariant()
    def bounds_hold(self) -> None:
        assert len(self.queue) == len(self.waiting) <= self.max_entries
        assert self.size(self.waiting) <= self.max_bytes
        by_entries = len(self.waiting) / self.max_entries
        assert self.queue.fill() == max(by_entries, self.size(self.waiting) / self.max_bytes)

    @invariant()
    def order_is_known(self) -> None:
        numbers = [number for number, _, _ in self.flight + self.waiting]
        assert self.queue.oldest() == min(numbers, default=NEVER)
        assert self.queue.newest() == self.newest
        for until in (0, self.newest // 2, self.newest, NEVER):
            assert self.queue.pending_until(until) == sum(number <= until for number in numbers)


class TestModel(Model.TestCase):  # type: ignore[valid-type,misc]
    settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


class TestFullQueue:
    def test_gives_up_the_lowest_level_first(self) -> None:
        """An old debug line goes before a new error, and a new debug line before an old error."""
        queue = EntryQueue(2, ROOMY)
        for payload, lane in [
            (b"debug", DEBUG),
            (b"error", ERROR),
            (b"info", INFO),
            (b"late", DEBUG),
        ]:
            queue.append(payload, lane)

        assert take_all(queue) == [b"error", b"info"]
        assert queue.stats().dropped_by == {"queue_full": 2}

    def test_gives_up_the_oldest_of_a_level_first(self) -> None:
        """Of equal entries the newest tell most."""
        queue = EntryQueue(2, ROOMY)
        for payload in (b"1", b"2", b"3"):
            queue.append(payload, INFO)

        assert take_all(queue) == [b"2", b"3"]

    @pytest.mark.parametrize("lane", [ERROR, CRITICAL, TICKET_LANE, NOTICE_LANE])
    def test_gives_up_nothing_important_while_anything_lower_waits(self, lane: int) -> None:
        """Ten thousand debug lines cannot push out one error."""
        queue = EntryQueue(3, ROOMY)
        queue.append(b"important", lane)
        for _ in range(10_000):
            queue.append(b"noise", DEBUG)

        assert take_all(queue)[0] == b"important"

    def test_never_gives_up_what_is_in_flight(self) -> None:
        """A request under way is complete however much comes meanwhile."""
        queue = EntryQueue(2, ROOMY)
        queue.append(b"debug", DEBUG)
        queue.take(1, ROOMY)
        for _ in range(10):
            queue.append(b"critical", CRITICAL)

        assert take_all(queue) == [b"debug"]

    def test_is_bounded_in_bytes(self) -> None:
        """Memory is bounded by what entries take, not by their number alone."""
        queue = EntryQueue(1000, 10 * (RECORD_OVERHEAD + 100))
        for _ in range(50):
            queue.append(b"x" * 100, INFO)

        assert len(queue) == 10
        assert queue.stats().pending_bytes == 10 * (RECORD_OVERHEAD + 100)

    def test_gives_up_an_entry_larger_than_itself(self) -> None:
        """What can never fit is counted, and leaves no trace in the accounts."""
        queue = EntryQueue(10, 1000)
        queue.append(b"x" * 1001, CRITICAL)

        stats = queue.stats()
        assert (stats.dropped, stats.pending, stats.pending_bytes) == (1, 0, 0)

    def test_counts_losses_by_level(self) -> None:
        """A report can say which levels were lost."""
        queue = EntryQueue(1, ROOMY)
        for lane in (DEBUG, DEBUG, INFO, ERROR):
            queue.append(b"x", lane)

        assert queue.losses() == {("queue_full", DEBUG): 2, ("queue_full", INFO): 1}


class TestAccounts:
    def test_leaves_no_bytes_behind(self, queue: EntryQueue) -> None:
        """An empty queue accounts for no memory, whatever way it got there."""
        for length in range(100):
            queue.append(b"x" * length, length % len(LANES))
        queue.take(30, ROOMY)
        queue.replace_first(b"short")
        queue.settle(10)
        queue.settle(10, rejected="HTTP 400")
        queue.abandon("closed")

        assert queue.stats().pending_bytes == 0
        assert queue.fill() == 0


def busy(queue: EntryQueue) -> int:
    """All that may be under way in a thread when a signal comes; says how many entries come."""
    for length in range(4):
        queue.append(b"x" * 10 * length, length % 3)
    queue.take(2, ROOMY)
    queue.refuse(INFO, "TypeError")
    queue.replace_first(b"short")
    queue.settle(1)
    queue.settle(1, rejected="HTTP 400")
    queue.take(2, 30)
    queue.oldest()
    queue.settle(1, dropped="shutdown")
    queue.append(b"z" * 100, DEBUG)
    queue.abandon("closed")
    return 6


class TestReentry:
    def test_anywhere_keeps_the_accounts_right(self) -> None:
        """A handler that logs anywhere inside the queue is accounted for, and spoils nothing."""
        at = 0
        has_come = True
        while has_come:
            at += 1
            queue = EntryQueue(3, ROOMY)
            with Interruption(at, lambda queue=queue: queue.append(b"y" * 7, INFO)) as interruption:  # type: ignore[misc]
                accepted = busy(queue)
            has_come = interruption.has_come

            assert_law(queue.stats())
            assert queue.stats().accepted == accepted + has_come
            assert len(queue) == len(take_all(queue)), f"place {at}"
            queue.abandon("closed")
            stats = queue.stats()
            assert (stats.pending, stats.pending_bytes, queue.fill()) == (0, 0, 0), f"place {at}"
            assert_law(stats)
        assert at > 50

    def test_with_a_shower_of_entries_keeps_the_accounts_right(self) -> None:
        """The same for a handler that logs much more than the queue holds."""
        at = 0
        has_come = True
        while has_come:
            at += 1
            queue = EntryQueue(3, 3 * RECORD_OVERHEAD)

            def shower(queue: EntryQueue = queue) -> None:
                for number in range(8):
                    queue.append(b"y" * number * 9, number % 5)

            with Interruption(at, shower) as interruption:
                accepted = busy(queue)
            has_come = interruption.has_come
            queue.take(NEVER, NEVER)
            queue.abandon("closed")

            stats = queue.stats()
            assert stats.accepted == accepted + 8 * has_come
            assert (stats.pending, stats.pending_bytes, queue.fill()) == (0, 0, 0), f"place {at}"
            assert_law(stats)

    def test_that_abandons_everything_keeps_the_accounts_right(self) -> None:
        """A handler that closes the logger at any place inside the queue spoils nothing."""
        at = 0
        has_come = True
        while has_come:
            at += 1
            queue = EntryQueue(3, ROOMY)
            with Interruption(at, lambda queue=queue: queue.abandon("closed")) as interruption:  # type: ignore[misc]
                accepted = busy(queue)
            has_come = interruption.has_come
            queue.abandon("closed")

            stats = queue.stats()
            assert stats.accepted == accepted
            assert (stats.pending, stats.pending_bytes, queue.fill()) == (0, 0, 0), f"place {at}"
            assert_law(stats)
