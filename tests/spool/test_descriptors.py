"""The spool closes each of its file descriptors exactly once, even after a fork."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.contracts.queue import entry, payloads
from tests.support.loggers import assert_law, until
from tests.support.processes import messages, needs_fork
from tests.support.spooling import Child, leave, look
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import ERROR, INFO
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings, owner
from voyage_logger._queue.spool import folder as folder_module
from voyage_logger._queue.spool.file_names import lock_name
from voyage_logger._queue.spool.folder import Folder, release_locks_in_child, rewrite, unlock
from voyage_logger._queue.spool.open_file import OpenFile, ReadableFile
from voyage_logger._queue.spool.owner import OwnerFiles
from voyage_logger._queue.spool.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer

OWNER = "0000000007-7-00000007"


def test_nested_close_closes_each_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each descriptor is closed once: a second close could close a file of the app."""
    folder = Folder(tmp_path)
    lock = folder.lock(lock_name(OWNER), is_new=True)
    assert lock is not None
    owner_files = OwnerFiles(folder, OWNER, lock)
    segment = owner_files.open_segment(INFO)
    segment.write(b'{"spool_seq":1,"m":1}\n', 1, 0.0)
    segment.settle(segment.size, 1)
    owner_files.note_sent([segment])
    assert owner_files.keep_dead_letters([b"{}\n"], 1000) == [True]
    close, closed = os.close, []

    def closing(descriptor: int) -> None:
        close(descriptor)
        closed.append(descriptor)
        owner_files.close()  # a signal handler can call `close` here

    monkeypatch.setattr(os, "close", closing)
    owner_files.close()
    monkeypatch.undo()

    assert len(closed) == 4  # the segment, the journal, the dead-letter file and the lock file
    assert lock.descriptor in closed


@pytest.mark.parametrize("is_made_again", [False, True])
def test_lock_of_a_removed_file_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_made_again: bool
) -> None:
    """If a lock file is removed while a process opens it, the lock on the file is not valid."""
    folder = Folder(tmp_path)
    path = tmp_path / lock_name(OWNER)
    path.touch()
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        path.unlink()
        if is_made_again:
            path.touch()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)

    assert folder.lock(lock_name(OWNER)) is None


@pytest.fixture
def away(server: DevServer, make_logger: MakeLogger, tmp_path: Path) -> VoyageLogger:
    """Return a logger that has one entry in its spool, while its server refuses connections."""
    server.refuse_connections()
    logger = make_logger(spool_dir=tmp_path / "spool", flush_interval=600)
    logger.info("first")
    return logger


def give_to_app(path: Path, own: Path) -> int:
    """Close a descriptor of the spool, and open a file of the app with this descriptor number."""
    numbers = [number for number in range(3, 256) if is_of(number, path)]
    assert numbers
    file = os.open(own, os.O_RDWR | os.O_CREAT)
    for number in numbers:
        os.dup2(file, number)
    os.close(file)
    return numbers[0]


def is_of(number: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(number), path.stat())
    except OSError:
        return False


def test_lock_that_the_app_closed_is_taken_again(tmp_path: Path) -> None:
    """After the app has closed the lock file's descriptor, the spool takes the lock again."""
    folder = Folder(tmp_path)
    old = folder.lock(lock_name(OWNER), is_new=True)
    assert old is not None
    os.close(old.descriptor)
    new = folder.lock(lock_name(OWNER))
    assert new is not None
    assert new.descriptor == old.descriptor
    unlock(old)

    assert folder.lock(lock_name(OWNER)) is None
    unlock(new)
    new = folder.lock(lock_name(OWNER))
    assert new is not None
    unlock(new)


def test_lock_is_taken_again_after_the_app_reused_its_number(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path, away: VoyageLogger
) -> None:
    """If an app's file gets the lock's descriptor number, the spool takes the lock again."""
    (path,) = (tmp_path / "spool").glob("*.lock")
    number = give_to_app(path, tmp_path / "own")
    look(away)
    other = make_logger(spool_dir=tmp_path / "spool", flush_interval=600)
    other.info("other")
    look(other)

    assert other.stats().adopted == 0
    server.accept_connections()
    assert away.flush()
    assert sorted(messages(server)) == ["first"]
    away.close()
    assert is_of(number, tmp_path / "own")
    assert (tmp_path / "own").read_bytes() == b""
    os.close(number)


def test_segment_is_closed_after_the_app_reused_its_number(
    server: DevServer, tmp_path: Path, away: VoyageLogger
) -> None:
    """If an app's file gets a segment's descriptor number, the next maintenance detects this."""
    (path,) = (tmp_path / "spool").glob("*.info.*")
    number = give_to_app(path, tmp_path / "own")
    look(away)
    away.info("second")
    server.accept_connections()
    assert away.flush()

    assert messages(server) == ["first", "second"]
    away.close()
    assert is_of(number, tmp_path / "own")
    assert (tmp_path / "own").read_bytes() == b""
    os.close(number)


def test_removed_segment_is_not_read_from_a_file_of_the_app(
    tmp_path: Path, away: VoyageLogger
) -> None:
    """The spool does not read an app's file that has the descriptor number of a removed segment."""
    (path,) = (tmp_path / "spool").glob("*.info.*")
    (tmp_path / "own").write_bytes(path.read_bytes() * 2)
    number = give_to_app(path, tmp_path / "own")
    os.lseek(number, 7, os.SEEK_SET)
    while (tmp_path / "spool").exists():
        shutil.rmtree(tmp_path / "spool", ignore_errors=True)
    look(away)

    assert os.lseek(number, 0, os.SEEK_CUR) == 7
    assert away.stats().dropped_by == {"spool_deleted": 1}
    os.close(number)


def test_folder_is_opened_again_after_the_app_reused_its_number(
    server: DevServer, tmp_path: Path, away: VoyageLogger
) -> None:
    """If an app's file gets the folder's descriptor number, the spool opens the folder again."""
    number = give_to_app(tmp_path / "spool", tmp_path / "own")
    look(away)
    away.error("second")

    assert away.stats().spooled == 2
    server.accept_connections()
    assert away.flush()
    assert messages(server) == ["first", "second"]
    away.close()
    assert is_of(number, tmp_path / "own")
    os.close(number)


FORK = """\
    import fcntl, warnings
    warnings.simplefilter("ignore")  # Python warns of forks in processes with threads
    paused, forking, go_on = (threading.Event() for _ in range(3))

    def hold_up(module, name, until):
        act = getattr(module, name)
        def held_up(*arguments):
            result = act(*arguments)
            if threading.current_thread().name == "voyage-logger" and not paused.is_set():
                paused.set()
                until.wait(30)
            return result
        setattr(module, name, held_up)

    if sys.argv[2] == "reading":
        hold_up(os, "lseek", go_on)
    else:  # the lock is taken and not yet registered, so the fork must wait
        os.register_at_fork(before=forking.set)
        hold_up(fcntl, "flock", forking)
    logger = logger_on(folder)
    logger.info("starts the worker, which adopts")
    assert paused.wait(30)
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    say("the child lives")
    sys.stdin.readline()
    os._exit(0)
"""


@needs_fork
@pytest.mark.parametrize("at", ["reading", "opening"])
def test_fork_during_an_adoption_leaves_the_lock_to_the_parent(
    server: DevServer, tmp_path: Path, at: str
) -> None:
    """A child that is forked during an adoption does not hold the lock after its parent dies."""
    leave(tmp_path, server, ["left"], owner=OWNER)
    with Child(server, tmp_path, FORK, at) as child:
        assert child.hears() == "the child lives"
        assert child.process.wait(30) == -signal.SIGKILL
        folder = Folder(tmp_path)
        for name in [name for name in folder.names() if name.endswith(".lock")]:
            lock = folder.lock(name)
            assert lock is not None, name
            unlock(lock)


def test_lock_file_is_not_written_after_the_app_reused_its_number(tmp_path: Path) -> None:
    """If an app's file gets the lock's descriptor number, the spool does not change this file."""
    lock = Folder(tmp_path).lock(lock_name(OWNER), is_new=True)
    assert lock is not None
    number = give_to_app(tmp_path / lock_name(OWNER), tmp_path / "own")
    with pytest.raises(OSError, match="Bad file descriptor"):
        rewrite(lock, b"{}\n")

    assert (tmp_path / "own").read_bytes() == b""
    unlock(lock)
    os.close(number)


def test_lock_that_another_process_took_is_taken_again_later(
    tmp_path: Path, away: VoyageLogger, said: Callable[[], list[str]]
) -> None:
    """If another process has taken the lock, the spool takes the lock when it is free again."""
    (path,) = (tmp_path / "spool").glob("*.lock")
    number = give_to_app(path, tmp_path / "own")
    other = os.open(path, os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    look(away)
    assert (away.stats().spooled, said()) == (1, [])
    os.close(other)
    look(away)
    assert any("locked again" in line for line in said())

    other = os.open(path, os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    os.close(number)


def test_folder_that_the_app_closed_and_that_is_gone_counts_as_removed(
    server: DevServer, tmp_path: Path, away: VoyageLogger
) -> None:
    """If a file replaces the spool folder, the entries of open segments move to memory."""
    number = give_to_app(tmp_path / "spool", tmp_path / "own")
    (tmp_path / "spool").rename(tmp_path / "moved")
    (tmp_path / "spool").touch()
    look(away)

    assert (away.stats().pending, away.stats().spooled, away.stats().dropped) == (1, 0, 0)
    server.accept_connections()
    assert away.flush()
    assert messages(server) == ["first"]
    os.close(number)


def test_folder_is_used_while_its_path_cannot_be_looked_up(
    tmp_path: Path, server: DevServer, make_logger: MakeLogger
) -> None:
    """While the system cannot find the folder's path, the spool uses the folder's descriptor."""
    server.refuse_connections()
    (tmp_path / "parent").mkdir()
    logger = make_logger(spool_dir=tmp_path / "parent" / "spool", flush_interval=600)
    logger.info("first")
    (tmp_path / "parent").rename(tmp_path / "moved")
    (tmp_path / "parent").symlink_to(tmp_path / "parent")  # the link points to itself
    look(logger)
    logger.info("second")

    assert logger.stats().spooled == 2
    assert len(list((tmp_path / "moved" / "spool").glob("*.info.*"))) == 1


def test_lock_file_that_cannot_be_opened_delays_another_logger_for_a_second(
    make_logger: MakeLogger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If one thread waits for a slow disk, another logger's log calls wait for only a second."""
    monkeypatch.setattr(folder_module, "OPENING_SECONDS", 0.05)
    flock, waits, ends = fcntl.flock, threading.Event(), threading.Event()

    def slow(descriptor: int, operation: int) -> None:
        if threading.current_thread() is thread:
            waits.set()
            assert ends.wait(60)
        flock(descriptor, operation)

    first = make_logger(spool_dir=tmp_path / "first", flush_interval=600)
    second = make_logger(spool_dir=tmp_path / "second", flush_interval=600)
    thread = threading.Thread(target=first.info, args=("a",))
    monkeypatch.setattr(fcntl, "flock", slow)
    thread.start()
    assert waits.wait(60)
    second.info("b")
    assert second.stats().spooled == 1
    ends.set()
    thread.join(60)
    assert first.stats().spooled == 1


def test_forked_child_keeps_its_own_locks(tmp_path: Path) -> None:
    """A forked child that logs while it closes its parent's locks keeps its own lock."""
    folder = Folder(tmp_path)
    lock = folder.lock(lock_name(OWNER), is_new=True)
    release_locks_in_child()

    assert folder.lock(lock_name(OWNER)) is None
    unlock(lock)


def test_handler_that_logs_while_files_are_made_leaves_one_lock_file(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a signal handler logs while files are made, both entries are in files of one owner."""
    flock, calls = fcntl.flock, []

    def interrupted(descriptor: int, operation: int) -> None:
        calls.append(descriptor)
        flock(descriptor, operation)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGUSR1)

    server.refuse_connections()
    logger = make_logger(spool_dir=tmp_path / "spool", flush_interval=600)
    before = signal.signal(signal.SIGUSR1, lambda *_: logger.info("from the handler"))
    monkeypatch.setattr(fcntl, "flock", interrupted)
    logger.info("interrupted")
    monkeypatch.undo()
    signal.signal(signal.SIGUSR1, before)

    assert logger.stats().spooled == 2
    assert len(list((tmp_path / "spool").glob("*.lock"))) == 1
    server.accept_connections()
    assert logger.flush()
    assert sorted(messages(server)) == ["from the handler", "interrupted"]


def test_closed_files_keep_no_dead_letter(tmp_path: Path) -> None:
    """After a queue has released its files, it writes no dead letter to these files."""
    folder = Folder(tmp_path)
    lock = folder.lock(lock_name(OWNER), is_new=True)
    assert lock is not None
    owner_files = OwnerFiles(folder, OWNER, lock)
    owner_files.close()

    assert owner_files.keep_dead_letters([b"{}\n"], 1000) == [False]
    assert folder.names() == [lock_name(OWNER)]


def test_lines_are_kept_if_the_app_closes_the_file_after_a_read(tmp_path: Path) -> None:
    """After the app closes a segment's descriptor, the next read opens the segment again."""
    folder = Folder(tmp_path)
    segment = Segment("s", INFO, folder.create("s"))
    for number in (1, 2):
        segment.write(b'{"spool_seq":%d,"m":1}\n' % number, number, 0.0)
    lines, read_to = segment.fetch(folder, segment.size)
    (reader,) = [
        number
        for number in range(3, 256)
        if number != segment.descriptor and is_of(number, tmp_path / "s")
    ]
    os.close(reader)

    assert segment.keep(lines, read_to)
    segment.seal()


def test_entries_of_a_removed_file_on_a_bad_disk_are_dropped(
    tmp_path: Path, away: VoyageLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an open file is removed and the disk cannot read it, its entries count as dropped."""
    until(lambda: away._pipeline.queue.looks)  # type: ignore[attr-defined]
    (path,) = (tmp_path / "spool").glob("*.info.*")
    file, read = path.stat(), os.read

    def broken(descriptor: int, count: int) -> bytes:
        if os.path.samestat(os.fstat(descriptor), file):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, count)

    path.unlink()
    monkeypatch.setattr(os, "read", broken)
    look(away)

    assert away.stats().dropped_by == {"spool_deleted": 1}


def test_copy_of_a_descriptor_is_of_the_same_file(tmp_path: Path) -> None:
    """If the app has closed or reused a descriptor, no copy of the descriptor is made."""
    for name in ("spool", "app"):
        (tmp_path / name).write_text(name)
    descriptor = os.open(tmp_path / "spool", os.O_RDONLY)
    file = OpenFile(descriptor)
    copy = file.duplicate()
    assert copy is not None
    assert os.read(copy, 9) == b"spool"
    os.close(copy)
    os.close(descriptor)
    assert file.duplicate() is None
    other = os.open(tmp_path / "app", os.O_RDONLY)
    assert other == descriptor
    assert file.duplicate() is None
    os.close(other)


def test_shared_position_is_not_changed_by_a_read(tmp_path: Path) -> None:
    """A read through a copy of the descriptor does not disturb another thread's read."""
    path = tmp_path / "spool"
    path.write_text("spool")
    descriptor = os.open(path, os.O_RDONLY)
    os.lseek(descriptor, 1, os.SEEK_SET)

    assert ReadableFile(os.dup(descriptor), is_shared=True).read(0, 9) == b"spool"
    assert os.read(descriptor, 9) == b"pool"
    os.close(descriptor)


LARGE = "x" * 40_000  # Two entries of this size do not fit into one file.


def lose_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no file of a spool be opened or removed any more."""

    def denied(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            if "v1." in str(path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return function(path, *arguments, **options)

        return call

    for name in ("open", "unlink", "remove"):
        monkeypatch.setattr(os, name, denied(getattr(os, name)))
    monkeypatch.setattr(owner, "_JOURNAL_LIMIT", 0)


@pytest.mark.parametrize("has_journal", [True, False])
def test_process_that_lost_its_rights_uses_its_open_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_journal: bool
) -> None:
    """If no file can be opened or removed any more, open descriptors still deliver the entries."""
    settings = SpoolSettings(tmp_path, 1 << 20, None, "nowhere")
    queue = SpoolQueue(100, 1 << 20, settings, Diagnostics())
    expected = [entry(f"{number}{LARGE}") for number in range(3)]
    queue.append(expected[0], INFO)
    if has_journal:
        queue.append(entry("early"), ERROR)
        queue.take(1, 1 << 20)
        queue.settle(1)
    lose_rights(monkeypatch)
    for payload in expected[1:]:
        queue.append(payload, INFO)
    taken = []
    for _ in range(4):
        taken += payloads(batch := queue.take(10, 1 << 20))
        queue.settle(len(batch))

    assert set(expected[1:]) <= set(taken)
    assert len(taken) == len(set(taken)) == queue.stats().delivered - has_journal
    assert_law(queue.stats())
    monkeypatch.undo()
    queue.close("closed")


def test_file_that_was_closed_before_the_rights_were_lost_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a file is closed and cannot be opened again, its entries count as unreadable."""
    settings = SpoolSettings(tmp_path, 1 << 20, None, "nowhere")
    queue = SpoolQueue(100, 1 << 20, settings, Diagnostics())
    for number in range(2):
        queue.append(entry(f"{number}{LARGE}"), INFO)
    lose_rights(monkeypatch)
    taken = payloads(queue.take(10, 1 << 20))
    queue.settle(len(taken))

    assert taken == [entry(f"1{LARGE}")]
    assert queue.stats().dropped_by == {"unreadable": 1}
    assert_law(queue.stats())
    monkeypatch.undo()
    queue.close("closed")
