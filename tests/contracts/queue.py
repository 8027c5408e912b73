"""Tests of the promises that every queue keeps, in memory or on the disk.

A test module inherits these classes and provides the fixtures `make_queue` and `full`.
"""

from __future__ import annotations

import dis
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import assert_law, until
from voyage_logger._base.levels import (
    CRITICAL,
    DEBUG,
    ERROR,
    INFO,
    LANES,
    NOTICE_LANE,
    TICKET_LANE,
    WARN,
)
from voyage_logger._queue import contract, counts, flight, lanes, memory
from voyage_logger._queue.lanes import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

    from voyage_logger import Stats
    from voyage_logger._queue.contract import Queue
    from voyage_logger._queue.lanes import Record

    MakeQueue = Callable[[int], Queue]  # The argument is the largest number of entries in memory.

ROOMY = 1 << 30
FILES = tuple(str(each.__file__) for each in (memory, counts, flight, lanes, contract))


def entry(text: object) -> bytes:
    """Return an encoded entry."""
    return b'{"m":"%b"}' % str(text).encode()


def payloads(records: list[Record]) -> list[bytes]:
    return [bytes(payload) for _, _, payload in records]


def take_all(queue: Queue) -> list[bytes]:
    return payloads(queue.take(NEVER, NEVER))


@pytest.fixture
def queue(make_queue: MakeQueue) -> Queue:
    return make_queue(1000)


class Order:
    def test_entries_are_taken_in_the_order_of_their_log_calls(self, queue: Queue) -> None:
        """Entries of all levels are sent in the order of their log calls."""
        for number in range(50):
            queue.append(entry(number), number * 5 % len(LANES))

        assert take_all(queue) == [entry(number) for number in range(50)]

    def test_order_is_kept_across_requests(self, queue: Queue) -> None:
        """Entries that do not fit into a request are in the next request, in the same order."""
        for number in range(10):
            queue.append(entry(number), number % 3)
        seen = []
        while batch := queue.take(3, ROOMY):
            seen += payloads(batch)
            queue.settle(len(batch))

        assert seen == [entry(number) for number in range(10)]

    def test_take_returns_the_same_batch_until_it_is_settled(self, queue: Queue) -> None:
        """If a batch is sent again, it does not contain entries that were logged later."""
        queue.append(entry("first"), INFO)
        queue.take(10, ROOMY)
        queue.append(entry("second"), CRITICAL)

        assert take_all(queue) == [entry("first")]


class Take:
    def test_take_returns_at_most_max_entries(self, queue: Queue) -> None:
        """`take` returns at most `max_entries` entries."""
        for _ in range(5):
            queue.append(entry("x"), INFO)

        assert len(queue.take(3, ROOMY)) == 3

    @pytest.mark.parametrize(("room", "count"), [(22, 2), (21, 1), (11, 1), (10, 1), (1, 1)])
    def test_take_returns_at_most_max_bytes(self, queue: Queue, room: int, count: int) -> None:
        """The size of an entry includes one byte for a comma. The first entry can have any size."""
        for _ in range(3):
            queue.append(entry("xx"), INFO)

        assert len(queue.take(10, room)) == count

    def test_empty_queue_gives_an_empty_batch(self, queue: Queue) -> None:
        """If the queue is empty, `take` returns an empty batch."""
        assert queue.take(10, ROOMY) == []


@dataclass(frozen=True)
class Bounded:
    """A queue, and the size of entries that fill the queue exactly.

    Attributes:
        queue: The queue.
        size: The size of an entry, in bytes.
        capacity: How many entries the queue holds.
        granule: How many entries of a level the queue sheds together.
        reason: The reason that the queue gives for shed entries.
    """

    queue: Queue
    size: int
    capacity: int
    granule: int
    reason: str

    def entry(self, text: object) -> bytes:
        return entry(text).replace(b'"}', b'"' + b" " * (self.size - len(entry(text))) + b"}")

    def append(self, text: object, lane: int) -> None:
        self.queue.append(self.entry(text), lane)

    def fill(self, *lanes: int) -> list[str]:
        """Fill the queue with entries of the given levels in turn, and return their texts."""
        texts = [f"{LANES[lanes[n % len(lanes)]]} {n}" for n in range(self.capacity)]
        for number, text in enumerate(texts):
            self.append(text, lanes[number % len(lanes)])
        assert not self.queue.losses()
        return texts

    def take_all(self) -> list[str]:
        self.queue.clear_urgent()  # the worker also calls this before `take`
        found = [payload.split(b'"')[3].decode() for payload in take_all(self.queue)]
        self.queue.settle(len(found))
        return found

    def assert_lost(self, *expected: tuple[int, int]) -> None:
        """Check how many entries of each lane were lost."""
        assert self.queue.losses() == Counter(
            {(self.reason, lane): count for lane, count in expected}
        )
        assert self.queue.stats().dropped_by == {self.reason: sum(n for _, n in expected)}
        assert_law(self.queue.stats())


class FullQueue:
    def test_full_queue_sheds_the_lowest_level_first(self, full: Bounded) -> None:
        """Even the newest debug entry is shed before any error entry."""
        texts = full.fill(INFO, DEBUG, ERROR, DEBUG)
        full.append("one more", ERROR)

        low = [text for text in texts if text.startswith("debug")][: full.granule]
        full.assert_lost((DEBUG, full.granule))
        assert full.take_all() == [text for text in texts if text not in low] + ["one more"]

    def test_full_queue_sheds_the_oldest_entries_of_a_level_first(self, full: Bounded) -> None:
        """Within a level, the oldest entries are shed first: new entries are more useful."""
        texts = full.fill(INFO)
        full.append("one more", INFO)

        full.assert_lost((INFO, full.granule))
        assert full.take_all() == [*texts[full.granule :], "one more"]

    @pytest.mark.parametrize("lane", [INFO, ERROR, CRITICAL, TICKET_LANE, NOTICE_LANE])
    def test_full_queue_sheds_nothing_for_a_lower_level(self, full: Bounded, lane: int) -> None:
        """A new entry is dropped if all entries in the queue have a higher level."""
        texts = full.fill(lane)
        for number in range(3):
            full.append(f"late {number}", lane - 1)

        full.assert_lost((lane - 1, 3))
        assert full.take_all() == texts

    @pytest.mark.parametrize("lane", [ERROR, CRITICAL, TICKET_LANE, NOTICE_LANE])
    def test_full_queue_keeps_an_important_entry_while_lower_ones_wait(
        self, full: Bounded, lane: int
    ) -> None:
        """An important entry stays in the queue while many entries of lower levels are logged."""
        full.append("important", lane)
        for number in range(10 * full.capacity):
            full.append(f"{number}", number % lane)

        assert (full.reason, lane) not in full.queue.losses()
        assert full.take_all()[0] == "important"

    def test_full_queue_sheds_one_level_after_the_other(self, full: Bounded) -> None:
        """Tickets replace the entries of all lower levels, from the lowest level upward."""
        lanes = (DEBUG, INFO, WARN, ERROR)
        full.fill(*lanes)
        lost = Counter[tuple[str, int]]()
        for number in range(full.capacity):
            full.append(f"ticket {number}", TICKET_LANE)
            now = full.queue.losses()
            shed = {lane for _, lane in now - lost}
            lost = now
            for lane in shed:
                assert all(
                    now[full.reason, lower] == full.capacity // len(lanes)
                    for lower in lanes
                    if lower < lane
                )

        full.assert_lost(*[(lane, full.capacity // len(lanes)) for lane in lanes])
        assert full.take_all() == [f"ticket {number}" for number in range(full.capacity)]

    def test_entries_in_flight_are_never_shed(self, full: Bounded) -> None:
        """A batch in flight stays complete while many new entries fill the queue."""
        texts = full.fill(DEBUG)
        assert len(full.queue.take(2, ROOMY)) == 2
        for number in range(3 * full.capacity):
            full.append(f"critical {number}", CRITICAL)

        assert full.queue.losses()[full.reason, DEBUG] == full.capacity - 2
        assert full.take_all() == texts[:2]
        assert_law(full.queue.stats())

    def test_entries_of_several_levels_in_flight_are_never_shed(self, full: Bounded) -> None:
        """A batch in flight stays complete while other entries of its levels are shed."""
        lanes = (DEBUG, INFO, WARN, ERROR)
        texts = full.fill(*lanes)
        assert len(full.queue.take(6, ROOMY)) == 6
        for number in range(3 * full.capacity):
            full.append(f"ticket {number}", TICKET_LANE)

        waiting = full.capacity // len(lanes)
        for lane, in_flight in zip(lanes, (2, 2, 1, 1), strict=True):
            assert full.queue.losses()[full.reason, lane] == waiting - in_flight
        assert full.take_all() == texts[:6]
        assert full.queue.stats().delivered == 6
        kept = full.take_all()
        assert kept == [f"ticket {n}" for n in range(3 * full.capacity)][-len(kept) :]
        assert full.take_all() == []
        assert_law(full.queue.stats())

    def test_full_queue_sheds_no_more_than_it_must(self, full: Bounded) -> None:
        """After shedding, the queue has room for fewer entries than one file holds."""
        for number in range(5 * full.capacity):
            full.append(number, INFO)
            assert len(full.queue) <= full.capacity
            assert_law(full.queue.stats())
            assert not full.queue.losses() or len(full.queue) > full.capacity - full.granule


class Settle:
    def test_entries_dropped_during_their_request_are_counted_once(self, queue: Queue) -> None:
        """If entries are dropped during their request, they count as dropped, not as delivered."""
        queue.append(entry("x"), INFO)
        queue.take(1, ROOMY)
        queue.drop_all("closed")
        queue.settle(1)

        stats = queue.stats()
        assert stats.delivered + stats.dropped == 1
        assert_law(stats)

    def test_settle_wakes_all_waiting_threads(self, queue: Queue) -> None:
        """Each flush returns as soon as the entries are delivered, before its time limit."""
        queue.append(entry("x"), INFO)
        queue.take(1, ROOMY)
        woken: list[bool] = []

        def wait() -> None:
            with queue.lock:
                woken.append(queue.settled.wait(30))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: len(queue.settled._waiters) == 3)  # type: ignore[attr-defined]
        queue.settle(1)
        for thread in threads:
            thread.join(60)

        assert woken == [True] * 3


class Waking:
    def wait_for_change(self, queue: Queue, cause: Callable[[], object]) -> bool:
        """Return True if `cause` wakes a thread that waits for `changed`."""

        def wait() -> None:
            with queue.lock:
                queue.changed.wait(30)

        waiters = queue.changed._waiters  # type: ignore[attr-defined]
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: len(waiters) == 1)
        cause()
        with queue.lock:
            is_woken = not waiters
            queue.changed.notify_all()
        thread.join(30)
        return is_woken

    @pytest.mark.parametrize("lane", [CRITICAL, TICKET_LANE])
    def test_urgent_entry_wakes_the_worker(self, queue: Queue, lane: int) -> None:
        """A critical or ticket entry immediately wakes the worker."""
        assert self.wait_for_change(queue, lambda: queue.append(entry("x"), lane))
        assert queue.is_urgent

    @pytest.mark.parametrize("lane", [INFO, ERROR, NOTICE_LANE])
    def test_ordinary_entry_does_not_wake_the_worker(self, queue: Queue, lane: int) -> None:
        """An ordinary entry, or a notice of a loss, does not wake the worker."""
        assert not self.wait_for_change(queue, lambda: queue.append(entry("x"), lane))

    def test_full_batch_wakes_the_worker(self, queue: Queue) -> None:
        """Only the entry that completes a full batch wakes the worker."""
        queue.ledger.wake_at = 2

        assert not self.wait_for_change(queue, lambda: queue.append(entry("x"), INFO))
        assert self.wait_for_change(queue, lambda: queue.append(entry("x"), INFO))
        assert queue.ledger.wake_at == NEVER


class Threads:
    def test_entries_of_eight_threads_arrive_once_and_the_law_holds(
        self, make_queue: MakeQueue
    ) -> None:
        """Eight threads append entries while one thread delivers and another reads the counts."""
        total, threads = 400, 8
        queue = make_queue(total * threads)
        delivered: list[bytes] = []
        seen: list[Stats] = []
        has_ended = threading.Event()

        def produce(number: int) -> None:
            for count in range(total):
                queue.append(entry(f"{number}-{count}"), count % len(LANES))

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
            own = [line for line in delivered if line.startswith(entry(f"{number}-")[:-2])]
            assert own == [entry(f"{number}-{count}") for count in range(total)]
        for stats in seen:
            assert_law(stats)

    def test_stats_are_of_one_moment_while_another_thread_settles(
        self, make_queue: MakeQueue
    ) -> None:
        """While `stats` reads the counts, no other thread can settle an entry."""
        at = 0
        has_come = True
        while has_come:
            at += 1
            queue = make_queue(10)
            for _ in range(2):
                queue.append(entry("x"), INFO)
            queue.take(1, ROOMY)
            with Interruption(at, partial(elsewhere, partial(settle_if_free, queue))) as looking:
                stats = queue.stats()
            has_come = looking.has_come
            assert_law(stats)
            queue.close("closed")
        assert at > 5


def settle_if_free(queue: Queue) -> None:
    """Settle an entry if no other thread holds the lock."""
    if queue.lock.acquire(blocking=False):
        try:
            queue.settle(1)
        finally:
            queue.lock.release()


def elsewhere(function: Callable[[], object]) -> None:
    """Call a function in another thread, and wait until the function ends."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(20)


def run_together(
    threads: list[threading.Thread], until_then: list[threading.Thread], has_ended: threading.Event
) -> None:
    """Run all threads with frequent switches, and end the threads in `until_then` last."""
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


class Signals:
    files: tuple[str, ...] = FILES  # the files in which a handler can run

    def test_stats_are_of_one_moment_though_a_handler_logs(self, make_queue: MakeQueue) -> None:
        """If a signal handler logs at any place inside `stats`, the counts still add up."""
        at = 0
        has_come = True
        while has_come:
            at += 1
            queue = make_queue(2)
            for _ in range(5):
                queue.append(entry("x"), INFO)
            foreign = partial(queue.append, entry("y"), INFO)
            with Interruption(at, foreign, self.files) as interruption:
                stats = queue.stats()
            has_come = interruption.has_come
            assert_law(stats)
            queue.close("closed")
        assert at > 5

    @pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
    @pytest.mark.parametrize("max_entries", [20, 1_000_000])
    def test_handler_that_logs_all_the_time_loses_no_count(
        self, make_queue: MakeQueue, max_entries: int, alarm: Any
    ) -> None:
        """If a handler logs 1,000 times a second, nothing blocks, and all entries are counted."""
        queue = make_queue(max_entries)
        by_handler = by_main = 0

        def handle(*_: object) -> None:
            nonlocal by_handler
            by_handler += 1
            queue.append(entry("y" * (by_handler % 50)), by_handler % 3)

        alarm(handle)
        end = time.monotonic() + 30
        while by_handler < 100 and time.monotonic() < end:
            by_main += 1
            queue.append(entry("x" * (by_main % 70)), by_main % 3)
            if by_main % 40 == 0:
                queue.take(10, ROOMY)
                queue.settle(10)
        alarm(None)
        while batch := queue.take(100_000, NEVER):
            queue.settle(len(batch))

        stats = queue.stats()
        assert by_handler >= 100
        assert stats.accepted == by_main + by_handler
        assert (stats.pending, stats.pending_bytes, queue.fill()) == (0, 0, 0)
        assert_law(stats)


@pytest.fixture
def alarm() -> Iterator[Callable[[Any], None]]:
    """Call a signal handler about a thousand times a second, until the handler is None."""
    before = signal.getsignal(signal.SIGALRM)

    def set_alarm(handler: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if handler is not None:
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

    yield set_alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@cache
def following(code: CodeType) -> dict[int, tuple[str, int]]:
    """Return the name of each instruction, and the offset of the next instruction."""
    found = list(dis.get_instructions(code))
    ends = [instruction.offset for instruction in found[1:]] + [len(code.co_code)]
    return {here.offset: (here.opname, end) for here, end in zip(found, ends, strict=True)}


class Interruption:
    """Run `foreign` at the `at`-th place in `files` where CPython runs signal handlers.

    CPython runs handlers at the start of a function, after a call and at a backward jump (in 3.10:
    at any jump).
    """

    def __init__(
        self,
        at: int,
        foreign: Callable[[], object],
        files: tuple[str, ...] = FILES,
    ) -> None:
        self.at, self.foreign, self.count = at, foreign, 0
        self.files = files
        self.last: dict[FrameType, int] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> Interruption | None:
        if self.has_come or frame.f_code.co_filename not in self.files:
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
        return "CALL" in name and name != "PRECALL"  # `PRECALL` only prepares a call.

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


class AfterCall:
    """Run `foreign` directly after the `at`-th call of the function `name`, as a handler would.

    A profile function runs `foreign`, because a trace function would turn coverage off.
    """

    def __init__(self, name: str, foreign: Callable[[], object], at: int = 1) -> None:
        self.name, self.foreign, self.left = name, foreign, at

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        names = {"return": frame.f_code.co_name, "c_return": getattr(argument, "__name__", "")}
        if names.get(event) == self.name:
            self.left -= 1
            if not self.left:
                sys.setprofile(None)
                self.foreign()

    def __enter__(self) -> AfterCall:
        sys.setprofile(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        assert not self.left, f"{self.name} was called too rarely"
