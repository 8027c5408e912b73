"""The queue: its order, its bounds, and the count of all that ever came."""

from __future__ import annotations

import dis
import signal
import sys
import threading
import time
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from voyage_logger import _queue
from voyage_logger._levels import CRITICAL, DEBUG, ERROR, INFO, LANES, NOTICE_LANE, TICKET_LANE
from voyage_logger._queue import NEVER, RECORD_OVERHEAD, EntryQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

    from voyage_logger import Stats

ROOMY = 1 << 30


def assert_law(stats: Stats) -> None:
    """Accepted is delivered, rejected, dropped and pending; and the reasons add up."""
    assert stats.accepted == stats.delivered + stats.rejected + stats.dropped + stats.pending
    assert stats.rejected == sum(stats.rejected_by.values())
    assert stats.dropped == sum(stats.dropped_by.values())


def payloads(records: list[_queue.Record]) -> list[bytes]:
    return [bytes(payload) for _, _, payload in records]


def take_all(queue: EntryQueue) -> list[bytes]:
    return payloads(queue.take(NEVER, NEVER))


@pytest.fixture
def queue() -> EntryQueue:
    return EntryQueue(1000, ROOMY)


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


class TestOrder:
    def test_of_taking_is_that_of_appending(self, queue: EntryQueue) -> None:
        """Entries of all levels are sent in the order of their log calls."""
        for number in range(50):
            queue.append(b"%d" % number, number * 5 % len(LANES))

        assert take_all(queue) == [b"%d" % number for number in range(50)]

    def test_is_kept_over_several_requests(self, queue: EntryQueue) -> None:
        """What one request leaves behind is the next one's, in order."""
        for number in range(10):
            queue.append(b"%d" % number, number % 3)
        seen = []
        while batch := queue.take(3, ROOMY):
            seen += payloads(batch)
            queue.settle(len(batch))

        assert seen == [b"%d" % number for number in range(10)]

    def test_those_in_flight_come_again_alone(self, queue: EntryQueue) -> None:
        """A batch is sent again as it was, whatever has come in between."""
        queue.append(b"first", INFO)
        queue.take(10, ROOMY)
        queue.append(b"second", CRITICAL)

        assert take_all(queue) == [b"first"]


class TestTake:
    def test_keeps_to_a_number_of_entries(self, queue: EntryQueue) -> None:
        """A request carries as many entries as it may, and no more."""
        for _ in range(5):
            queue.append(b"x", INFO)

        assert len(queue.take(3, ROOMY)) == 3

    @pytest.mark.parametrize(("room", "count"), [(22, 2), (21, 1), (11, 1), (10, 1), (1, 1)])
    def test_keeps_to_a_number_of_bytes(self, queue: EntryQueue, room: int, count: int) -> None:
        """Each entry counts with its comma; the first goes whatever its size."""
        for _ in range(3):
            queue.append(b"x" * 10, INFO)

        assert len(queue.take(10, room)) == count

    def test_of_nothing_is_nothing(self, queue: EntryQueue) -> None:
        """An empty queue gives an empty batch."""
        assert queue.take(10, ROOMY) == []


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


class TestSettle:
    def test_more_than_is_in_flight_ends_what_is(self, queue: EntryQueue) -> None:
        """Entries abandoned while their request was under way are not counted twice."""
        queue.append(b"x", INFO)
        queue.take(1, ROOMY)
        queue.abandon("closed")
        queue.settle(1)

        stats = queue.stats()
        assert (stats.delivered, stats.dropped) == (0, 1)
        assert_law(stats)

    def test_wakes_those_who_wait_for_it(self, queue: EntryQueue) -> None:
        """A flush ends with the delivery, not with its time limit."""
        queue.append(b"x", INFO)
        queue.take(1, ROOMY)
        thread = threading.Thread(target=queue.settle, args=(1,))
        with queue.lock:
            thread.start()

            assert queue.settled.wait(10)
        thread.join()

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


class TestWaking:
    def wait_for_change(self, queue: EntryQueue, cause: Callable[[], object]) -> bool:
        thread = threading.Thread(target=cause)
        with queue.lock:
            thread.start()
            is_woken = queue.changed.wait(0.05)
        thread.join()
        return is_woken

    @pytest.mark.parametrize("lane", [CRITICAL, TICKET_LANE])
    def test_comes_with_an_urgent_entry(self, queue: EntryQueue, lane: int) -> None:
        """A critical or ticket entry wakes the worker at once."""
        assert self.wait_for_change(queue, lambda: queue.append(b"x", lane))
        assert queue.is_urgent

    @pytest.mark.parametrize("lane", [INFO, ERROR, NOTICE_LANE])
    def test_does_not_come_with_an_ordinary_entry(self, queue: EntryQueue, lane: int) -> None:
        """An ordinary entry, or our own notice of a loss, waits for its batch."""
        assert not self.wait_for_change(queue, lambda: queue.append(b"x", lane))

    def test_comes_with_as_many_entries_as_were_asked_for(self, queue: EntryQueue) -> None:
        """A full batch wakes the worker; one entry less does not."""
        queue.wake_at = 2

        assert not self.wait_for_change(queue, lambda: queue.append(b"x", INFO))
        assert self.wait_for_change(queue, lambda: queue.append(b"x", INFO))
        assert queue.wake_at == NEVER


class TestThreads:
    def test_lose_nothing_and_count_everything(self, queue: EntryQueue) -> None:
        """Eight threads append while one delivers: each entry once, and the law at each look."""
        total, threads = 400, 8
        queue = EntryQueue(total * threads, ROOMY)
        delivered: list[bytes] = []
        seen: list[Stats] = []
        has_ended = threading.Event()

        def produce(number: int) -> None:
            for count in range(total):
                queue.append(b"%d-%d" % (number, count), count % len(LANES))

        def consume() -> None:
            while not (has_ended.is_set() and not len(queue)):
                batch = queue.take(50, ROOMY)
                delivered.extend(payloads(batch))
                queue.settle(len(batch))

        def sample() -> None:
            while not has_ended.is_set():
                seen.append(queue.stats())

        producers = [threading.Thread(target=produce, args=(n,)) for n in range(threads)]
        run_together(producers, [threading.Thread(target=f) for f in (consume, sample)], has_ended)

        assert len(delivered) == len(set(delivered)) == queue.stats().delivered == total * threads
        for number in range(threads):
            own = [entry for entry in delivered if entry.startswith(b"%d-" % number)]
            assert own == [b"%d-%d" % (number, count) for count in range(total)]
        for stats in seen:
            assert_law(stats)


def run_together(
    threads: list[threading.Thread], until_then: list[threading.Thread], has_ended: threading.Event
) -> None:
    """Runs threads that switch as often as can be; some end by themselves, the others then."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads + until_then:
            thread.start()
        for thread in threads:
            thread.join(20)
    finally:
        has_ended.set()
        for thread in until_then:
            thread.join(20)
        sys.setswitchinterval(interval)


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


@cache
def following(code: CodeType) -> dict[int, tuple[str, int]]:
    """The name of each instruction, and where the next one begins."""
    found = list(dis.get_instructions(code))
    ends = [instruction.offset for instruction in found[1:]] + [len(code.co_code)]
    return {here.offset: (here.opname, end) for here, end in zip(found, ends, strict=True)}


class Interruption:
    """Foreign code at the `at`-th place where CPython lets it in, in methods of the queue.

    That is where signal handlers run: at the start of a function, after a call, after a jump
    backward and, on 3.10, after any jump.
    """

    def __init__(self, at: int, foreign: Callable[[], None]) -> None:
        self.at, self.foreign, self.count = at, foreign, 0
        self.last: dict[FrameType, int] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> Interruption | None:
        if self.has_come or frame.f_code.co_filename != _queue.__file__:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "call" or (event == "opcode" and self.is_open(frame)):
            self.count += 1
            if self.has_come:
                sys.settrace(None)
                self.foreign()
        return self

    def is_open(self, frame: FrameType) -> bool:
        here = frame.f_lasti
        last = self.last.get(frame)
        self.last[frame] = here
        if last is None or last not in (instructions := following(frame.f_code)):
            return False
        name, following_offset = instructions[last]
        if "JUMP" in name or name == "FOR_ITER":
            return here < last or (here != following_offset and sys.version_info < (3, 11))
        return "CALL" in name and name != "PRECALL"  # 3.11's, which only prepares the call

    @property
    def has_come(self) -> bool:
        return self.count >= self.at

    def __enter__(self) -> Interruption:
        self.before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)
        self.last.clear()


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

    @pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
    @pytest.mark.parametrize("max_entries", [20, 1_000_000])
    def test_by_signals_loses_nothing_in_silence(self, max_entries: int, alarm: Any) -> None:
        """A handler that logs a thousand times a second neither hangs nor loses count."""
        queue = EntryQueue(max_entries, ROOMY)
        by_handler = by_main = 0

        def handle(*_: object) -> None:
            nonlocal by_handler
            by_handler += 1
            queue.append(b"y" * (by_handler % 50), by_handler % 3)

        alarm(handle)
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            by_main += 1
            queue.append(b"x" * (by_main % 70), by_main % 3)
            if by_main % 40 == 0:
                queue.take(10, ROOMY)
                queue.settle(10)
        alarm(None)
        while batch := queue.take(100_000, NEVER):
            queue.settle(len(batch))

        stats = queue.stats()
        assert by_handler > 10
        assert stats.accepted == by_main + by_handler
        assert (stats.pending, stats.pending_bytes, queue.fill()) == (0, 0, 0)
        assert_law(stats)


@pytest.fixture
def alarm() -> Iterator[Callable[[Any], None]]:
    """Has a handler called about a thousand times a second, until it is given None."""
    before = signal.getsignal(signal.SIGALRM)

    def set_alarm(handler: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if handler is not None:
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

    yield set_alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
