"""Tests of the spool on a file system that has no room for more bytes or more files.

These tests need the right to mount a file system. `test_faults` has similar tests that need no
rights, because they only limit the size of a file.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import assert_law, until
from tests.support.processes import messages
from tests.support.spooling import look
from voyage_logger.devserver import DevServer, Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger import VoyageLogger

KIB = 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system that has room for 1 MiB and 40 files."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=40,mode=0700", "tmpfs", str(place)]
    try:  # `mount` is not in the same folder on all systems
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("the system has no `mount`")
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S607 - no fixed folder


class Ballast:
    """Simulates the files of another program, which fill the disk.

    Args:
        disk: The folder where the disk is mounted.
        kind: What these files use up: all "bytes" of the disk, or all "files" that it can have.
    """

    def __init__(self, disk: Path, kind: str) -> None:
        self.place = disk / "ballast"
        self.kind = kind

    def load(self) -> None:
        """Fill the disk."""
        self.place.mkdir(exist_ok=True)
        with pytest.raises(OSError, match="No space left"):
            self.fill()

    def fill(self) -> None:
        if self.kind == "files":
            for number in range(1000):
                (self.place / str(number)).touch()
        with (self.place / "0").open("wb", buffering=0) as file:
            while file.write(b"x" * KIB) == KIB:
                pass
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def drop(self) -> None:
        """Remove the files, so that the disk has room again."""
        for path in self.place.iterdir():
            path.unlink()


@pytest.fixture(params=["bytes", "files"])
def ballast(disk: Path, request: pytest.FixtureRequest) -> Ballast:
    ballast = Ballast(disk, request.param)
    ballast.place.mkdir()  # made now, while the disk has room for this folder
    return ballast


class Talker:
    """Logs numbers with several levels, because each new level needs a new file."""

    def __init__(self, logger: VoyageLogger) -> None:
        self.logger = logger
        self.calls = [logger.info]
        self.texts: list[str] = []

    def log(self, count: int) -> None:
        for _ in range(count):
            self.texts.append(f"{len(self.texts)}")
            self.calls[-1 - len(self.texts) % len(self.calls)](self.texts[-1], tags=["x" * 200])

    @property
    def in_memory(self) -> int:
        stats = self.logger.stats()
        assert_law(stats)
        assert stats.pending == len(self.texts)
        return stats.pending - stats.spooled


@pytest.fixture
def talker(disk: Path, make_logger: MakeLogger) -> Talker:
    # The batch is so large that one request carries all entries, which keeps their order.
    return Talker(make_logger(spool_dir=disk / "spool", flush_interval=600, batch_size=10_000))


def look_until(logger: VoyageLogger, condition: Callable[[], object]) -> None:
    """Repeat the maintenance until a condition is true."""

    def is_so() -> object:
        look(logger)
        return condition()

    until(is_so)


def test_full_disk_is_used_again_when_it_has_room(
    server: DevServer, talker: Talker, ballast: Ballast, said: Callable[[], list[str]]
) -> None:
    """While the disk is full, entries wait in memory; later, they move to the disk in order."""
    server.refuse_connections()
    logger = talker.logger
    talker.log(20)
    assert talker.in_memory == 0
    for call in (logger.warn, logger.error, logger.debug):
        ballast.load()
        talker.calls.append(call)
        talker.log(150)
        assert talker.in_memory > 0
        look(logger)
        assert talker.in_memory > 0
        ballast.drop()
        look_until(logger, lambda: talker.in_memory == 0)
        talker.log(20)
        assert talker.in_memory == 0
    full, works = [line for line in said() if "spool" in line]
    assert "No space left on device: entries wait in memory only" in full
    assert "works again" in works
    server.accept_connections()
    until(lambda: (logger.flush(), logger.stats().pending)[1] == 0)

    assert messages(server) == talker.texts
    assert logger.stats().dropped == 0


def test_delivery_makes_room_on_a_full_disk(
    server: DevServer, talker: Talker, ballast: Ballast, disk: Path
) -> None:
    """Delivery continues on a full disk, and delivered entries make room for new entries."""
    server.refuse_connections()
    logger = talker.logger
    talker.log(300)
    ballast.load()
    talker.calls.append(logger.warn)
    talker.log(150)
    assert talker.in_memory > 0
    server.accept_connections()
    until(lambda: (logger.flush(), logger.stats().pending)[1] == 0)

    assert messages(server) == talker.texts
    server.refuse_connections()
    ballast.drop()
    logger.error("later")
    look_until(logger, lambda: logger.stats().spooled == 1)
    server.accept_connections()
    logger.close()
    assert messages(server)[len(talker.texts) :] == ["later"]
    assert list((disk / "spool").iterdir()) == []


def test_next_process_sends_all_entries_that_found_room(
    server: DevServer, talker: Talker, ballast: Ballast, disk: Path, make_logger: MakeLogger
) -> None:
    """Entries that were on the full disk, or were later moved to the disk, are sent once."""
    server.refuse_connections()
    talker.log(20)
    ballast.load()
    talker.calls.append(talker.logger.warn)
    talker.log(150)
    assert talker.in_memory > 0
    ballast.drop()
    assert talker.logger.close(timeout=0).pending == len(talker.texts)
    server.accept_connections()
    following = make_logger(spool_dir=disk / "spool", flush_interval=600, batch_size=10_000)
    look(following)
    until(lambda: (following.flush(), following.stats().pending)[1] == 0)

    assert messages(server) == talker.texts


def test_disk_that_was_full_at_the_start_still_gets_the_destination(
    server: DevServer, make_logger: MakeLogger, disk: Path
) -> None:
    """If the disk was full at the start, the lock file gets the destination later."""
    server.refuse_connections()
    ballast = Ballast(disk, "bytes")
    logger = make_logger(spool_dir=disk / "spool", flush_interval=600)
    ballast.load()
    logger.info("before")
    ballast.drop()
    look_until(logger, lambda: logger.stats().spooled == 1)
    logger.info("for this account only")
    assert logger.close(timeout=0).pending == 2

    (lock,) = (disk / "spool").glob("*.lock")
    assert json.loads(lock.read_text())["destination"] == server.url
    with DevServer() as another:
        following = make_logger(
            spool_dir=disk / "spool",
            base_url=another.url,
            api_key=another.api_key,
            api_secret=another.api_secret,
        )
        following.info("for another account")
        look(following)
        following.flush()
        assert messages(another) == ["for another account"]
    server.accept_connections()
    last = make_logger(spool_dir=disk / "spool")
    look_until(last, lambda: last.stats().adopted == 2)
    until(lambda: (last.flush(), last.stats().pending)[1] == 0)
    assert messages(server) == ["before", "for this account only"]


def test_only_one_log_call_writes_to_a_full_disk(
    server: DevServer, talker: Talker, ballast: Ballast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk is full, only one of a thousand log calls tries to write to the disk."""
    server.refuse_connections()
    talker.log(20)
    ballast.load()
    talker.calls.append(talker.logger.warn)
    talker.log(150)
    assert talker.in_memory > 0
    thread = threading.get_ident()
    touched: list[str] = []
    for name in ("open", "write"):

        def counted(
            *args: object, name: str = name, call: object = getattr(os, name), **kw: object
        ) -> object:
            if threading.get_ident() == thread:
                touched.append(name)
            return call(*args, **kw)  # type: ignore[operator]

        monkeypatch.setattr(os, name, counted)
    talker.log(1000)

    assert touched == []


def test_full_disk_leaves_no_half_dead_letter(
    server: DevServer, make_logger: MakeLogger, disk: Path, said: Callable[[], list[str]]
) -> None:
    """If there is no room for a dead letter, a line says so; other dead letters stay readable."""
    server.rules = Rules(refuse_containing="bad")
    logger = make_logger(spool_dir=disk / "spool", flush_interval=600)
    ballast = Ballast(disk, "bytes")

    def log(*texts: str) -> None:
        for text in texts:
            logger.info(f"bad {text}", tags=["x" * 3000])
        logger.info("good")

    def send() -> None:
        until(lambda: (logger.flush(), logger.stats().pending)[1] == 0)

    log("1", "2", "3")
    send()
    ballast.load()
    log("4", "5", "6", "7")  # the spool removes a delivered file to make room
    ballast.load()
    send()
    ballast.drop()
    log("8", "9")
    send()

    assert logger.stats().rejected == 9
    assert messages(server).count("good") == 3
    assert len([line for line in said() if "dead letters cannot be kept" in line]) == 1
    (path,) = (disk / "spool").glob("*.dead.ndjson")
    letters = [json.loads(line) for line in path.read_text().splitlines()]
    texts = "".join(letter["entry"]["message"][-1] for letter in letters)
    assert (texts[:3], texts[-2:]) == ("123", "89")
    assert len(texts) < 9
