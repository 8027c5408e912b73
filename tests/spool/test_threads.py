"""The spool between threads: the order of its two locks, and descriptors that two of them use.

Each race is staged: a thread is held up in the very call to the system that the other one is to
meet, and goes on when the test says so.
"""

from __future__ import annotations

import os
import shutil
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import until
from tests.support.spooling import assert_law, leave, look, messages
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
LIMIT = 30.0  # seconds, after which a thread counts as stuck
ROOMY = 1 << 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


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
    """An entry of which four fill a file, and sixteen the spool."""
    return b'{"m":"%b"}' % str(text).encode().ljust(16 * KIB - 60, b".")


def adopted(queue: SpoolQueue) -> int:
    """How many entries a queue has taken over, now that it has looked."""
    queue._segments.look_at = 0.0
    queue.maintain()
    return queue.stats().adopted


class Watched:
    """A queue's `_disk`: it sees who takes it too late, and who waits for it."""

    def __init__(self, queue: Any) -> None:
        self.inner, self.lock = queue._segments.disk_lock, queue.lock
        self.taken = 0
        self.too_late: list[str] = []
        self.is_wanted = threading.Event()
        queue._segments.disk_lock = self

    def acquire(self, *, timeout: float = -1) -> bool:
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
    """A thread that stops inside a function of `os`, with a descriptor, until `go`.

    Args:
        monkeypatch: pytest's.
        name: The function, whose first argument is a descriptor.
        target: What the thread does.

    Attributes:
        before, after: What file the descriptor was, and is when the thread goes on.
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
        """Lets it go on to its end, and gives its result."""
        self.may_go.set()
        self.thread.join(LIMIT)
        assert not self.thread.is_alive()
        return self.result

    def __exit__(self, *_: object) -> None:
        self.go()


class TestLocks:
    def test_are_always_taken_in_one_order(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """Nobody who has the queue's lock waits for the disk's, so no two wait for each other."""
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

    def test_a_log_call_does_not_wait_for_the_disks(
        self, queue: SpoolQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While the worker reads from a slow disk, log calls write, make room, and are counted."""
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
    def test_waits_for_a_read_under_way(
        self,
        queue: SpoolQueue,
        make_queue: Callable[[], SpoolQueue],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What the worker is about to send is not left to another process meanwhile."""
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

    def test_leaves_open_what_a_read_that_does_not_end_uses(
        self,
        queue: SpoolQueue,
        make_queue: Callable[[], SpoolQueue],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A disk that hangs holds up nobody, and its entries are left to no one else."""
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

    def test_leaves_what_is_found_meanwhile_to_others(
        self,
        server: DevServer,
        queue: SpoolQueue,
        make_queue: Callable[[], SpoolQueue],
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The folder that the worker looks through stays open, and nothing in it is kept locked."""
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
    def test_waits_for_the_look_under_way(
        self,
        queue: SpoolQueue,
        server: DevServer,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Two at once would share the folder's cursor, and miss an owner or take it over twice."""
        queue.append(entry(0), INFO)
        leave(folder, server, ["left", "too"], destination="nowhere")
        with HeldUp(monkeypatch, "listdir", lambda: adopted(queue)) as first:
            second = threading.Thread(target=adopted, args=(queue,))
            second.start()
            second.join(0.5)  # without a look under way it ends well within this
            is_waiting = second.is_alive()
            assert first.go() == 2
        second.join(LIMIT)
        assert (is_waiting, second.is_alive()) == (True, False)
        assert queue.stats().adopted == 2


class TestGivingUp:
    def test_a_file_that_is_being_read_leaves_it_open_to_the_reader(
        self, queue: SpoolQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A log call that makes room does not put another file under the worker's hands."""
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
