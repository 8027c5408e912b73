"""Tests of the spool's files: their system calls, and a log agent that reads them."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import assert_law, until
from tests.support.processes import messages
from tests.support.spooling import leave, look
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import INFO, LEVELS
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings
from voyage_logger._queue.spool.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger.devserver import DevServer


@pytest.fixture
def _no_umask() -> Iterator[None]:
    """Set the umask to 0, as daemons do: new files then get exactly the requested mode."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_no_umask")
def test_other_users_cannot_write_to_new_folders(tmp_path: Path) -> None:
    """Even with umask 0, other users can neither open the spool folder nor move it away."""
    Folder(tmp_path / "lib" / "app" / "logs")

    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("lib", "lib/app")]
    assert modes == [0o755, 0o755]
    assert (tmp_path / "lib/app/logs").stat().st_mode & 0o777 == 0o700


def test_unknown_home_folder_in_the_variable_is_reported(
    server: DevServer,
    make_logger: MakeLogger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: Callable[[], list[str]],
) -> None:
    """If no home folder is known for `~` in the variable, a line says so, and entries arrive."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOYAGE_LOGS_SPOOL_DIR", "~no-such-user/spool")
    logger = make_logger(flush_interval=600)
    logger.info("in memory")

    assert logger.flush()
    assert messages(server) == ["in memory"]
    assert any("no home folder is known for ~no-such-user" in line for line in said())
    assert list(tmp_path.iterdir()) == []


def test_log_call_writes_one_line_and_does_not_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log call makes one write and no sync, because a sync takes milliseconds."""
    queue = SpoolQueue(100, 1 << 20, SpoolSettings(tmp_path, 1 << 20, None, "x"), Diagnostics())
    for lane in range(len(LEVELS)):
        queue.append(b'{"message":"makes the file"}', lane)
    calls: list[Any] = []
    write = os.write

    def writing(descriptor: int, data: bytes) -> int:
        calls.append(bytes(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", writing)
    for name in ("fsync", "fdatasync", "sync", "open", "fstat", "stat", "ftruncate", "lseek"):
        monkeypatch.setattr(os, name, lambda *_, name=name, **__: calls.append(name), raising=False)
    for number in range(100):
        queue.append(b'{"message":"%d"}' % number, number % len(LEVELS))
    monkeypatch.undo()

    assert calls == [b'{"spool_seq":%d,"message":"%d"}\n' % (n + 6, n) for n in range(100)]
    queue.settle(len(queue.take(1000, 1 << 20)))
    queue.close("closed")


class Agent:
    """Reads new lines of the segments, as a log agent does.

    Args:
        folder: The folder of the spool.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[int, int] = {}  # the position up to which each file was read
        self.names: dict[int, set[str]] = {}
        self.read: list[dict[str, Any]] = []

    def look(self) -> None:
        """Read the lines that were written since the last call."""
        for path in self._folder.glob("v1.*.ndjson"):
            if path.name.endswith(".dead.ndjson"):
                continue
            with path.open("rb") as file:
                of = os.fstat(file.fileno()).st_ino
                self.names.setdefault(of, set()).add(path.name)
                file.seek(self._places.get(of, 0))
                for line in file:
                    assert line.endswith(b"\n"), line
                    self.read.append(json.loads(line))
                self._places[of] = file.tell()


def test_log_agent_reads_each_entry_once(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path
) -> None:
    """A log agent that follows the spool's files reads each entry exactly once."""
    server.refuse_connections()
    folder = tmp_path / "spool"
    logger = make_logger(
        spool_dir=folder,
        flush_interval=600,
        max_spool_bytes=2 << 20,
        max_batch_bytes=64 << 10,
        max_entry_bytes=16 << 10,
    )
    agent = Agent(folder)
    for number in range(900):
        logger.log(LEVELS[number % len(LEVELS)], f"{number} \u2028 \n\0", tags=["x" * 500])
        if number % 7 == 0:
            agent.look()
            assert len(agent.read) == number + 1
    agent.look()

    agent.read.sort(key=lambda entry: entry["spool_seq"])
    assert [entry["message"] for entry in agent.read] == [f"{n} \u2028 \n\0" for n in range(900)]
    assert [entry["spool_seq"] for entry in agent.read] == list(range(1, 901))
    assert {len(names) for names in agent.names.values()} == {1}
    assert len(agent.names) > len(LEVELS)  # at least one level has two segments
    server.accept_connections()
    assert logger.flush(60)
    for entry in agent.read:
        del entry["spool_seq"]
    assert sorted(server.entries(), key=lambda entry: entry["meta_data"]["log_id"]) == agent.read


def test_line_longer_than_one_read_arrives(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path
) -> None:
    """The worker reads 256 KiB at a time. If a line is longer, the worker reads more."""
    leave(tmp_path, server, ["x" * 300_000, "y"])
    logger = make_logger(spool_dir=tmp_path, flush_interval=600)
    look(logger)
    until(lambda: (logger.flush(), logger.stats().pending)[1] == 0)

    assert [len(text) for text in messages(server)] == [300_000, 1]


def test_segment_without_a_line_end_has_no_entries(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path
) -> None:
    """If another program overwrites a whole segment, its entries count as dropped."""
    server.refuse_connections()
    logger = make_logger(spool_dir=tmp_path, flush_interval=600)
    for _ in range(3):
        logger.info("lost")
    (path,) = tmp_path.glob("*.info.*")
    path.write_bytes(b"x" * 10_000)
    server.accept_connections()
    logger.flush()
    logger.info("later")
    logger.flush()

    assert "later" in messages(server)
    assert logger.stats().dropped_by == {"corrupt": 3}
    assert_law(logger.stats())


def test_unreadable_segment_counts_as_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a segment cannot be read at the moment, its entries count as pending."""
    queue = SpoolQueue(100, 1 << 20, SpoolSettings(tmp_path, 1 << 20, None, "x"), Diagnostics())
    for _ in range(3):
        queue.append(b'{"message":"m"}', INFO)
    assert queue.pending_until(2) == 2

    def broken(*_: Any, **__: Any) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", broken)
    assert queue.pending_until(2) == 3
    monkeypatch.undo()
    queue.close("closed")


def test_owner_that_removes_its_files_after_the_listing_is_no_fault(
    server: DevServer,
    make_logger: MakeLogger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: Callable[[], list[str]],
) -> None:
    """If an owner removes its files just after the folder was listed, nothing is reported."""
    logger = make_logger(spool_dir=tmp_path, flush_interval=600)
    logger.info("own")
    until(lambda: logger._pipeline.queue.looks)  # type: ignore[attr-defined]
    leave(tmp_path, server, ["left"])
    list_folder = os.listdir

    def list_then_remove(where: Any) -> list[str]:
        names = list_folder(where)
        for path in tmp_path.glob("v1.0000000007-*"):
            path.unlink()
        return names

    monkeypatch.setattr(os, "listdir", list_then_remove)
    look(logger)

    assert (logger.stats().adopted, said()) == (0, [])
