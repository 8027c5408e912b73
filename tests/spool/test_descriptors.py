"""The spool's descriptors: each is closed once, by whom it belongs to, and lost to no fork."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import needs_fork
from tests.support.spooling import Child, leave, look, messages
from voyage_logger._base.levels import INFO
from voyage_logger._queue.spool.file_names import lock_name
from voyage_logger._queue.spool.folder import Folder, unlock
from voyage_logger._queue.spool.owner import OwnerFiles

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer

OWNER = "0000000007-7-00000007"


def test_a_stream_that_is_closed_while_it_is_closed_closes_each_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that was closed may be another file's: it is not closed a second time."""
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
        owner_files.close()  # as a signal handler would

    monkeypatch.setattr(os, "close", closing)
    owner_files.close()
    monkeypatch.undo()

    assert len(closed) == 4  # the segment, the journal, the dead letters, the lock
    assert lock.descriptor in closed


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_lock_file_that_went_while_it_was_opened_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_made_anew: bool
) -> None:
    """Its owner had just finished; a lock of a file without a name would keep nobody out."""
    folder = Folder(tmp_path)
    path = tmp_path / lock_name(OWNER)
    path.touch()
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        path.unlink()
        if is_made_anew:
            path.touch()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)

    assert folder.lock(lock_name(OWNER)) is None


@pytest.fixture
def away(server: DevServer, make_logger: MakeLogger, tmp_path: Path) -> VoyageLogger:
    """A logger with an entry in its folder, for a server that is away."""
    server.refuse_connections()
    logger = make_logger(spool_dir=tmp_path / "spool", flush_interval=600)
    logger.info("first")
    return logger


def give_to_app(path: Path, own: Path) -> int:
    """Makes the number of an open file that of an app's own file, as clumsy clean-ups do."""
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


def test_a_lock_that_the_app_has_closed_is_held_again(tmp_path: Path) -> None:
    """The new one is not given back with the old one, though it has the number that was free."""
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


def test_a_lock_whose_number_the_app_has_given_to_another_file_is_taken_anew(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path, away: VoyageLogger
) -> None:
    """Nobody adopts the entries of a living process, and the app's file is left alone."""
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


def test_a_segment_whose_number_the_app_has_given_to_another_file_is_ended(
    server: DevServer, tmp_path: Path, away: VoyageLogger
) -> None:
    """From the next look on nothing more is written into the app's file; it is never closed."""
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


def test_what_the_app_reads_is_not_moved_by_a_rescue(tmp_path: Path, away: VoyageLogger) -> None:
    """Nothing is read from a file that has the number of one which was removed."""
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


def test_a_folder_whose_number_the_app_has_given_to_another_file_is_opened_again(
    server: DevServer, tmp_path: Path, away: VoyageLogger
) -> None:
    """The spool goes on in it, and the app's file is left alone."""
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
    warnings.simplefilter("ignore")  # of forks in processes with threads
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
    else:  # the lock is taken, and nobody knows of it yet: the fork has to wait
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
def test_a_fork_in_the_middle_of_an_adoption_leaves_the_lock_to_the_parent(
    server: DevServer, tmp_path: Path, at: str
) -> None:
    """Once the parent is dead, what it was taking over is free, though its child lives on."""
    leave(tmp_path, server, ["left"], owner=OWNER)
    with Child(server, tmp_path, FORK, at) as child:
        assert child.hears() == "the child lives"
        assert child.process.wait(30) == -signal.SIGKILL
        folder = Folder(tmp_path)
        for name in [name for name in folder.names() if name.endswith(".lock")]:
            lock = folder.lock(name)
            assert lock is not None, name
            unlock(lock)
