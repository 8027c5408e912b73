"""Tests of segments that cannot be read now, and of segments that can never be read."""

from __future__ import annotations

import errno
import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import assert_law, until
from tests.support.processes import messages
from tests.support.spooling import Child, leave, look
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import INFO
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger._queue.lanes import Record
    from voyage_logger.devserver import DevServer

    Fail = Callable[..., list[int]]

PASSING = [
    errno.EMFILE,
    *(pytest.param(code, marks=pytest.mark.soak) for code in (errno.ENFILE, errno.ENOMEM)),
]
LASTING = [errno.EACCES, errno.ENOENT, errno.EIO]
names = errno.errorcode.__getitem__


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Make every `open` of a segment of level info fail, and return the list of failures."""

    def fail(number: int, *, first: int = 1) -> list[int]:
        real, count, failures = os.open, itertools.count(1), []

        def opening(path: Any, flags: int, *arguments: Any, **more: Any) -> int:
            if ".info." in str(path) and not flags & os.O_CREAT and next(count) >= first:
                failures.append(number)
                raise OSError(number, os.strerror(number))
            return real(path, flags, *arguments, **more)

        monkeypatch.setattr(os, "open", opening)
        return failures

    return fail


@pytest.mark.parametrize("number", PASSING, ids=names)
def test_segment_that_cannot_be_read_now_is_tried_again(
    server: DevServer,
    make_logger: MakeLogger,
    folder: Path,
    fail: Fail,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    """If a segment cannot be read now, one line says so, and the worker tries again later."""
    logger = make_logger(spool_dir=folder, flush_interval=600)
    failures = fail(number)
    queue = logger._pipeline.queue
    take, rounds = queue.take, []

    def counted(max_entries: int, max_bytes: int) -> list[Record]:
        rounds.append(1)
        return take(max_entries, max_bytes)

    monkeypatch.setattr(queue, "take", counted)
    logger.info("a")
    logger.info("b")
    assert logger.flush(timeout=0.3).pending == 2
    until(lambda: len(failures) > 1)

    assert len(rounds) < len(failures) + 10
    assert messages(server) == []
    stats = logger.stats()
    assert_law(stats)
    assert (stats.spooled, stats.dropped) == (2, 0)
    monkeypatch.undo()
    assert logger.flush()
    assert messages(server) == ["a", "b"]
    assert len([line for line in caplog.messages if "cannot be read now" in line]) == 1


@pytest.mark.parametrize("number", LASTING, ids=names)
def test_entries_that_can_never_be_read_are_dropped(
    server: DevServer,
    make_logger: MakeLogger,
    folder: Path,
    fail: Fail,
    number: int,
) -> None:
    """If the entries of a dead process can never be read, they count as dropped."""
    leave(folder, server, ["a", "b"])
    logger = make_logger(spool_dir=folder, flush_interval=600)
    fail(number, first=2)  # The segment is adopted, because its first opening succeeds.
    logger.error("own")
    look(logger)
    until(lambda: logger.stats().adopted == 2)
    until(lambda: (logger.flush(), logger.stats().pending)[1] == 0)

    stats = logger.stats()
    assert_law(stats)
    reason = "spool_deleted" if number == errno.ENOENT else "unreadable"
    assert stats.dropped_by == {reason: 2}
    assert "own" in messages(server)


def test_segment_that_cannot_be_read_now_delays_no_other(
    server: DevServer,
    make_logger: MakeLogger,
    folder: Path,
    fail: Fail,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If a dead process's segment cannot be read now, new entries do not wait for it."""
    leave(folder, server, ["left"])
    logger = make_logger(spool_dir=folder, flush_interval=600)
    fail(errno.EMFILE, first=2)
    logger.error("own")
    look(logger)
    until(lambda: logger.stats().adopted == 1)

    assert logger.flush()
    assert messages(server) == ["own"]
    assert logger.stats().pending == 1
    monkeypatch.undo()
    look(logger)
    logger.error("end")
    until(lambda: (logger.flush(), logger.stats().pending)[1] == 0)
    assert sorted(messages(server)) == ["end", "left", "own"]


def test_process_without_free_descriptors_loses_nothing(server: DevServer, folder: Path) -> None:
    """If the process has no free descriptors, new entries wait in memory and arrive later."""
    code = """\
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        logger = logger_on(folder)
        logger.info("a")
        logger.flush()
        logger.info("b")  # The file of this entry is already open.
        taken = []
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            assert error.errno == errno.EMFILE
        logger.info("c")
        say(logger.flush(0.2).pending)
        for descriptor in taken:
            os.close(descriptor)
        look(logger)
        say(bool(logger.flush()))
        say(logger.stats().dropped)
    """
    with Child(server, folder, code) as child:
        said, words = child.end()

    assert said == ["2", "True", "0"], words
    assert messages(server) == ["a", "b", "c"]
    assert list(folder.iterdir()) == []


def test_interval_of_looks_is_the_same_after_the_disk_has_failed(folder: Path) -> None:
    """The interval of the maintenance does not change when the disk fails or works again."""
    folder.write_text("in the way")
    spool = SpoolSettings(folder, 1 << 20, None, "nowhere")
    queue = SpoolQueue(100, 1 << 20, spool, Diagnostics(), clock=itertools.count().__next__)
    queue.maintain_every(0.05)
    queue.append(b'{"message":"a"}', INFO)
    assert (queue.stats().spooled, queue.maintenance_interval) == (0, 0.05)

    folder.unlink()
    queue.maintain()
    assert (queue.stats().spooled, queue.maintenance_interval) == (1, 0.05)
    queue.close("closed")
