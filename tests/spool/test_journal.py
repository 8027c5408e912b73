"""If writes to the journal or to the dead-letter file fail, delivery continues."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import assert_law, until
from tests.support.processes import messages
from tests.support.spooling import Child, look
from voyage_logger.devserver import Rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger.devserver import DevServer

KIB = 1024
JOURNAL = b'{"segment"'
LETTER = b'{"reason"'


def break_writing(monkeypatch: pytest.MonkeyPatch, beginning: bytes, trouble: str) -> None:
    """Make a write fail if its data begins with the given bytes."""
    write = os.write

    def broken(descriptor: int, data: bytes) -> int:
        if not data.startswith(beginning):
            return write(descriptor, data)
        if trouble == "short":
            return write(descriptor, data[: len(data) // 2])
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "write", broken)


class TestJournal:
    CODE = """\
        trouble, then = sys.argv[2:4]
        is_broken = False
        real = os.write

        def write(descriptor, data):
            if not is_broken or not data.startswith(b'{"segment"'):
                return real(descriptor, data)
            if trouble == "short":
                return real(descriptor, data[:20])
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        os.write = write
        logger = logger_on(folder)
        logger.info("a")
        logger.flush()
        is_broken = True
        logger.info("b")
        logger.flush()
        is_broken = False
        if then == "deliver":
            logger.error("c")
            logger.flush()
        if then == "look":
            look(logger)
        say("delivered")
        sys.stdin.readline()
        if then == "close":
            logger.info("c")
            logger.close(timeout=0)
        say("done")
        sys.stdin.readline()
    """

    @pytest.mark.parametrize("trouble", ["error", "short"])
    @pytest.mark.parametrize("then", ["deliver", "look", "close"])
    def test_journal_gets_missing_notes_when_the_disk_works_again(
        self, server: DevServer, make_logger: MakeLogger, folder: Path, trouble: str, then: str
    ) -> None:
        """When the journal can be written again, the missing records of sent entries are added."""
        with Child(server, folder, self.CODE, trouble, then) as child:
            assert child.hears() == "delivered"
            if then == "close":
                server.refuse_connections()
            child.tell()
            assert child.hears() == "done"
            child.kill()
        server.accept_connections()
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.debug("d")
        look(logger)
        until(lambda: (logger.flush(), logger.stats().pending)[1] == 0)
        logger.close()

        assert messages(server) == ["a", "b", *(["c"] if then != "look" else []), "d"]
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("trouble", ["error", "short"])
    def test_journal_that_cannot_be_written_stops_no_delivery(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
        monkeypatch: pytest.MonkeyPatch,
        trouble: str,
    ) -> None:
        """If the journal cannot be written, entries still arrive once and in order."""
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("0")
        logger.flush()
        break_writing(monkeypatch, JOURNAL, trouble)

        def broken(*_: Any, **__: Any) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "replace", broken)  # the spool cannot replace the journal, either
        for number in range(1, 10):
            logger.info(f"{number}")
            logger.flush()

        assert messages(server) == [str(number) for number in range(10)]
        assert_law(logger.stats())
        assert logger.stats().delivered == 10
        assert logger.close().pending == 0
        (line,) = said()
        assert "cannot be noted" in line
        assert list(folder.iterdir()) == []


class TestDeadLetters:
    @pytest.mark.parametrize("trouble", ["error", "short"])
    def test_failed_write_loses_only_its_own_dead_letters(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
        monkeypatch: pytest.MonkeyPatch,
        trouble: str,
    ) -> None:
        """If a dead letter cannot be written, all other dead letters stay readable."""
        server.rules = Rules(refuse_containing="bad")
        logger = make_logger(spool_dir=folder, flush_interval=600)

        def send(*texts: str) -> None:
            for text in texts:
                logger.info(text)
            logger.flush()

        send("bad 1", "good 1")
        with monkeypatch.context() as disk:
            break_writing(disk, LETTER, trouble)
            send("bad 2", "good 2", "bad 3")
            send("good 3", "bad 4")
        send("good 4", "bad 5")
        logger.close()

        assert good(server) == [f"good {number}" for number in range(1, 5)]
        stats = logger.stats()
        assert_law(stats)
        assert (stats.rejected, stats.dropped, stats.pending) == (5, 0, 0)
        assert len([line for line in said() if "cannot be kept" in line]) == 1
        assert letters(folder) == ["bad 1", "bad 5"]

    def test_dead_letters_take_an_eighth_of_the_spool(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
    ) -> None:
        """If dead letters fill an eighth of the spool, later rejected entries are counted only."""
        server.rules = Rules(refuse_containing="bad")
        bounds: dict[str, Any] = {
            "max_spool_bytes": 256 * KIB,
            "max_batch_bytes": 64 * KIB,
            "max_entry_bytes": 16 * KIB,
        }
        logger = make_logger(spool_dir=folder, flush_interval=600, **bounds)
        for number in range(10):
            logger.info(f"bad {number}", tags=["x" * 6000])
            logger.info(f"good {number}")
            logger.flush()
        logger.info("bad, but small")
        logger.info("the end")
        logger.flush()
        logger.close()

        stats = logger.stats()
        assert_law(stats)
        assert (stats.rejected, stats.dropped, stats.pending) == (11, 0, 0)
        assert good(server) == [f"good {number}" for number in range(10)]
        (path,) = folder.iterdir()
        assert 24 * KIB < path.stat().st_size <= 32 * KIB
        kept = letters(folder)
        assert kept == [*[f"bad {number}" for number in range(len(kept) - 1)], "bad, but small"]
        assert len([line for line in said() if "the dead-letter file is full" in line]) == 1


def letters(folder: Path) -> list[str]:
    """Return the messages of all dead letters."""
    (path,) = folder.glob("*.dead.ndjson")
    return [json.loads(line)["entry"]["message"] for line in path.read_text().splitlines()]


def good(server: DevServer) -> list[str]:
    """Return the messages of delivered entries, without the notices of losses."""
    return [text for text in messages(server) if text.startswith("good")]
