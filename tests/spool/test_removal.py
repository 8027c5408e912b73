"""If the spool folder is removed or moved away, no entry is lost at the end of the process."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import assert_law, until
from tests.support.processes import messages
from tests.support.spooling import Child, leave, lines, look
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import INFO
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger.devserver import DevServer

TEXTS = [str(number) for number in range(5)]


def deliver(server: DevServer, make_logger: MakeLogger, folder: Path) -> list[str]:
    """Let the next process send the entries in the folder. Return the texts of all entries."""
    server.accept_connections()
    logger = make_logger(spool_dir=folder, flush_interval=600)
    look(logger)
    until(lambda: (logger.flush(), logger.stats().pending)[1] == 0)
    assert_law(logger.stats())
    return sorted(messages(server))


@pytest.mark.parametrize("how", ["removed", "moved"])
@pytest.mark.parametrize("state", ["waiting", "in flight", "partly in flight"])
@pytest.mark.parametrize("end", ["exit", "close"])
def test_entries_survive_if_the_folder_goes_just_before_the_end(
    server: DevServer, make_logger: MakeLogger, folder: Path, how: str, state: str, end: str
) -> None:
    """The process makes a new folder at its end, and writes all pending entries to this folder."""
    code = """\
        import shutil
        how, state, end = sys.argv[2:]
        logger = logger_on(folder)
        def log(*numbers):
            for number in numbers:
                logger.info(f"{number}")
        if state == "waiting":
            log(0, 1, 2, 3, 4)
        elif state == "in flight":
            log(0, 1, 2, 3, 4)
            logger.flush(0.3)
        else:
            log(0, 1)
            logger.flush(0.3)
            log(2, 3, 4)
        shutil.rmtree(folder) if how == "removed" else os.rename(folder, folder + ".old")
        if end == "close":
            logger.close(0.3)
    """
    server.refuse_connections()
    with Child(server, folder, code, how, state, end) as child:
        _, words = child.end()

    assert "lost" not in words
    assert lines(folder) == 5
    assert lines(folder.parent / f"{folder.name}.old") == (5 if how == "moved" else 0)
    assert deliver(server, make_logger, folder) == TEXTS


@pytest.mark.parametrize("end", ["release", "close"])
def test_adopted_entries_in_flight_survive_if_the_folder_goes(
    server: DevServer, make_logger: MakeLogger, folder: Path, end: str
) -> None:
    """If the folder is removed, the entries of a dead process that are in flight are kept, too."""
    leave(folder, server, TEXTS)
    queue = SpoolQueue(
        100, 1 << 20, SpoolSettings(folder, 1 << 20, None, server.url), Diagnostics()
    )
    queue.maintain()
    assert len(queue.take(100, 1 << 20)) == 5
    shutil.rmtree(folder)
    queue.is_ending = True
    if end == "release":
        queue.release()
    queue.close("closed")

    assert queue.losses().total() == 0
    assert deliver(server, make_logger, folder) == TEXTS


def test_lock_file_that_goes_just_before_the_end_is_made_again(
    server: DevServer, make_logger: MakeLogger, folder: Path
) -> None:
    """If the lock file is removed, the end of the process makes it again for the next process."""
    code = """\
        logger = logger_on(folder)
        for number in range(5):
            logger.info(f"{number}")
        for name in os.listdir(folder):
            if name.endswith(".lock"):
                os.unlink(os.path.join(folder, name))
    """
    server.refuse_connections()
    with Child(server, folder, code) as child:
        child.end()

    assert deliver(server, make_logger, folder) == TEXTS


def test_works_again_is_said_only_after_a_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    """If all entries in memory were sent, only the next write proves that the disk works again."""
    queue = SpoolQueue(100, 1 << 20, SpoolSettings(folder, 1 << 20, None, "x"), Diagnostics())
    write = os.write

    def is_full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def log_and_look() -> list[str]:
        queue.append(b'{"message":"m"}', INFO)
        queue._failure.look_at = 0.0
        queue.maintain()
        return said()

    def send() -> list[str]:
        while batch := queue.take(100, 1 << 20):
            queue.settle(len(batch))
        queue._failure.look_at = 0.0
        queue.maintain()
        return said()

    assert log_and_look() == []
    monkeypatch.setattr(os, "write", is_full)
    (line,) = log_and_look()
    assert "No space left on device" in line
    for _ in range(3):
        assert send() == []  # no entry is in memory now, so nothing is written
        assert log_and_look() == []
    monkeypatch.setattr(os, "write", write)
    assert send() == []
    (line,) = log_and_look()
    assert "it works again" in line
    assert send() == log_and_look() == []
    queue.close("closed")
