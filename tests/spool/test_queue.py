"""The queue on the disk keeps the same promises as the queue in memory."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import invariant

from tests.contracts import queue as queue_contract
from tests.contracts import queue_model
from tests.contracts.queue import ROOMY, Bounded, Interruption, alarm, entry, payloads, queue
from tests.support.loggers import assert_law
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import CRITICAL, DEBUG, ERROR, INFO, WARN
from voyage_logger._queue.lanes import NEVER, RECORD_OVERHEAD, Record
from voyage_logger._queue.spool import (
    SpoolQueue,
    SpoolSettings,
    owner,
    segment,
    segments,
    store,
    writer,
)
from voyage_logger._queue.spool import queue as _queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contracts.queue import MakeQueue
    from voyage_logger._queue.contract import Queue

__all__ = ["alarm", "queue"]

KIB = 1024
FILES = tuple(str(each.__file__) for each in (_queue, writer, segments, segment))
SEGMENT = 64 * KIB  # the smallest size of a segment, in bytes


@pytest.fixture
def make_queue(tmp_path: Path) -> Iterator[MakeQueue]:
    made: list[SpoolQueue] = []

    def make(max_entries: int) -> SpoolQueue:
        settings = SpoolSettings(tmp_path / "spool", ROOMY, None, "nowhere")
        made.append(SpoolQueue(max_entries, ROOMY, settings, Diagnostics()))
        return made[-1]

    yield make
    for each in made:
        each.close("closed")


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Bounded]:
    """Return a queue on the disk with room for sixteen entries. Each file holds four entries."""
    settings = SpoolSettings(tmp_path / "spool", 256 * KIB, None, "nowhere")
    queue = SpoolQueue(1000, ROOMY, settings, Diagnostics())
    yield Bounded(queue, 16 * KIB - 40, 16, 4, "spool_full")
    queue.close("closed")


class TestOrder(queue_contract.Order):
    pass


def used(folder: Path) -> int:
    """Return the size of all segments, in bytes."""
    return sum(path.stat().st_size for path in folder.glob("*.ndjson") if ".dead." not in path.name)


def fail(*_: object) -> int:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def look(queue: Queue) -> None:
    queue._failure.look_at = 0.0  # type: ignore[attr-defined]
    queue.maintain()


class TestFullQueue(queue_contract.FullQueue):
    def test_entries_that_move_to_the_disk_keep_to_its_bound(
        self, full: Bounded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """When entries move from memory to the disk, the spool does not exceed `max_bytes`."""
        full.append("0", INFO)
        with monkeypatch.context() as disk:
            disk.setattr(os, "write", fail)
            for number in range(1, 40):
                full.append(f"{number}", INFO)
        assert full.queue.stats().spooled == 1
        look(full.queue)

        stats = full.queue.stats()
        assert used(tmp_path / "spool") <= 256 * KIB
        assert full.capacity - full.granule < stats.spooled == stats.pending
        full.assert_lost((INFO, 40 - stats.pending))
        assert full.take_all() == [f"{number}" for number in range(40 - stats.pending, 40)]

    def test_lowest_level_is_shed_when_entries_move_to_the_disk(
        self, full: Bounded, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A debug entry that moves from memory to the disk does not replace an error entry."""
        errors = full.fill(ERROR)
        with monkeypatch.context() as disk:
            disk.setattr(os, "write", fail)
            full.append("critical", CRITICAL)  # This log call has shed the oldest error entries.
            for number in range(5):
                full.append(f"debug {number}", DEBUG)
                full.append(f"warn {number}", WARN)
            assert full.queue.stats().pending - full.queue.stats().spooled == 11
        look(full.queue)

        assert full.queue.stats().pending == full.queue.stats().spooled
        full.assert_lost((DEBUG, 4), (WARN, 3), (ERROR, full.granule))
        expected = [*errors[full.granule :], "critical", "warn 3", "debug 4", "warn 4"]
        assert full.take_all() == expected

    def test_delivered_entries_make_room_before_any_is_shed(self, full: Bounded) -> None:
        """If all entries of a file are delivered, this file is removed before any entry is shed."""
        for number in range(3):
            full.append(f"critical {number}", CRITICAL)
        assert len(full.take_all()) == 3
        texts = [f"{number}" for number in range(full.capacity)]
        for text in texts:
            full.append(text, INFO)

        assert not full.queue.losses()
        assert full.take_all() == texts

    def test_spool_full_of_entries_in_flight_drops_nothing(self, full: Bounded) -> None:
        """If entries in flight fill the spool, a new entry waits in memory."""
        texts = full.fill(ERROR)
        assert len(full.queue.take(100, ROOMY)) == full.capacity
        full.append("one more", DEBUG)

        assert not full.queue.losses()
        assert full.queue.stats().pending == full.capacity + 1
        assert full.take_all() == texts
        assert full.take_all() == ["one more"]

    def test_entries_in_flight_stay_on_the_disk(self, full: Bounded, tmp_path: Path) -> None:
        """Entries in flight stay on the disk, so they are not lost if the process is killed."""
        texts = full.fill(DEBUG)
        assert len(full.queue.take(6, ROOMY)) == 6
        for number in range(3 * full.capacity):
            full.append(f"error {number}", ERROR)

        found = [
            json.loads(line)["m"]
            for path in sorted((tmp_path / "spool").glob("*.debug.*"))
            for line in path.read_bytes().splitlines()
        ]
        assert found == texts[:6]
        assert used(tmp_path / "spool") <= 256 * KIB


class Model(queue_model.Model):
    """The model of the queue on the disk. At most a few entries are in flight."""

    unit = 7 * KIB
    reason = "spool_full"
    turns = 4

    def make(self, some: int, more: int) -> SpoolQueue:
        self.parent = tempfile.TemporaryDirectory()
        self.max_bytes = (512 + 32 * min(some, more)) * KIB
        self.folder = Path(self.parent.name, "spool")
        settings = SpoolSettings(self.folder, self.max_bytes, None, "nowhere")
        return SpoolQueue(1000, ROOMY, settings, Diagnostics())

    def used(self) -> int:
        """Return the size of all segments, in bytes."""
        return sum(
            path.stat().st_size
            for path in self.folder.glob("*.ndjson")
            if ".dead." not in path.name
        )

    def is_full(self, waiting: list[Record]) -> bool:
        return used(self.folder) + SEGMENT > self.max_bytes  # The queue sheds whole files.

    def is_over(self) -> bool:
        return used(self.folder) > self.max_bytes

    @invariant()
    def sizes_are_known(self) -> None:
        flight = sum(len(payload) + RECORD_OVERHEAD for _, _, payload in self.flight)
        assert self.queue.stats().pending_bytes == flight
        assert self.queue.stats().spooled == len(self.flight) + len(self.waiting)
        assert self.queue._store.size == used(self.folder)  # type: ignore[attr-defined]

    def teardown(self) -> None:
        self.queue.close("closed")
        self.parent.cleanup()


class TestModel(Model.TestCase):  # type: ignore[valid-type,misc]
    settings = settings(
        max_examples=30,
        stateful_step_count=50,
        deadline=None,
        phases=set(Phase) - {Phase.shrink},  # Shrinking an example would take minutes.
    )


class TestTake(queue_contract.Take):
    pass


class TestSettle(queue_contract.Settle):
    pass


class TestWaking(queue_contract.Waking):
    pass


class TestThreads(queue_contract.Threads):
    pass


class TestSignals(queue_contract.Signals):
    files = (*queue_contract.FILES, *FILES)


class TestReentry:
    def test_handler_that_logs_anywhere_in_a_log_call_loses_no_entry(
        self, make_queue: MakeQueue
    ) -> None:
        """If a signal handler logs at any line of a log call, both entries are delivered once."""
        at = 0
        has_come = True
        while has_come:
            at += 1
            queue = make_queue(1000)
            files = (*FILES, str(owner.__file__), str(store.__file__))
            with Interruption(at, lambda queue=queue: queue.append(entry("y"), INFO), files) as it:  # type: ignore[misc]
                queue.append(entry("first"), INFO)
                queue.append(entry("x" * 70), INFO)
            has_come = it.has_come

            taken = payloads(queue.take(NEVER, NEVER))
            expected = [entry("first"), entry("x" * 70)] + [entry("y")] * has_come
            assert sorted(taken) == sorted(expected), f"place {at}"
            queue.settle(len(taken))
            stats = queue.stats()
            assert_law(stats)
            assert (stats.delivered, stats.pending, stats.spooled) == (2 + has_come, 0, 0)
            assert len(queue) == 0, f"place {at}"
            queue.close("closed")
        assert at > 20

    @pytest.mark.parametrize("delivered", [0, 3])
    @pytest.mark.parametrize("lanes", [(WARN, WARN), (ERROR, DEBUG), (DEBUG, ERROR)])
    def test_handler_that_logs_while_files_are_shed_keeps_the_counts_right(
        self, tmp_path: Path, lanes: tuple[int, int], delivered: int
    ) -> None:
        """If a signal handler logs while a log call sheds files, the counts stay correct."""
        ours, foreign = lanes
        at = 0
        has_come = True
        while has_come:
            at += 1
            folder = tmp_path / str(at)
            spool = SpoolSettings(folder, 256 * KIB, None, "nowhere")
            queue = SpoolQueue(1000, ROOMY, spool, Diagnostics())
            full = Bounded(queue, 16 * KIB - 40, 16, 4, "spool_full")
            for _ in range(delivered):
                full.append("delivered", INFO)
            full.take_all()
            for number in range(16 - delivered):
                full.append(number, (WARN, ERROR)[number % 2])
            files = (*FILES, str(owner.__file__))
            with Interruption(at, lambda full=full: full.append("y", foreign), files) as it:  # type: ignore[misc]
                full.append("x", ours)
            has_come = it.has_come

            assert used(folder) == queue._store.size <= 256 * KIB, f"place {at}"
            stats = queue.stats()
            assert_law(stats)
            assert stats.accepted == 17 + has_come, f"place {at}"
            waiting = len(queue)
            # If the spool had no room for one of the entries, this entry is in memory.
            assert waiting - 1 <= stats.spooled <= stats.pending == waiting, f"place {at}"
            taken = len(full.take_all())
            taken += len(full.take_all())  # Memory and disk need separate batches.
            assert taken == waiting, f"place {at}"
            stats = queue.stats()
            assert_law(stats)
            assert (stats.pending, stats.spooled, len(queue)) == (0, 0, 0), f"place {at}"
            queue.close("closed")
        assert at > 10
