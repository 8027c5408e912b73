"""While there is a backlog, the queue chooses which entries the next request carries."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.spooling import leave
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import CRITICAL, INFO, TICKET_LANE
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    MakeQueue = Callable[..., SpoolQueue]

KIB = 1024
NOWHERE: Any = SimpleNamespace(url="nowhere")


@pytest.fixture
def make_queue(folder: Path) -> Iterator[MakeQueue]:
    """Return a function that makes a queue with a given number of adopted entries."""
    made: list[SpoolQueue] = []

    def make(adopted: int = 0, max_bytes: int = 16 << 20) -> SpoolQueue:
        if adopted:
            leave(folder, NOWHERE, [f"old {number}" for number in range(adopted)])
        spool = SpoolSettings(folder, max_bytes, None, NOWHERE.url)
        made.append(SpoolQueue(10_000, 1 << 20, spool, Diagnostics()))
        made[-1].maintain()
        assert made[-1].stats().adopted == adopted
        return made[-1]

    yield make
    for queue in made:
        queue.close("closed")


def entry(text: object, size: int = 0) -> bytes:
    return json.dumps({"message": str(text), "tags": ["x" * size]}).encode()


def request(queue: SpoolQueue, entries: int = 100, size: int = 1 << 20) -> list[str]:
    """Take the next batch, settle it as delivered, and return its messages."""
    batch = queue.take(entries, size)
    queue.settle(len(batch))
    return [json.loads(payload)["message"] for *_, payload in batch]


@pytest.mark.parametrize("lane", [CRITICAL, TICKET_LANE])
def test_what_is_urgent_has_the_next_request(make_queue: MakeQueue, lane: int) -> None:
    """The next request carries a critical or ticket entry before entries of dead processes."""
    queue = make_queue(1000)
    for number in range(5):
        assert request(queue, 10) == [f"old {10 * number + count}" for count in range(10)]
        queue.append(entry("now"), lane)
        queue.clear_urgent()  # the worker also calls this before `take`
        assert request(queue, 10) == ["now"]


def test_what_is_urgent_all_the_time_leaves_a_turn_to_the_backlog(make_queue: MakeQueue) -> None:
    """If a process logs critical entries all the time, every fourth request carries the backlog."""
    queue = make_queue(1000)
    turns = []
    for _ in range(12):
        queue.append(entry("now"), CRITICAL)
        turns.append("now" in request(queue, 10))

    assert turns == [True, True, True, False] * 3


def test_at_the_end_a_process_sends_its_own_though_they_are_a_backlog(
    make_queue: MakeQueue,
) -> None:
    """When a process ends, every second request carries the process's own entries."""
    queue = make_queue(1000)
    for number in range(3000):
        queue.append(entry(f"own {number}", 400), INFO)
    assert request(queue, 10) == [f"old {number}" for number in range(10)]
    queue.is_ending = True

    assert [request(queue, 10)[0] for _ in range(4)] == ["own 0", "old 10", "own 10", "old 20"]


class Waits:
    """Counts how many requests each new entry waits for."""

    def __init__(self, queue: SpoolQueue) -> None:
        self.queue = queue
        self.logged_at: list[int] = []
        self.requests: list[list[str]] = []

    def go_on(self, requests: int, new: int, size: int = 1000, **bounds: int) -> None:
        """Make requests, and log `new` entries before each request."""
        for _ in range(requests):
            for _ in range(new):
                self.queue.append(entry(f"new {len(self.logged_at)}", size), INFO)
                self.logged_at.append(len(self.requests))
            self.requests.append(request(self.queue, **bounds))

    def sent(self, kind: str = "new") -> list[int]:
        """Return the numbers of the sent entries, in the order of sending."""
        texts = [text.split() for each in self.requests for text in each]
        return [int(number) for word, number in texts if word == kind]

    def longest(self) -> int:
        """Return the largest number of requests that a new entry has waited for."""
        sent_at = {text: at for at, each in enumerate(self.requests) for text in each}
        end = len(self.requests)
        return max(
            sent_at.get(f"new {number}", end) - at for number, at in enumerate(self.logged_at)
        )


def test_a_new_entry_waits_for_three_requests_at_the_most(make_queue: MakeQueue) -> None:
    """A new entry waits for at most three requests, even while many files are written."""
    queue = make_queue(12_000, max_bytes=4 << 20)
    waits = Waits(queue)
    waits.go_on(120, new=10)

    assert waits.longest() == 3
    assert waits.sent() == sorted(waits.sent())
    assert waits.sent("old") == list(range(len(waits.sent("old"))))
    assert len(waits.sent("old")) > 7000


def test_a_new_entry_does_not_wait_for_those_of_an_outage(make_queue: MakeQueue) -> None:
    """New entries do not wait for the entries that were logged during an outage."""
    queue = make_queue()
    waits = Waits(queue)
    for number in range(3000):
        queue.append(entry(f"old {number}", 400), INFO)
    waits.go_on(1, new=0)
    waits.go_on(100, new=20)

    assert waits.longest() == 3
    assert waits.sent("old") == list(range(3000))
    assert waits.sent() == sorted(waits.sent())


def test_a_second_outage_is_as_the_first(make_queue: MakeQueue) -> None:
    """New entries do not wait for the entries of a second outage either."""
    queue = make_queue(20_000)
    waits = Waits(queue)
    waits.go_on(10, new=10)
    assert waits.longest() == 3
    for number in range(3000):
        queue.append(entry(f"late {number}", 400), INFO)
    waits.go_on(4, new=10)
    waits = Waits(queue)
    waits.go_on(100, new=20)

    assert waits.longest() == 3
    assert len(waits.sent("old")) > 3000


def test_few_entries_keep_their_order(make_queue: MakeQueue) -> None:
    """Entries that do not fill a segment are sent in order, even if this takes many requests."""
    queue = make_queue()
    waits = Waits(queue)
    for _ in range(20):
        waits.go_on(1, new=50, size=0, entries=20)

    assert waits.sent() == list(range(400))


@pytest.mark.parametrize("requests", [1, 7, 40, 90])
def test_entries_of_all_turns_are_settled_where_they_stand(
    make_queue: MakeQueue, folder: Path, requests: int
) -> None:
    """When a process is killed, the next process sends each remaining entry exactly once."""
    queue = make_queue(1500)
    waits = Waits(queue)
    waits.go_on(requests, new=70, entries=40)
    sent = [text for each in waits.requests for text in each]
    queue.take(40, 1 << 20)  # the taken entries stay in flight
    queue.close("killed")
    following = SpoolQueue(
        10_000, 1 << 20, SpoolSettings(folder, 16 << 20, None, NOWHERE.url), Diagnostics()
    )
    following.maintain()
    while batch := request(following):
        sent += batch
    following.close("closed")

    expected = [f"old {number}" for number in range(1500)]
    expected += [f"new {number}" for number in range(len(waits.logged_at))]
    assert sorted(sent) == sorted(expected)
    assert list(folder.iterdir()) == []


def test_a_long_backlog_takes_few_files_and_little_memory(make_queue: MakeQueue) -> None:
    """While a long backlog is sent, few files are open, and few lines are in memory."""
    queue = make_queue(60_000, max_bytes=64 << 20)
    queue._store.segment_bytes = 64 * KIB
    waits = Waits(queue)
    files, read = [], []
    for _ in range(12):
        waits.go_on(25, new=100, entries=40)
        files.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - only a count
        read.append(
            sum(len(s._lines) for each in queue._store.all_owners() for s in each.segments())
        )

    assert len(list(queue._store.own.segments())) > 100  # type: ignore[union-attr]
    assert max(files) <= files[0] + 2
    assert max(read) < 3 * 2000
