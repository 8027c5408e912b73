"""Tests of how threads share the spool, its two locks and its file descriptors.

In each test, a thread stops inside a system call until the test lets the thread continue.
"""

from __future__ import annotations

import os
import shutil
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import assert_law, until
from tests.support.processes import messages
from tests.support.spooling import leave, look
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import ERROR, INFO
from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings
from voyage_logger._queue.spool import queue as _queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger.devserver import DevServer

KIB = 1024
LIMIT = 30.0  # seconds; a thread that waits longer than this counts as blocked
ROOMY = 1 << 30


@pytest.fixture
def make_queue(folder: Path) -> Iterator[Callable[[], SpoolQueue]]:
    made: list[SpoolQueue] = []

    def make() -> SpoolQueue:
        settings = SpoolSettings(folder, 256 * KIB, None, "nowhere")
        made.append(SpoolQueue(1000, ROOMY, settings, Diagnostics()))
        return made[-1]

    yield make
    for queue in made:
        queue.close("closed")


@pytest.fixture
def queue(make_queue: Callable[[], SpoolQueue]) -> SpoolQueue:
    return make_queue()


def entry(text: object) -> bytes:
    """Return an entry so large that four entries fill a file, and sixteen fill the spool."""
    return b'{"m":"%b"}' % str(text).encode().ljust(16 * KIB - 60, b".")


def adopted(queue: SpoolQueue) -> int:
    """Run the maintenance, and return how many entries the queue has adopted."""
    queue._failure.look_at = 0.0
    queue.maintain()
    return queue.stats().adopted


class Watched:
    """A `disk_lock` that records if a thread waits, and which callers hold `queue.lock`."""

    def __init__(self, queue: Any) -> None:
        self.inner, self.lock = queue._segments.disk_lock, queue.lock
        self.taken = 0
        self.too_late: list[str] = []
        self.is_wanted = threading.Event()
        queue._segments.disk_lock = self

    def acquire(self, *, blocking: bool = True, timeout: float = -1) -> bool:
        if not blocking:
            return bool(self.inner.acquire(blocking=False))
        if self.lock._is_owned() and not self.inner._is_owned():
            self.too_late.append("".join(traceback.format_stack(limit=4)))
        self.taken += 1
        if self.inner.acquire(blocking=False):
            return True
        self.is_wanted.set()
        return bool(self.inner.acquire(timeout=timeout))

    def release(self) -> None:
        self.inner.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class HeldUp:
    """A thread that stops inside a function of the module `os` until `go` is called.

    Args:
        monkeypatch: The fixture of pytest.
        name: The name of the function in `os`. The function's first argument is a descriptor.
        target: The function that the thread runs.

    Attributes:
        before, after: The descriptor's file when the thread stops, and when it continues.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, name: str, target: Callable[[], object]
    ) -> None:
        self.before: int | None = None
        self.after: int | None = None
        self.result: Any = None
        self.has_come, self.may_go = threading.Event(), threading.Event()
        self.call = getattr(os, name)
        self.thread = threading.Thread(target=self.run, args=(target,))
        monkeypatch.setattr(os, name, self.hold)

    def run(self, target: Callable[[], object]) -> None:
        self.result = target()

    def hold(self, descriptor: int, *arguments: Any) -> Any:
        if threading.current_thread() is self.thread and not self.has_come.is_set():
            self.before = os.fstat(descriptor).st_ino
            self.has_come.set()
            self.may_go.wait(LIMIT)
            try:
                self.after = os.fstat(descriptor).st_ino
            except OSError:
                self.after = None
        return self.call(descriptor, *arguments)

    def __enter__(self) -> HeldUp:
        self.thread.start()
        assert self.has_come.wait(LIMIT)
        return self

    def go(self) -> Any:
        """Let the thread continue, and return its result."""
        self.may_go.set()
        self.thread.join(LIMIT)
        assert not self.thread.is_alive()
        return self.result

    def __exit__(self, *_: object) -> None:
        self.go()


class TestLocks:
    def test_two_locks_are_always_taken_in_one_order(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """No thread waits for the disk lock while it holds the lock of the ledger."""
        logger = make_logger(spool_dir=folder, flush_interval=600)
        disk = Watched(logger._pipeline.queue)
        leave(folder, server, ["left"])
        logger.info("a")
        look(logger)
        logger.flush()
        shutil.rmtree(folder)
        logger.error("b")
        look(logger)
        logger.flush()
        logger.info("c")
        next(folder.glob("*.info.*")).unlink()
        logger.flush()
        server.refuse_connections()
        logger.info("d")
        logger.close(timeout=0)
        logger._pipeline.queue.release()

        assert set(messages(server)) == {"left", "a", "b", "c"}
        assert disk.taken > 0
        assert disk.too_late == []

    def test_log_call_does_not_wait_for_the_disk_lock(
        self, queue: SpoolQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While the worker reads from a slow disk, log calls can write and remove files."""
        queue.append(entry(0), INFO)
        with HeldUp(monkeypatch, "read", lambda: queue.take(1, NEVER)) as reader:

            def log() -> None:
                for number in range(1, 100):
                    queue.append(entry(number), INFO)
                queue.stats()

            app = threading.Thread(target=log)
            app.start()
            app.join(LIMIT)

            assert not app.is_alive()
            assert not reader.may_go.is_set()
        assert queue.stats().accepted == 100
        assert_law(queue.stats())


class TestClosing:
    def test_close_waits_for_the_read_of_the_worker(
        self,
        queue: SpoolQueue,
        make_queue: Callable[[], SpoolQueue],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """`close` waits for the worker's read, so that no other process adopts the entries."""
        monkeypatch.setattr(_queue, "_DISK_SECONDS", LIMIT)
        disk = Watched(queue)
        other = make_queue()
        queue.append(entry(0), INFO)
        closing = threading.Thread(target=queue.close, args=("closed",))
        with HeldUp(monkeypatch, "read", lambda: queue.take(1, NEVER)) as reader:
            closing.start()
            until(lambda: disk.is_wanted.is_set() or not closing.is_alive(), LIMIT)

            assert adopted(other) == 0
            assert len(reader.go()) == 1
        closing.join(LIMIT)
        assert not closing.is_alive()
        assert adopted(other) == 1

    def test_close_leaves_files_open_that_a_blocked_read_uses(
        self,
        queue: SpoolQueue,
        make_queue: Callable[[], SpoolQueue],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """If a read is blocked, `close` returns and leaves the files open and locked."""
        monkeypatch.setattr(_queue, "_DISK_SECONDS", 0.0)
        other = make_queue()
        queue.append(entry(0), INFO)
        with HeldUp(monkeypatch, "read", lambda: queue.take(1, NEVER)) as reader:
            queue.close("closed")

            assert adopted(other) == 0
            assert len(reader.go()) == 1
        assert adopted(other) == 0
        queue.release()
        assert adopted(other) == 1

    def test_close_during_a_look_adopts_nothing(
        self,
        server: DevServer,
        queue: SpoolQueue,
        make_queue: Callable[[], SpoolQueue],
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """If `close` is called during the worker's maintenance, no entries are adopted."""
        queue.append(entry(0), INFO)
        assert len(queue.take(1, NEVER)) == 1
        queue.settle(1)
        leave(folder, server, ["left", "too"], destination="nowhere")
        with HeldUp(monkeypatch, "listdir", lambda: adopted(queue)) as looker:
            queue.close("closed")

            assert looker.go() == 0
        assert looker.before == looker.after == folder.stat().st_ino
        assert adopted(make_queue()) == 2


class TestLooking:
    def test_second_look_waits_for_the_first(
        self,
        queue: SpoolQueue,
        server: DevServer,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A second maintenance starts only after the first maintenance has ended."""
        queue.append(entry(0), INFO)
        leave(folder, server, ["left", "too"], destination="nowhere")
        with HeldUp(monkeypatch, "listdir", lambda: adopted(queue)) as first:
            second = threading.Thread(target=adopted, args=(queue,))
            second.start()
            second.join(0.5)  # A maintenance that does not wait would end earlier.
            is_waiting = second.is_alive()
            assert first.go() == 2
        second.join(LIMIT)
        assert (is_waiting, second.is_alive()) == (True, False)
        assert queue.stats().adopted == 2


class TestShedding:
    def test_shed_file_stays_open_for_the_reader(
        self, queue: SpoolQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A log call that sheds a file does not close the descriptor that the worker is using."""
        for number in range(8):
            queue.append(entry(f"info {number}"), INFO)
        with HeldUp(monkeypatch, "read", lambda: queue.take(1, NEVER)) as reader:
            for number in range(16):
                queue.append(entry(f"error {number}"), ERROR)

            assert queue.stats().dropped_by == {"spool_full": 8}
            batch = reader.go()
        assert reader.before == reader.after is not None
        assert queue.stats().dropped_by == {"spool_full": 8}
        queue.settle(len(batch))
        rest = queue.take(100, NEVER)
        assert [bytes(payload) for *_, payload in batch + rest] == [
            entry(f"error {number}") for number in range(16)
        ]
        queue.settle(len(rest))
        stats = queue.stats()
        assert (stats.delivered, stats.pending) == (16, 0)
        assert_law(stats)
