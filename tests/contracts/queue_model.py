"""A model of a queue. The same random calls must give equal results for queue and model.

Each test module defines a subclass of `Model` for its own queue. The queue reports how many entries
it has shed. The model finds out which entries were shed, and checks that the rules allow this.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.loggers import assert_law
from voyage_logger._base.levels import CRITICAL, LANES, NOTICE_LANE
from voyage_logger._queue.lanes import NEVER

if TYPE_CHECKING:
    from voyage_logger._queue.contract import Queue
    from voyage_logger._queue.lanes import Record

LANE = st.integers(0, len(LANES) - 1)


class Model(RuleBasedStateMachine):
    """The model of any queue; each subclass defines what is special in its queue.

    Attributes:
        unit: An eighth of the size of the longest entry, in bytes.
        reason: The reason that the queue gives for shed entries.
        turns: Every `turns`-th batch can carry the newest entries (0: no batch can).
    """

    unit = 50
    reason = "queue_full"
    turns = 0

    def make(self, some: int, more: int) -> Queue:
        """Return a queue whose small limits depend on two numbers between 1 and 8."""
        raise NotImplementedError

    def is_full(self, waiting: list[Record]) -> bool:
        """Return True if a queue that holds these entries is full."""
        raise NotImplementedError

    def is_over(self) -> bool:
        """Return True if the queue holds more than its limits allow."""
        raise NotImplementedError

    @initialize(some=st.integers(1, 8), more=st.integers(1, 8))
    def start(self, some: int, more: int) -> None:
        self.queue = self.make(some, more)
        self.waiting: list[Record] = []
        self.flight: list[Record] = []
        self.newest = self.accepted = self.delivered = 0
        self.batches_in_order = 0
        self.rejected: Counter[tuple[str, int]] = Counter()
        self.dropped: Counter[tuple[str, int]] = Counter()

    @rule(eighths=st.integers(0, 8), rest=st.integers(0, 30), lane=LANE)
    def append(self, eighths: int, rest: int, lane: int) -> None:
        payload = b"{" + b"x" * (eighths * self.unit + rest)
        before = self.queue.losses()
        number = self.queue.append(payload, lane)
        assert number == self.newest + 1
        self.newest = number
        self.accepted += 1
        self.waiting.append((number, lane, payload))
        self.judge(self.queue.losses() - before)

    @rule(eighths=st.integers(6, 8), lanes=st.lists(LANE, min_size=2, max_size=6))
    def append_large_ones(self, eighths: int, lanes: list[int]) -> None:
        for lane in lanes:
            self.append(eighths, 0, lane)

    def judge(self, losses: Counter[tuple[str, int]]) -> None:
        """Check which entries a full queue has shed, and remove them from the model."""
        if not losses:
            return
        shed: list[Record] = []
        for (reason, lane), count in losses.items():
            assert reason == self.reason
            of_lane = [record for record in self.waiting if record[1] == lane]
            assert count <= len(of_lane)
            shed += of_lane[:count]  # The next batches show whether the oldest entries were shed.
        self.waiting = [record for record in self.waiting if record not in shed]
        self.dropped += losses
        # No entry of a lower level is left, and the last shed entry would still have no room.
        last = max(shed, key=lambda record: (record[1], record[0]))
        assert all(lane >= last[1] for _, lane, _ in self.waiting)
        assert self.is_full([*self.waiting, last])

    @rule(count=st.integers(1, 6), eighths=st.integers(0, 24), rest=st.integers(1, 30))
    def take(self, count: int, eighths: int, rest: int) -> None:
        self.queue.clear_urgent()  # the worker also calls this before `take`
        left = eighths * self.unit + rest
        is_boarding = not self.flight
        expected = list(self.flight)
        for record in self.waiting if is_boarding else []:
            left -= len(record[2]) + 1
            if len(expected) == count or (left < 0 and expected):
                break
            expected.append(record)
        self.flight = self.queue.take(count, eighths * self.unit + rest)
        if self.flight == expected:
            self.batches_in_order += bool(expected)
        else:
            assert is_boarding
            is_urgent = any(CRITICAL <= lane < NOTICE_LANE for _, lane, _ in self.waiting)
            assert self.turns
            assert self.batches_in_order >= self.turns - 1 or is_urgent
            self.batches_in_order = 0
            assert self.flight == sorted(self.flight)
            assert len(self.flight) <= count
        if is_boarding:
            for record in self.flight:
                self.waiting.remove(record)

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
    def drop_all(self) -> None:
        records: list[Record] = []
        if not self.queue.is_durable:  # A durable queue keeps its entries on the disk.
            records = self.flight + self.waiting
            self.flight, self.waiting = [], []
        self.dropped.update(("closed", lane) for _, lane, _ in records)

        assert self.queue.drop_all("closed") == len(records)

    @rule(lane=LANE)
    def drop_new(self, lane: int) -> None:
        self.accepted += 1
        self.dropped["TypeError", lane] += 1
        self.queue.drop_new(lane, "TypeError")

    @invariant()
    def counts_agree(self) -> None:
        stats = self.queue.stats()
        assert_law(stats)
        assert (stats.accepted, stats.delivered) == (self.accepted, self.delivered)
        assert stats.pending == len(self.flight) + len(self.waiting)
        assert stats.rejected == sum(self.rejected.values())
        assert self.queue.losses() == self.rejected + self.dropped

    @invariant()
    def bounds_hold(self) -> None:
        assert len(self.queue) == len(self.waiting)
        assert not self.is_over()

    @invariant()
    def order_is_known(self) -> None:
        numbers = [number for number, _, _ in self.flight + self.waiting]
        oldest = self.queue.oldest()
        # Until a segment is read, the result can be lower than the oldest number in the segment.
        assert 0 < oldest <= min(numbers, default=NEVER)
        assert (oldest == NEVER) == (not numbers)
        assert self.queue.newest() == self.newest
        for until in (0, self.newest // 2, self.newest, NEVER):
            assert self.queue.pending_until(until) == sum(number <= until for number in numbers)
