"""A signal handler can log while the interrupted code writes to the spool or reads from it."""

from __future__ import annotations

import errno
import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.contracts.queue import AfterCall, Interruption, entry, payloads
from tests.support.loggers import assert_law
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import ERROR, INFO
from voyage_logger._queue import memory
from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool import (
    SpoolQueue,
    SpoolSettings,
    disk_failure,
    owner,
    reader,
    segments,
    store,
    turns,
    writer,
)
from voyage_logger._queue.spool import folder as _folder
from voyage_logger._queue.spool import queue as _queue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = tuple(
    str(module.__file__) for module in (_folder, store, owner, segments, disk_failure, writer)
)


def test_anywhere_in_the_first_log_call_loses_no_entry(tmp_path: Path) -> None:
    """If a handler logs during the first log call, no entry is lost, and one lock file is made."""
    at = 0
    has_come = True
    while has_come:
        at += 1
        folder = tmp_path / str(at)
        spool = SpoolSettings(folder, 1 << 20, None, "nowhere")
        queue = SpoolQueue(100, 1 << 20, spool, Diagnostics())
        with Interruption(at, lambda queue=queue: queue.append(entry("y"), INFO), FILES) as it:  # type: ignore[misc]
            queue.append(entry("x"), INFO)
        has_come = it.has_come

        assert len(list(folder.glob("*.lock"))) == 1, f"place {at}"
        taken = payloads(queue.take(NEVER, NEVER))
        assert sorted(taken) == [entry("x")] + [entry("y")] * has_come, f"place {at}"
        queue.settle(len(taken))
        stats = queue.stats()
        assert_law(stats)
        assert (stats.delivered, stats.pending) == (1 + has_come, 0), f"place {at}"
        queue.close("closed")
        assert list(folder.iterdir()) == [], f"place {at}"
    assert at > 50


def test_anywhere_in_a_take_changes_no_lane_under_it(tmp_path: Path) -> None:
    """If a handler starts a new segment while the worker takes entries, the worker continues."""
    at = 0
    has_come = True
    while has_come:
        at += 1
        folder = tmp_path / str(at)
        spool = SpoolSettings(folder, 1 << 20, None, "nowhere")
        queue = SpoolQueue(100, 1 << 20, spool, Diagnostics())
        queue.append(entry("x" * 60_000), INFO)
        queue.take(NEVER, NEVER)
        queue.settle(1)  # the segment stays, because it is the active segment
        late = entry("y" * 10_000)
        with Interruption(
            at,
            lambda queue=queue, late=late: queue.append(late, INFO),  # type: ignore[misc]
            tuple(str(each.__file__) for each in (_queue, reader, turns)),
        ) as it:
            queue.take(NEVER, NEVER)
        has_come = it.has_come

        assert payloads(queue.take(NEVER, NEVER)) == [late] * has_come, f"place {at}"
        queue.settle(has_come)
        assert_law(queue.stats())
        queue.close("closed")
        assert list(folder.iterdir()) == [], f"place {at}"
    assert at > 20


def test_drop_all_anywhere_in_a_take_leaves_each_entry_on_the_disk_once(tmp_path: Path) -> None:
    """If a handler calls `drop_all`, each entry on the disk is still taken exactly once."""
    at = 0
    has_come = True
    while has_come:
        at += 1
        spool = SpoolSettings(tmp_path / str(at), 1 << 20, None, "nowhere")
        queue = SpoolQueue(100, 1 << 20, spool, Diagnostics())
        expected = [entry(number) for number in range(3)]
        for payload in expected:
            queue.append(payload, INFO)
        with Interruption(
            at,
            lambda queue=queue: queue.drop_all("closed"),  # type: ignore[misc]
            tuple(str(each.__file__) for each in (_queue, reader, turns)),
        ) as it:
            queue.settle(len(taken := queue.take(2, NEVER)))
        has_come = it.has_come

        taken += (rest := queue.take(NEVER, NEVER))
        assert payloads(taken) == expected, f"place {at}"
        queue.settle(len(rest))
        stats = queue.stats()
        assert_law(stats)
        assert (stats.delivered, stats.pending_bytes) == (3, 0), f"place {at}"
        queue.close("closed")
    assert at > 20


class Disk:
    """Replaces `os.write`: some writes fail, and a handler runs right after a failed write.

    Args:
        outer: How the first write of a line that contains "outer" fails: "half" or "error".
        nested: The results of writes of lines that contain "nested": "whole", "half" or "error".
        handler: The function to call after the first write of a line with "outer".
    """

    def __init__(self, outer: str, nested: list[str], handler: Callable[[], object]) -> None:
        self._write = os.write
        self._outer, self._nested, self._handler = [outer], list(nested), handler

    def __call__(self, descriptor: int, data: bytes) -> int:
        if b"outer" in data and self._outer:
            return self._do(self._outer.pop(), descriptor, data, self._handler)
        if b"nested" in data and self._nested:
            return self._do(self._nested.pop(0), descriptor, data, lambda: None)
        return self._write(descriptor, data)

    def _do(self, what: str, descriptor: int, data: bytes, then: Callable[[], object]) -> int:
        half = {"whole": len(data), "half": len(data) // 2, "error": 0}[what]
        written = self._write(descriptor, data[:half]) if half else 0
        then()
        if what == "error":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return written


@pytest.mark.parametrize("outer", ["half", "error"])
def test_anywhere_in_a_log_call_whose_write_fails_loses_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outer: str
) -> None:
    """A failed write is undone, and an entry that a handler logs meanwhile is not damaged."""
    files = tuple(str(each.__file__) for each in (_queue, writer, segments, disk_failure, owner))
    at = 0
    has_come = True
    while has_come:
        at += 1
        spool = SpoolSettings(tmp_path / str(at), 1 << 20, None, "nowhere")
        queue = SpoolQueue(100, 1 << 20, spool, Diagnostics())
        expected = [entry("first"), entry("outer" + "x" * 100)]
        queue.append(expected[0], INFO)
        monkeypatch.setattr(os, "write", Disk(outer, [], lambda: None))
        with Interruption(at, lambda queue=queue: queue.append(entry("late"), INFO), files) as it:  # type: ignore[misc]
            queue.append(expected[1], INFO)
        has_come = it.has_come
        monkeypatch.undo()

        used = sum(path.stat().st_size for path in (tmp_path / str(at)).glob("*.ndjson"))
        assert queue._store.size == used, f"place {at}"
        taken = []
        for _ in range(3):  # Entries in memory and on the disk need separate batches.
            taken += payloads(batch := queue.take(100, 1 << 20))
            queue.settle(len(batch))
        assert sorted(taken) == sorted(expected + [entry("late")] * has_come), f"place {at}"
        assert_law(queue.stats())
        queue.close("closed")
    assert at > 20


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("outer", ["half", "error"])
@pytest.mark.parametrize(
    "nested",
    [[], ["half"], ["error"], ["whole", "whole", "half"], ["whole", "half"], ["whole"] * 3],
    ids="-".join,
)
def test_right_after_a_write_that_fails_loses_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outer: str, nested: list[str], before: int
) -> None:
    """If a handler logs right after a write that fails, all entries are delivered."""
    spool = SpoolSettings(tmp_path / "spool", 1 << 20, None, "nowhere")
    queue = SpoolQueue(100, 1 << 20, spool, Diagnostics())
    expected = [entry(f"first {number}") for number in range(before)]
    for payload in expected:
        queue.append(payload, INFO)
    expected += [entry("nested 1"), entry("nested 2"), entry("outer" + "x" * 100)]

    def handler() -> None:
        for payload in expected[before : before + 2]:
            queue.append(payload, INFO)

    monkeypatch.setattr(os, "write", Disk(outer, nested, handler))
    queue.append(expected[-1], INFO)
    monkeypatch.undo()

    lines = [
        line
        for path in (tmp_path / "spool").glob("*.info.*")
        for line in path.read_bytes().splitlines()
    ]
    assert [json.loads(line)["m"] for line in lines] == [
        json.loads(payload)["m"] for payload in expected[: len(lines)]
    ]
    assert_law(queue.stats())
    assert len(queue) == len(expected)
    assert queue._store.size == sum(map(len, lines)) + len(lines)
    taken = []
    for _ in range(3):  # entries in memory and on the disk need separate batches
        taken += payloads(batch := queue.take(100, 1 << 20))
        queue.settle(len(batch))
    assert sorted(taken) == sorted(expected)
    assert_law(queue.stats())
    queue.close("closed")
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("outer", ["half", "error"])
def test_that_gives_up_what_is_being_written_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outer: str
) -> None:
    """If a write fails and a handler then fills the spool, each entry is counted once."""
    spool = SpoolSettings(tmp_path / "spool", 256 << 10, None, "nowhere")
    queue = SpoolQueue(100, 1 << 20, spool, Diagnostics())
    queue.append(entry("first"), INFO)

    def handler() -> None:
        for _ in range(16):
            queue.append(entry("nested" + "x" * 16_300), ERROR)

    monkeypatch.setattr(os, "write", Disk(outer, [], handler))
    queue.append(entry("outer" + "x" * 16_300), INFO)
    monkeypatch.undo()

    stats = queue.stats()
    assert_law(stats)
    assert (stats.accepted, stats.dropped_by) == (18, {"spool_full": 2})
    batch = queue.take(100, 1 << 20)
    assert len(batch) == 16
    queue.settle(len(batch))
    assert_law(queue.stats())
    used = sum(path.stat().st_size for path in (tmp_path / "spool").glob("*.ndjson"))
    assert (queue._store.size, len(queue)) == (used, 0)
    queue.close("closed")


def test_a_take_ends_though_less_is_there_than_counts(tmp_path: Path) -> None:
    """If a segment has fewer entries than were counted, `take` ends, and later entries arrive."""
    spool = SpoolSettings(tmp_path / "spool", 1 << 20, None, "nowhere")
    queue = SpoolQueue(100, 1 << 20, spool, Diagnostics())
    queue.append(entry("x"), ERROR)
    queue.settle(len(queue.take(10, 1 << 20)))
    (segment,) = queue._store.own.segments()  # type: ignore[union-attr]
    segment.entries += 1
    segment.head = 0

    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take(10, 1 << 20)), daemon=True)
    thread.start()
    thread.join(30)
    assert taken == [[]]
    queue.append(entry("y"), INFO)
    assert payloads(queue.take(10, 1 << 20)) == [entry("y")]
    queue.settle(1)
    segment.entries -= 1
    queue.close("closed")


LARGE = "x" * 16_300  # Four entries of this size fill a file, and sixteen fill a spool of 256 KiB.


def spool_queue(folder: Path) -> SpoolQueue:
    spool = SpoolSettings(folder / "spool", 256 << 10, None, "nowhere")
    return SpoolQueue(100, 1 << 20, spool, Diagnostics())


def fill(queue: SpoolQueue, count: int = 16) -> None:
    """Fill a spool with error entries, so that it sheds all entries of lower levels."""
    for number in range(count):
        queue.append(entry(f"error {number} {LARGE}"), ERROR)


def take_rounds(queue: SpoolQueue, count: int = 3) -> list[bytes]:
    """Take and settle several batches: entries in memory and on the disk need separate batches."""
    taken = []
    for _ in range(count):
        taken += payloads(batch := queue.take(100, 1 << 30))
        queue.settle(len(batch))
    return taken


def test_handler_that_fills_the_chosen_file_loses_no_entry(tmp_path: Path) -> None:
    """If a handler fills and seals the file that a log call has chosen, no entry is lost."""
    queue = spool_queue(tmp_path)
    expected = [entry(f"late {number} {LARGE}") for number in range(5)] + [entry("first")]
    with AfterCall("_segment_for", lambda: [queue.append(late, INFO) for late in expected[:5]]):
        queue.append(expected[5], INFO)

    assert sorted(take_rounds(queue)) == sorted(expected)
    assert_law(queue.stats())
    queue.close("closed")


def test_handler_that_sheds_a_file_after_a_failed_read_counts_its_entries_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a file is shed just after a failed read, its entries count as dropped only once."""
    queue = spool_queue(tmp_path)
    queue.append(entry("info"), INFO)
    read = os.read

    def broken(*_: object) -> bytes:
        disk.setattr(os, "read", read)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as disk, AfterCall("stop_reading", lambda: fill(queue, 17)):
        disk.setattr(os, "read", broken)
        queue.take(1, 1 << 30)

    taken = take_rounds(queue)
    assert entry("info") not in taken
    assert queue.stats().dropped_by == {"spool_full": 18 - len(taken)}
    assert_law(queue.stats())
    queue.close("closed")


def test_handler_that_removes_a_delivered_file_first_is_noticed(tmp_path: Path) -> None:
    """If a handler removes a file just before a log call does, the file's size counts once."""
    queue = spool_queue(tmp_path)
    queue.append(entry(LARGE * 4), INFO)  # fills a file
    assert len(take_rounds(queue, 1)) == 1
    with AfterCall("is_settled", lambda: fill(queue)):
        queue.append(entry("y" + LARGE), INFO)

    assert queue._store.size == sum(path.stat().st_size for path in segments_in(tmp_path))
    taken = take_rounds(queue)
    stats = queue.stats()
    assert len(taken) == stats.delivered - 1
    assert (stats.accepted, stats.pending) == (18, 0)
    assert_law(stats)
    queue.close("closed")


def segments_in(folder: Path) -> list[Path]:
    return list((folder / "spool").glob("*.ndjson"))


def look_now(queue: SpoolQueue) -> None:
    queue._failure.look_at = 0.0
    queue.maintain()


def test_handler_whose_write_fails_stops_the_move_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk fails again while entries move to it, the remaining entries stay in memory."""
    queue = spool_queue(tmp_path)
    expected = [entry("first"), entry("second"), entry("nested")]
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", Disk("error", [], lambda: None))
        queue.append(entry("outer"), INFO)
    queue.append(expected[0], INFO)
    queue.append(expected[1], INFO)
    with (
        monkeypatch.context() as disk,
        AfterCall("write_all", lambda: queue.append(expected[2], INFO)),
    ):
        disk.setattr(os, "write", Disk("whole", ["error"], lambda: None))
        look_now(queue)

    assert queue._store.is_failing
    assert queue.stats().spooled == 1
    look_now(queue)
    assert queue.stats().spooled == 4
    assert sorted(take_rounds(queue)) == sorted([entry("outer"), *expected])
    assert_law(queue.stats())
    queue.close("closed")


def test_handler_that_sheds_the_line_that_moves_to_the_disk_counts_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a handler sheds an entry whose move to the disk fails, the entry is counted once."""
    queue = spool_queue(tmp_path)
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", Disk("error", [], lambda: None))
        queue.append(entry("outer" + LARGE), INFO)
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", Disk("error", [], lambda: fill(queue, 17)))
        look_now(queue)

    stats = queue.stats()
    assert stats.accepted == 18
    assert_law(stats)
    assert queue._store.size == sum(path.stat().st_size for path in segments_in(tmp_path))
    taken = take_rounds(queue)
    assert entry("outer" + LARGE) not in taken
    assert len(taken) == 18 - stats.dropped
    assert (queue.stats().pending, queue.stats().spooled) == (0, 0)
    queue.close("closed")


def test_entry_of_a_handler_during_a_release_stays_on_the_disk(tmp_path: Path) -> None:
    """If a handler logs while files are released, another process sends the handler's entry."""
    queue = spool_queue(tmp_path)
    queue.append(entry("first"), INFO)
    with AfterCall("seal_all", lambda: queue.append(entry("late"), INFO)):
        queue.release()
    queue.release()

    other = spool_queue(tmp_path)
    look_now(other)
    assert take_rounds(other) == [entry("first"), entry("late")]
    assert_law(other.stats())
    other.close("closed")


def test_segment_with_wrong_counts_does_not_hold_up_another(tmp_path: Path) -> None:
    """If a segment has fewer entries than its count says, the entries of other levels are sent."""
    queue = spool_queue(tmp_path)
    queue.append(entry("x"), ERROR)
    queue.settle(len(queue.take(10, 1 << 20)))
    (segment,) = queue._store.own.segments()  # type: ignore[union-attr]
    segment.entries += 1
    segment.head = 0
    queue.append(entry("y"), INFO)

    assert take_rounds(queue, 2) == [entry("y")]
    segment.entries -= 1
    queue.close("closed")


def test_corrupt_end_of_a_file_is_dropped_after_the_entries_before_it(tmp_path: Path) -> None:
    """While entries of a file are in flight, corrupt lines behind these entries wait."""
    queue = spool_queue(tmp_path)
    queue.append(entry("x"), INFO)
    queue.release()
    (path,) = segments_in(tmp_path)
    path.write_bytes(path.read_bytes() + b"garbage\n" * 60_000)
    other = spool_queue(tmp_path)
    look_now(other)

    assert payloads(other.take(10, 1 << 20)) == [entry("x")]
    assert 0 < other.stats().dropped < 60_000
    other.settle(1)
    assert other.take(10, 1 << 20) == []
    assert (other.stats().delivered, other.stats().dropped_by) == (1, {"corrupt": 60_000})
    assert_law(other.stats())
    other.close("closed")


@pytest.mark.parametrize("does_handler_shed", [False, True])
def test_handler_anywhere_in_a_move_to_the_disk_loses_no_entry(
    tmp_path: Path, *, does_handler_shed: bool
) -> None:
    """If a handler logs or sheds entries during a move to the disk, each entry counts once."""
    modules = (_queue, writer, segments, disk_failure, memory, store, owner)
    files = tuple(str(each.__file__) for each in modules)
    at = 0
    has_come = True
    while has_come:
        at += 1
        spool = SpoolSettings(tmp_path / str(at), 1 << 20, None, "nowhere")
        room = 4 if does_handler_shed else 5
        queue = SpoolQueue(room, 1 << 20, spool, Diagnostics())
        queue._store.is_failing = True
        expected = [entry(number) for number in range(4)]
        for payload in expected:
            queue.append(payload, INFO)

        def handler(queue: SpoolQueue = queue) -> None:
            if does_handler_shed:
                queue._failure.begin(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            queue.append(entry("late"), ERROR)

        with Interruption(at, handler, files) as it, queue.lock:
            queue._writer.move_to_disk()
        has_come = it.has_come
        look_now(queue)

        taken = take_rounds(queue)
        stats = queue.stats()
        assert_law(stats)
        assert (stats.pending, stats.pending_bytes, stats.spooled) == (0, 0, 0), f"place {at}"
        assert stats.delivered == len(taken) == len(set(taken)), f"place {at}"
        assert stats.accepted == 4 + has_come == len(taken) + stats.dropped, f"place {at}"
        # Only the oldest entry can be shed, because the queue has room for the others.
        assert set(expected[does_handler_shed:]) <= set(taken), f"place {at}"
        queue.close("closed")
    assert at > 50


def queue_with_entry_in_memory(folder: Path) -> SpoolQueue:
    queue = spool_queue(folder)
    queue._store.is_failing = True
    queue.append(entry("first" + LARGE), INFO)
    return queue


@pytest.mark.parametrize("place", ["_segment_for", "_is_outranked"])
def test_handler_that_drops_the_entry_that_is_about_to_move_counts_it_once(
    tmp_path: Path, place: str
) -> None:
    """If a handler drops an entry before it moves to the disk, the entry counts as dropped once."""
    queue = queue_with_entry_in_memory(tmp_path)
    if place == "_is_outranked":
        queue._store.is_failing = False
        fill(queue)
    with AfterCall(place, lambda: queue._memory.drop_queued("closed")), queue.lock:
        queue._store.is_failing = True
        queue._writer.move_to_disk()

    assert entry("first" + LARGE) not in take_rounds(queue)
    assert queue.stats().dropped_by == {"closed": 1}
    assert_law(queue.stats())
    queue.close("closed")


def test_handler_that_fills_the_file_of_a_move_loses_no_entry(tmp_path: Path) -> None:
    """If a handler seals the file that an entry is about to move to, the entry moves elsewhere."""
    queue = queue_with_entry_in_memory(tmp_path)
    late = [entry(f"late {number} {LARGE}") for number in range(5)]
    with AfterCall("move_first", lambda: [queue.append(each, INFO) for each in late]), queue.lock:
        queue._writer.move_to_disk()

    assert queue.stats().spooled == 6
    assert sorted(take_rounds(queue)) == sorted([entry("first" + LARGE), *late])
    assert_law(queue.stats())
    queue.close("closed")
