"""What every queue promises, whether it keeps entries in memory or on the disk.

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

from tests.support.loggers import until
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
from voyage_logger._queue import contract, flight, lanes, ledger, memory
from voyage_logger._queue.lanes import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

    from voyage_logger import Stats
    from voyage_logger._queue.contract import Queue
    from voyage_logger._queue.lanes import Record

    MakeQueue = Callable[[int], Queue]  # of how many entries it holds

ROOMY = 1 << 30
FILES = tuple(str(each.__file__) for each in (memory, ledger, flight, lanes, contract))


def entry(text: object) -> bytes:
    """An encoded entry."""
    return b'{"m":"%b"}' % str(text).encode()


def assert_law(stats: Stats) -> None:
    """Accepted is delivered, rejected, dropped and pending; and the reasons add up."""
    assert stats.accepted == stats.delivered + stats.rejected + stats.dropped + stats.pending
    assert stats.rejected == sum(stats.rejected_by.values())
    assert stats.dropped == sum(stats.dropped_by.values())


def payloads(records: list[Record]) -> list[bytes]:
    return [bytes(payload) for _, _, payload in records]


def take_all(queue: Queue) -> list[bytes]:
    return payloads(queue.take(NEVER, NEVER))


@pytest.fixture
def queue(make_queue: MakeQueue) -> Queue:
    return make_queue(1000)


class Order:
    def test_of_taking_is_that_of_appending(self, queue: Queue) -> None:
        """Entries of all levels are sent in the order of their log calls."""
        for number in range(50):
            queue.append(entry(number), number * 5 % len(LANES))

        assert take_all(queue) == [entry(number) for number in range(50)]

    def test_is_kept_over_several_requests(self, queue: Queue) -> None:
        """What one request leaves behind is the next one's, in order."""
        for number in range(10):
            queue.append(entry(number), number % 3)
        seen = []
        while batch := queue.take(3, ROOMY):
            seen += payloads(batch)
            queue.settle(len(batch))

        assert seen == [entry(number) for number in range(10)]

    def test_those_in_flight_come_again_alone(self, queue: Queue) -> None:
        """A batch is sent again as it was, whatever has come in between."""
        queue.append(entry("first"), INFO)
        queue.take(10, ROOMY)
        queue.append(entry("second"), CRITICAL)

        assert take_all(queue) == [entry("first")]


class Take:
    def test_keeps_to_a_number_of_entries(self, queue: Queue) -> None:
        """A request carries as many entries as it may, and no more."""
        for _ in range(5):
            queue.append(entry("x"), INFO)

        assert len(queue.take(3, ROOMY)) == 3

    @pytest.mark.parametrize(("room", "count"), [(22, 2), (21, 1), (11, 1), (10, 1), (1, 1)])
    def test_keeps_to_a_number_of_bytes(self, queue: Queue, room: int, count: int) -> None:
        """Each entry counts with its comma; the first goes whatever its size."""
        for _ in range(3):
            queue.append(entry("xx"), INFO)

        assert len(queue.take(10, room)) == count

    def test_of_nothing_is_nothing(self, queue: Queue) -> None:
        """An empty queue gives an empty batch."""
        assert queue.take(10, ROOMY) == []


@dataclass(frozen=True)
class Bounded:
    """A queue to be filled with entries of one size.

    Attributes:
        queue: The queue.
        size: The bytes of an entry.
        capacity: How many it holds.
        granule: How many of a level it gives up at once.
        reason: What it says of those.
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
        """Fills it with entries of some levels in turn, and gives their texts."""
        texts = [f"{LANES[lanes[n % len(lanes)]]} {n}" for n in range(self.capacity)]
        for number, text in enumerate(texts):
            self.append(text, lanes[number % len(lanes)])
        assert not self.queue.losses()
        return texts

    def take_all(self) -> list[str]:
        self.queue.clear_urgent()  # as the worker does
        found = [payload.split(b'"')[3].decode() for payload in take_all(self.queue)]
        self.queue.settle(len(found))
        return found

    def assert_lost(self, *expected: tuple[int, int]) -> None:
        """Checks the losses, given as lanes and numbers."""
        assert self.queue.losses() == Counter(
            {(self.reason, lane): count for lane, count in expected}
        )
        assert self.queue.stats().dropped_by == {self.reason: sum(n for _, n in expected)}
        assert_law(self.queue.stats())


class FullQueue:
    def test_gives_up_the_lowest_level_first(self, full: Bounded) -> None:
        """An old debug line goes before a new error, even the newest of them."""
        texts = full.fill(INFO, DEBUG, ERROR, DEBUG)
        full.append("one more", ERROR)

        low = [text for text in texts if text.startswith("debug")][: full.granule]
        full.assert_lost((DEBUG, full.granule))
        assert full.take_all() == [text for text in texts if text not in low] + ["one more"]

    def test_gives_up_the_oldest_of_a_level_first(self, full: Bounded) -> None:
        """Of equal entries the newest tell most."""
        texts = full.fill(INFO)
        full.append("one more", INFO)

        full.assert_lost((INFO, full.granule))
        assert full.take_all() == [*texts[full.granule :], "one more"]

    @pytest.mark.parametrize("lane", [INFO, ERROR, CRITICAL, TICKET_LANE, NOTICE_LANE])
    def test_gives_up_nothing_for_an_entry_of_a_lower_level(self, full: Bounded, lane: int) -> None:
        """A debug line that finds nothing but better ones is itself the one to go."""
        texts = full.fill(lane)
        for number in range(3):
            full.append(f"late {number}", lane - 1)

        full.assert_lost((lane - 1, 3))
        assert full.take_all() == texts

    @pytest.mark.parametrize("lane", [ERROR, CRITICAL, TICKET_LANE, NOTICE_LANE])
    def test_gives_up_nothing_important_while_anything_lower_waits(
        self, full: Bounded, lane: int
    ) -> None:
        """A flood of all lower levels cannot push out one important entry."""
        full.append("important", lane)
        for number in range(10 * full.capacity):
            full.append(f"{number}", number % lane)

        assert (full.reason, lane) not in full.queue.losses()
        assert full.take_all()[0] == "important"

    def test_gives_up_one_level_after_the_other(self, full: Bounded) -> None:
        """Tickets take the place of all others, from the lowest level upward, and no more."""
        lanes = (DEBUG, INFO, WARN, ERROR)
        full.fill(*lanes)
        lost = Counter[tuple[str, int]]()
        for number in range(full.capacity):
            full.append(f"ticket {number}", TICKET_LANE)
            now = full.queue.losses()
            given_up = {lane for _, lane in now - lost}
            lost = now
            for lane in given_up:
                assert all(
                    now[full.reason, lower] == full.capacity // len(lanes)
                    for lower in lanes
                    if lower < lane
                )

        full.assert_lost(*[(lane, full.capacity // len(lanes)) for lane in lanes])
        assert full.take_all() == [f"ticket {number}" for number in range(full.capacity)]

    def test_never_gives_up_what_is_in_flight(self, full: Bounded) -> None:
        """A request under way is complete however much comes meanwhile."""
        texts = full.fill(DEBUG)
        assert len(full.queue.take(2, ROOMY)) == 2
        for number in range(3 * full.capacity):
            full.append(f"critical {number}", CRITICAL)

        assert full.queue.losses()[full.reason, DEBUG] == full.capacity - 2
        assert full.take_all() == texts[:2]
        assert_law(full.queue.stats())

    def test_never_gives_up_what_is_in_flight_of_several_levels(self, full: Bounded) -> None:
        """The same for a request with entries of many levels, of which others wait."""
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

    def test_gives_up_no_more_than_it_must(self, full: Bounded) -> None:
        """A queue that has given up entries is full but for what goes at once."""
        for number in range(5 * full.capacity):
            full.append(number, INFO)
            assert len(full.queue) <= full.capacity
            assert_law(full.queue.stats())
            assert not full.queue.losses() or len(full.queue) > full.capacity - full.granule


class Settle:
    def test_more_than_is_in_flight_ends_what_is(self, queue: Queue) -> None:
        """Entries abandoned while their request was under way are not counted twice."""
        queue.append(entry("x"), INFO)
        queue.take(1, ROOMY)
        queue.drop_all("closed")
        queue.settle(1)

        stats = queue.stats()
        assert stats.delivered + stats.dropped == 1
        assert_law(stats)

    def test_wakes_all_who_wait_for_it(self, queue: Queue) -> None:
        """Each flush ends with the delivery, not with its time limit."""
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
        """Whether that wakes who waits: known once it is done, however long it takes."""

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
    def test_comes_with_an_urgent_entry(self, queue: Queue, lane: int) -> None:
        """A critical or ticket entry wakes the worker at once."""
        assert self.wait_for_change(queue, lambda: queue.append(entry("x"), lane))
        assert queue.is_urgent

    @pytest.mark.parametrize("lane", [INFO, ERROR, NOTICE_LANE])
    def test_does_not_come_with_an_ordinary_entry(self, queue: Queue, lane: int) -> None:
        """An ordinary entry, or our own notice of a loss, waits for its batch."""
        assert not self.wait_for_change(queue, lambda: queue.append(entry("x"), lane))

    def test_comes_with_as_many_entries_as_were_asked_for(self, queue: Queue) -> None:
        """A full batch wakes the worker; one entry less does not."""
        queue.ledger.wake_at = 2

        assert not self.wait_for_change(queue, lambda: queue.append(entry("x"), INFO))
        assert self.wait_for_change(queue, lambda: queue.append(entry("x"), INFO))
        assert queue.ledger.wake_at == NEVER


class Threads:
    def test_lose_nothing_and_count_everything(self, make_queue: MakeQueue) -> None:
        """Eight threads append while one delivers: each entry once, and the law at each look."""
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

    def test_get_in_nowhere_while_one_looks_at_the_counts(self, make_queue: MakeQueue) -> None:
        """Whatever place of `stats` the system stops a thread at, its counts are of one moment."""
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
    """Ends the flight of an entry, unless the queue is held."""
    if queue.lock.acquire(blocking=False):
        try:
            queue.settle(1)
        finally:
            queue.lock.release()


def elsewhere(function: Callable[[], object]) -> None:
    """Calls a function in another thread, to its end."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(20)


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


class Signals:
    files: tuple[str, ...] = FILES  # where a handler may come in

    def test_in_the_middle_of_stats_leave_them_those_of_one_moment(
        self, make_queue: MakeQueue
    ) -> None:
        """A handler that logs while its thread looks at the counts makes no entry appear twice."""
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
    def test_by_signals_loses_nothing_in_silence(
        self, make_queue: MakeQueue, max_entries: int, alarm: Any
    ) -> None:
        """A handler that logs a thousand times a second neither hangs nor loses count."""
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
