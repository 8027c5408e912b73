"""A signal handler logs while the interrupted code writes to the spool or reads from it."""

from __future__ import annotations

import errno
import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.contracts.queue import Interruption, entry, payloads
from tests.support.loggers import assert_law
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import ERROR, INFO
from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool import (
    SpoolQueue,
    SpoolSettings,
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

FILES = tuple(str(module.__file__) for module in (_folder, store, owner, segments, writer))


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
    """Replaces `os.write`: some writes fail, and a handler runs right after one of them.

    Args:
        outer: How the first write of a line that contains "outer" fails: "half" or "error".
        nested: The results of writes of lines that contain "nested": "whole", "half" or "error".
        handler: Is called after the first write of a line that contains "outer".
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
    """A failed write is undone, and the entry that a handler logs meanwhile is not damaged."""
    files = tuple(str(each.__file__) for each in (_queue, writer, segments, owner))
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
        for _ in range(3):  # Entries in memory are taken in another batch.
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
    for _ in range(3):  # entries in memory are taken in another batch
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
    """If a handler fills the spool during a failed write, each entry is counted once."""
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
    """If a segment has fewer entries than its count says, `take` ends and later entries arrive."""
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
