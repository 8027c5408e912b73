"""If the disk has faults, the app continues, and the entries arrive."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import Recorder, assert_law, until
from tests.support.processes import messages
from tests.support.spooling import Child, leave, lines, look
from voyage_logger._base import diagnostics
from voyage_logger.cli import main
from voyage_logger.devserver import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.loggers import MakeLogger
    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Return a folder that other users can open. Other users cannot open folders of pytest."""
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        folder = Path(parent, "spool")
        folder.mkdir()
        yield folder


def drain(logger: VoyageLogger) -> None:
    """Deliver all entries, including the adopted entries."""
    look(logger)
    until(lambda: (logger.flush(), logger.stats().pending)[1] == 0)
    assert_law(logger.stats())


def first_look(logger: VoyageLogger) -> None:
    """Wait until the worker's first maintenance is over, so that it does not disturb the test."""
    queue: Any = logger._pipeline.queue
    until(lambda: queue.looks)


def soon(said: Callable[[], list[str]]) -> list[str]:
    """Wait until stderr has new lines, and return these lines."""
    found: list[str] = []

    def is_anything_said() -> bool:
        found.extend(said())
        return bool(found)

    until(is_anything_said)
    return found


class TestLeftFiles:
    """Tests of files that dead processes or other programs have left in the folder."""

    def test_half_a_line_at_the_end_is_skipped(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """If the last line of a file is incomplete, all entries before this line arrive."""
        leave(folder, server, ["a", "b"], tail=b'{"spool_seq":3,"mess')
        logger = make_logger(spool_dir=folder, flush_interval=600)
        drain(logger)

        assert messages(server) == ["a", "b"]
        assert (logger.stats().accepted, logger.stats().dropped) == (2, 0)
        logger.close()
        assert list(folder.iterdir()) == []

    def test_file_with_only_half_a_line_is_removed(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """A file that contains only an incomplete line has no entries, and the spool removes it."""
        leave(folder, server, [], tail=b'{"spool_seq":1,"mess')
        logger = make_logger(spool_dir=folder, flush_interval=600)
        drain(logger)

        assert messages(server) == []
        logger.close()
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize(
        "garbage",
        [
            b"garbage\n",
            b"\0" * 5000 + b"\n",
            b"\n",
            b'{"spool_seq":7}\n',
            b'{"spool_seq":7,"message":"\xff"}\n',
            b'{"spool_seq":,"message":"x"}\n',
            b'{"spool_seq":9999999999999999999,"message":"x"}\n',
            b'{"spool_seq":7,"message":"x"\n',
            b"[" * 100_000 + b"\n",
        ],
        ids=[
            "text",
            "zeros",
            "empty",
            "no entry",
            "no text",
            "no number",
            "huge number",
            "cut",
            "deep",
        ],
    )
    @pytest.mark.parametrize("where", ["first", "middle", "last", "alone"])
    def test_corrupt_lines_are_kept_and_counted(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        garbage: bytes,
        where: str,
    ) -> None:
        """A corrupt line is reported and kept as a dead letter, and all other entries arrive."""
        before = ["a"] if where in ("middle", "last") else []
        after = ["b"] if where in ("first", "middle") else []
        leave(folder, server, before, tail=garbage)
        leave(folder, server, after, number=2)
        path = next(folder.glob("*.000001.ndjson"))
        second = folder / path.name.replace("000001", "000002")
        path.write_bytes(path.read_bytes() + second.read_bytes())
        second.unlink()
        logger = make_logger(spool_dir=folder, flush_interval=600)
        drain(logger)
        logger.info("end")
        logger.flush()
        wanted = len(before + after) + 2  # the last entry is the notice of the loss
        until(lambda: (logger.flush(), len(messages(server)))[1] == wanted)

        assert [text for text in messages(server) if len(text) == 1] == before + after
        assert logger.stats().dropped_by == {"corrupt": 1}
        logger.close()
        assert [path.name for path in folder.iterdir()] == [
            path.name.replace(".info.000001.", ".dead.")
        ] * (garbage != b"\n")
        for left in folder.iterdir():
            (letter,) = map(json.loads, left.read_text().splitlines())
            assert letter["reason"] == "corrupt"
            assert letter["line"].encode("utf-8", "surrogateescape") + b"\n" == garbage

    def test_segment_shorter_than_its_journal_says_is_sent_again(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """If a journal does not match its segment, all entries of the segment are sent again."""
        leave(folder, server, ["a"], sent=100_000)
        drain(make_logger(spool_dir=folder, flush_interval=600))

        assert messages(server) == ["a"]

    def test_entries_in_the_journal_are_not_sent_again(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """Entries that the journal records as sent are not sent again."""
        path = leave(folder, server, ["a", "b", "c"])
        line = path.read_bytes().index(b"\n") + 1
        leave(folder, server, ["a", "b", "c"], sent=line)
        journal = next(folder.glob("*.sent"))
        journal.write_bytes(journal.read_bytes() + b'{"segm')
        drain(make_logger(spool_dir=folder, flush_interval=600))

        assert messages(server) == ["b", "c"]

    @pytest.mark.parametrize("name", ["notes.txt", "v2.7-7-00000000.info.000001.ndjson", "v1.x"])
    def test_foreign_files_are_left_alone(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
        name: str,
    ) -> None:
        """Files of another program or version are neither sent nor removed, but reported once."""
        folder.mkdir(mode=0o700)
        (folder / name).write_text("mine\n")
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("a")
        look(logger)
        drain(logger)
        logger.close()

        assert messages(server) == ["a"]
        assert (folder / name).read_text() == "mine\n"
        assert [path.name for path in folder.iterdir()] == [name]
        (line,) = said()
        assert name in line

    def test_control_characters_in_a_foreign_name_are_escaped(
        self, make_logger: MakeLogger, folder: Path, said: Callable[[], list[str]]
    ) -> None:
        """Control characters are escaped in reports: a file name could hold terminal commands."""
        folder.mkdir(mode=0o700)
        (folder / "x\x1b[2J\nvoyage-logger: forged").touch()
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("a")
        look(logger)
        drain(logger)

        (line,) = said()
        assert line.isprintable()
        assert "x\\x1b[2J\\nvoyage-logger: forged" in line

    def test_link_in_the_folder_is_not_followed(
        self, server: DevServer, make_logger: MakeLogger, folder: Path, tmp_path: Path
    ) -> None:
        """A symbolic link that has the name of a segment is not read."""
        path = leave(folder, server, ["a"])
        secret = tmp_path / "secret"
        path.rename(secret)
        path.symlink_to(secret)
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("b")
        look(logger)
        logger.flush()

        assert messages(server) == ["b"]
        assert secret.exists()

    @pytest.mark.parametrize("kind", ["sent", "lock"])
    @pytest.mark.parametrize(
        "garbage", [b"[" * 100_000, b"\xff\n", b"7\n", b'{"segment":{},"sent":[]}\n']
    )
    def test_unreadable_journal_or_lock_file_stops_no_delivery(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        kind: str,
        garbage: bytes,
    ) -> None:
        """If the journal or the lock file cannot be read, the entries are still sent."""
        leave(folder, server, ["a"])
        (folder / f"v1.0000000007-7-00000007.{kind}").write_bytes(garbage)
        assert main(["spool", "ls", str(folder)]) == 0
        logger = make_logger(spool_dir=folder, flush_interval=600)
        drain(logger)
        assert messages(server) == ["a"]
        logger.info("b")
        assert logger.flush()
        logger.close()
        assert list(folder.iterdir()) == []

    def test_owner_waits_while_too_many_files_are_open(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """If one file of an owner cannot be opened, the other files wait too, to keep the order."""
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("own")
        until(lambda: logger._pipeline.queue.looks)  # type: ignore[attr-defined]
        path = leave(folder, server, ["a"])
        leave(folder, server, ["b"], number=2)
        open_file = os.open

        def broken(name: Any, *arguments: Any, **options: Any) -> int:
            if name == path.name:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return open_file(name, *arguments, **options)

        monkeypatch.setattr(os, "open", broken)
        look(logger)
        assert logger.stats().adopted == 0
        monkeypatch.undo()
        drain(logger)

        assert [text for text in messages(server) if text != "own"] == ["a", "b"]

    @needs_root
    @pytest.mark.parametrize("kind", ["info.000001.ndjson", "sent", "lock"])
    def test_files_of_another_user_are_not_used(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
        kind: str,
    ) -> None:
        """A file in the folder is not used if another user owns it."""
        path = leave(folder, server, ["a"], sent=0)
        os.chown(folder / f"v1.0000000007-7-00000007.{kind}", NOBODY, NOBODY)
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("own")
        drain(logger)

        assert messages(server) == ["own"]
        assert any("not a regular file of this user" in line for line in said())
        assert path.exists()

    @pytest.mark.parametrize("how", ["directory", "link", "bad disk"])
    def test_unreadable_segment_does_not_stop_other_segments(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
        monkeypatch: pytest.MonkeyPatch,
        how: str,
    ) -> None:
        """If one segment cannot be read, the entries of the owner's other segments arrive."""
        path = leave(folder, server, ["sent already", "bad"])
        sent = path.read_bytes().index(b"\n") + 1
        leave(folder, server, ["sent already", "bad"], sent=sent)
        leave(folder, server, ["b", "c"], number=2)
        leave(folder, server, ["d"], lane="error")
        good = folder.parent / "good"
        open_file = os.open

        def broken(name: Any, *arguments: Any, **options: Any) -> int:
            if name == path.name:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return open_file(name, *arguments, **options)

        if how == "bad disk":
            monkeypatch.setattr(os, "open", broken)
        else:
            path.rename(good)
            path.mkdir() if how == "directory" else path.symlink_to(good)
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("own")
        for _ in range(3):
            drain(logger)
            monkeypatch.setattr(diagnostics, "_last_said", {})  # simulates that a minute has passed

        assert sorted(messages(server)) == ["b", "c", "d", "own"]
        (line,) = said()
        assert f"{path.name} cannot be read" in line
        assert [each.name for each in folder.glob("v1.0000000007*.ndjson")] == [path.name]
        monkeypatch.setattr(os, "open", open_file)
        if how != "bad disk":
            path.rmdir() if how == "directory" else path.unlink()
            good.rename(path)
        drain(logger)
        assert sorted(messages(server)) == ["b", "bad", "c", "d", "own"]
        logger.close()
        assert list(folder.iterdir()) == []

    def test_owners_for_another_server_cost_no_listing(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Owners whose entries are for another server do not cause more listings of the folder."""
        for number in range(20):
            owner = f"00000000{number:02d}-7-00000007"
            leave(folder, server, ["a"], destination="https://elsewhere.example", owner=owner)
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("b")
        until(lambda: logger._pipeline.queue.looks)  # type: ignore[attr-defined]
        list_folder, listed = os.listdir, []

        def list_and_count(where: Any) -> list[str]:
            listed.append(where)
            return list_folder(where)

        monkeypatch.setattr(os, "listdir", list_and_count)
        look(logger)
        assert len(listed) <= 2

    def test_listing_without_an_existing_lock_file_is_not_reported(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """If a listing of the folder misses a lock file that exists, nothing is reported."""
        leave(folder, server, ["a"])
        list_folder, listed = os.listdir, []

        def list_once_without(where: Any) -> list[str]:
            listed.append(where)
            names = list_folder(where)
            return names if len(listed) > 1 else [name for name in names if "lock" not in name]

        monkeypatch.setattr(os, "listdir", list_once_without)
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("b")
        until(lambda: logger._pipeline.queue.looks)  # type: ignore[attr-defined]
        drain(logger)
        assert sorted(messages(server)) == ["a", "b"]
        assert said() == []

    def test_entries_for_another_server_are_not_sent(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """Entries that were logged for a staging server are not sent to the production server."""
        path = leave(folder, server, ["a"], destination="https://elsewhere.example")
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("b")
        drain(logger)
        logger.close()

        assert messages(server) == ["b"]
        assert path.exists()

    def test_entries_for_another_server_are_reported_once(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
    ) -> None:
        """One line reports entries for another server, and says how to send these entries."""
        wrong = "https://typo.example"
        for number in (7, 8):
            leave(folder, server, ["a"], destination=wrong, owner=f"000000000{number}-7-00000007")
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("b")
        first_look(logger)
        lines = soon(said)
        drain(logger)

        assert lines + said() == [
            (
                f"voyage-logger: spool {folder}: entries of 2 owners are meant for {wrong} and are "
                f"left alone; `VOYAGE_LOGS_URL={server.url} voyage-logger spool replay {folder}` "
                "sends them here"
            )
        ]

    def test_report_names_no_url_for_a_transport_of_the_app(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
    ) -> None:
        """If an app has its own transport, a report of entries for a server gives no advice."""
        leave(folder, server, ["a"])
        logger = make_logger(transport=Recorder(), spool_dir=folder, flush_interval=600)
        logger.info("b")
        first_look(logger)
        lines = soon(said)

        (line,) = lines
        assert line.endswith(f"entries of 1 owner are meant for {server.url} and are left alone")

    def test_owner_without_entries_for_another_server_is_not_reported(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
    ) -> None:
        """An owner with only a lock file is not reported, even if it logged for another server."""
        leave(folder, server, ["a"], destination="https://typo.example").unlink()
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("b")
        first_look(logger)

        assert said() == []

    def test_failed_write_to_a_lock_file_keeps_its_content(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """If a write to a lock file fails, the lock file keeps the destination of the entries."""
        server.refuse_connections()
        leave(folder, server, ["a"], owner="0000000007-7-00000007")
        lock = folder / "v1.0000000007-7-00000007.lock"
        before = lock.read_text()
        write = os.write

        def short(descriptor: int, data: bytes) -> int:
            return write(descriptor, data[:-10] if b"adopted_by" in data else data)

        monkeypatch.setattr(os, "write", short)
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("b")
        look(logger)
        until(lambda: logger.stats().adopted == 1)

        assert lock.read_text() == before


def is_delivered(server: DevServer, logger: VoyageLogger, *expected: str) -> None:
    logger.flush()
    assert messages(server) == list(expected)
    stats = logger.stats()
    assert_law(stats)
    assert (stats.pending, stats.dropped) == (0, 0)


class TestUnusableFolder:
    """If a folder cannot be used, entries wait in memory, and one line reports the reason."""

    def check(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
        reason: str,
    ) -> None:
        logger = make_logger(spool_dir=folder, flush_interval=600)
        for number in range(20):
            logger.info(f"{number}")
            look(logger)
        assert logger.stats().spooled == 0
        is_delivered(server, logger, *map(str, range(20)))
        assert logger.close().pending == 0
        (line,) = said()
        assert reason in line
        assert "memory" in line

    def test_a_file_is_no_folder(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
    ) -> None:
        """If the path of the spool is the path of a file, entries wait in memory."""
        folder.write_text("mine")
        self.check(server, make_logger, folder, said, "exists")
        assert folder.read_text() == "mine"

    def test_a_path_below_a_file_is_no_folder(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
    ) -> None:
        """If the parent folder of the spool is a file, entries wait in memory."""
        folder.write_text("mine")
        self.check(server, make_logger, folder / "spool", said, "Not a directory")

    def test_a_link_is_not_used_as_a_folder(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
    ) -> None:
        """If the path of the spool is a symbolic link, entries wait in memory."""
        other = folder.parent / "other"
        other.mkdir(mode=0o700)
        folder.symlink_to(other)
        self.check(server, make_logger, folder, said, "it is a link")
        assert list(other.iterdir()) == []

    def test_a_file_system_without_locks_is_not_used(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """If the file system does not support locks, entries wait in memory."""

        def flock(_descriptor: int, _operation: int) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", flock)
        self.check(server, make_logger, folder, said, "no locks")
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("times", [1, 100])
    def test_new_lock_that_another_process_takes_is_not_used(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        times: int,
    ) -> None:
        """If other processes take every new lock first, entries wait in memory."""
        flock = fcntl.flock
        others: list[int] = []

        def late(descriptor: int, operation: int) -> None:
            if len(others) < times:
                path = Path(f"/proc/self/fd/{descriptor}").readlink()
                others.append(os.open(path, os.O_RDWR))
                flock(others[-1], operation)
            flock(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", late)
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("a")
        assert (logger.stats().spooled, logger.stats().pending) == (times == 1, 1)
        monkeypatch.undo()
        for descriptor in others:
            os.close(descriptor)
        logger.flush()

        assert messages(server) == ["a"]

    def test_files_of_dead_processes_stay_without_locks(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """If the file system does not support locks, no files of other processes are taken over."""

        def flock(_descriptor: int, _operation: int) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        path = leave(folder, server, ["left"])
        before = {each.name for each in folder.iterdir()}
        monkeypatch.setattr(fcntl, "flock", flock)
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("own")
        look(logger)
        logger.flush()

        assert messages(server) == ["own"]
        assert path.exists()
        assert {each.name for each in folder.iterdir()} == before
        assert any("cannot be taken over" in line for line in said())

    @needs_root
    def test_folder_of_another_user_is_named_as_the_reason(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        said: Callable[[], list[str]],
    ) -> None:
        """A process of root does not use another user's folder, and one line gives the reason."""
        folder.mkdir()
        os.chown(folder, NOBODY, NOBODY)
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("a")
        logger.flush()

        assert messages(server) == ["a"]
        assert any("it belongs to another user" in line for line in said())
        assert list(folder.iterdir()) == []

    @needs_root
    @pytest.mark.parametrize(("owner", "mode"), [(NOBODY, 0o500), (12345, 0o777)])
    def test_a_folder_without_rights_is_not_used(
        self, server: DevServer, public_folder: Path, owner: int, mode: int
    ) -> None:
        """If a folder is read-only or belongs to another user, it is reported and not used."""
        os.chown(public_folder, owner, owner)
        public_folder.chmod(mode)
        code = """\
            logger = logger_on(folder)
            import_all()
            os.seteuid(65534)
            for number in range(20):
                logger.info(f"{number}")
                look(logger)
            say(logger.stats().spooled)
            logger.flush()
            say(logger.stats().pending)
        """
        with Child(server, public_folder, code) as child:
            heard, words = child.end()

        assert heard == ["0", "0"]
        assert messages(server) == [str(number) for number in range(20)]
        assert len(words.splitlines()) == 1, words
        assert "memory" in words
        assert list(public_folder.iterdir()) == []


FULL_DISK = """\
    import resource
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    logger = logger_on(folder)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def log(count):
        for _ in range(count):
            logger.info(str(logger.stats().accepted))

    log(20)
    say(logger.stats().spooled)
    for _ in range(3):  # the disk is full in each round, and then free again
        limit(1)
        log(20)
        say(logger.stats().spooled)
        files = len(os.listdir(folder))
        for _ in range(20):
            look(logger)
        log(5)
        say(len(os.listdir(folder)) - files)
        limit(resource.RLIM_INFINITY)
        look(logger)
        say(logger.stats().pending - logger.stats().spooled)
    sys.stdin.readline()
"""


def test_full_disk_loses_no_entry(
    server: DevServer, tmp_path: Path, make_logger: MakeLogger
) -> None:
    """While the disk is full, entries wait in memory; later, they move to the disk in order."""
    server.refuse_connections()
    with Child(server, tmp_path, FULL_DISK) as child:
        assert child.hears() == "20"
        for spooled in (20, 45, 70):
            kept, more_files, in_memory = child.hears(), child.hears(), child.hears()
            assert spooled <= int(kept) < spooled + 20
            assert int(more_files) <= 1
            assert in_memory == "0"
        child.kill()
    server.accept_connections()
    drain(make_logger(spool_dir=tmp_path, flush_interval=600))

    assert messages(server) == [str(number) for number in range(95)]


def test_full_disk_is_reported_once(server: DevServer, tmp_path: Path) -> None:
    """One line reports the full disk, and one line reports that the disk works again."""
    with Child(server, tmp_path, FULL_DISK) as child:
        child.tell()
        _, words = child.end()

    assert len(messages(server)) == 95
    full, works = words.splitlines()
    assert "entries wait in memory only" in full
    assert "works again" in works


def remove(folder: Path) -> None:
    """Remove a folder, even if the worker makes a file in it at the same time."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


class TestWhileRunning:
    """Tests of faults that begin while the spool is in use."""

    @pytest.fixture
    def logger(self, make_logger: MakeLogger, folder: Path) -> VoyageLogger:
        logger = make_logger(spool_dir=folder, flush_interval=600)
        for number in range(3):
            logger.info(f"{number}")
        assert logger.stats().spooled == 3
        return logger

    def test_removed_folder_is_made_again(
        self,
        server: DevServer,
        logger: VoyageLogger,
        folder: Path,
        said: Callable[[], list[str]],
    ) -> None:
        """If the folder is removed, the spool makes a new folder, and no entry is lost."""
        remove(folder)
        logger.info("3")
        look(logger)
        logger.info("4")
        look(logger)
        logger.info("5")

        assert folder.is_dir()
        assert logger.stats().spooled == 6
        assert any("removed" in line for line in said())
        is_delivered(server, logger, *"012345")

    @pytest.mark.parametrize("is_another_there", [False, True])
    def test_moved_folder_is_made_again(
        self,
        server: DevServer,
        logger: VoyageLogger,
        folder: Path,
        said: Callable[[], list[str]],
        is_another_there: bool,
    ) -> None:
        """If the folder is moved, the spool makes a new folder at the old path."""
        until(lambda: logger._pipeline.queue.looks)  # type: ignore[attr-defined]
        folder.rename(folder.parent / "spool.old")
        if is_another_there:
            folder.mkdir(mode=0o700)
        look(logger)
        look(logger)
        logger.info("3")

        assert logger.stats().spooled == 4
        assert lines(folder) == 4
        assert any("or moved away" in line for line in said())
        is_delivered(server, logger, *"0123")

    def test_moved_folder_loses_no_level(
        self, server: DevServer, logger: VoyageLogger, folder: Path
    ) -> None:
        """If the folder is moved, the entries of all levels are saved."""
        logger.error("3")
        logger.debug("4")
        until(lambda: logger._pipeline.queue.looks)  # type: ignore[attr-defined]
        folder.rename(folder.parent / "spool.old")
        look(logger)

        assert logger.stats().dropped == 0
        is_delivered(server, logger, *"01234")

    def test_removed_folder_leaves_no_descriptor_open(
        self, server: DevServer, folder: Path
    ) -> None:
        """If the folder is removed many times, no descriptor of a removed file stays open."""
        code = """\
            import shutil
            logger = logger_on(folder)
            for number in range(3):
                logger.info("entry")
                assert logger.flush()
                logger.info("in the file")
                shutil.rmtree(folder)
                look(logger)
                assert logger.flush()
            logger.close()
            links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
            targets = [os.readlink(link) for link in links if os.path.islink(link)]
            say([target for target in targets if target.startswith(folder)])
        """
        if not Path("/proc/self/fd").is_dir():
            pytest.skip("this system does not tell what is open")
        with Child(server, folder, code) as child:
            said, stderr = child.end()
        assert said == ["[]"], stderr

    @pytest.mark.parametrize("part", ["", "lock", "ndjson", "sent", "dead"])
    def test_app_that_closes_the_spools_descriptors_loses_nothing(
        self, server: DevServer, folder: Path, part: str
    ) -> None:
        """If the app closes the spool's descriptors, no log call raises, and no entry is lost."""
        code = """\
            def close_those(part):
                for number in os.listdir("/proc/self/fd"):
                    target = ""
                    try:
                        target = os.readlink(f"/proc/self/fd/{number}")
                    except OSError:
                        continue
                    is_meant = target.endswith(part) and os.path.dirname(target) == folder
                    if target == folder if not part else is_meant:
                        os.close(int(number))
                        yield target

            logger = logger_on(folder)
            logger.info("refused")
            logger.info("before")
            logger.flush()
            logger.info("in the file")
            say(len(list(close_those(sys.argv[2]))))
            logger.info("after")
            logger.flush()
            look(logger)
            logger.info("refused again")
            logger.info("later")
            logger.flush()
            say(logger.stats().rejected)
            say(logger.stats().dropped)
            list(close_those(sys.argv[2]))
            logger.close()
        """
        if not Path("/proc/self/fd").is_dir():
            pytest.skip("this system does not tell what is open")
        server.rules = Rules(refuse_containing="refused")
        part = f".{part}.ndjson" if part == "dead" else part and f".{part}"
        with Child(server, folder, code, part) as child:
            said, stderr = child.end()
        assert "Traceback" not in stderr
        assert said[1:] == ["2", "0"], stderr
        assert int(said[0]) > 0
        arrived = [text for text in messages(server) if not text.startswith("voyage-logger")]
        assert sorted(arrived) == ["after", "before", "in the file", "later"]

    def test_entries_of_a_removed_segment_are_saved(
        self,
        server: DevServer,
        logger: VoyageLogger,
        folder: Path,
        said: Callable[[], list[str]],
    ) -> None:
        """If another program removes one segment, no entry is lost."""
        next(folder.glob("*.info.*")).unlink()
        look(logger)
        logger.info("3")
        look(logger)

        assert any("removed" in line for line in said())
        is_delivered(server, logger, *"0123")

    def test_removed_segment_is_read_before_the_next_maintenance(
        self, server: DevServer, logger: VoyageLogger, folder: Path
    ) -> None:
        """If an open segment is removed, the worker still sends the entries of the segment."""
        for path in folder.glob("*.info.*"):
            path.unlink()
        logger.error("3")

        is_delivered(server, logger, *"0123")

    def test_removed_folder_loses_no_level(
        self, server: DevServer, logger: VoyageLogger, folder: Path
    ) -> None:
        """If the folder is removed, the next log call saves the entries of all levels."""
        remove(folder)
        logger.error("3")

        is_delivered(server, logger, *"0123")

    def test_removed_lock_file_is_made_again(
        self, server: DevServer, logger: VoyageLogger, folder: Path, make_logger: MakeLogger
    ) -> None:
        """If another program removes the lock file, the spool makes the lock file again."""
        (lock,) = folder.glob("*.lock")
        lock.unlink()
        look(logger)

        assert lock.exists()
        other = make_logger(spool_dir=folder, flush_interval=600)
        other.info("other")
        look(other)
        assert other.stats().adopted == 0
        is_delivered(server, logger, *"012")

    def test_new_lock_file_names_the_destination(
        self, logger: VoyageLogger, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A new lock file contains the destination, even if the first write to the file fails."""
        (lock,) = folder.glob("*.lock")
        before = json.loads(lock.read_text())["destination"]
        write = os.write

        def short(descriptor: int, data: bytes) -> int:
            return write(descriptor, data[:-10] if data.startswith(b'{"pid"') else data)

        monkeypatch.setattr(os, "write", short)
        lock.unlink()
        look(logger)
        assert not lock.exists()
        monkeypatch.undo()
        look(logger)

        assert json.loads(lock.read_text())["destination"] == before

    def test_removed_lock_file_of_adopted_entries_is_made_again(
        self, server: DevServer, logger: VoyageLogger, folder: Path, make_logger: MakeLogger
    ) -> None:
        """If the lock file of adopted entries is removed, the adopting process makes it again."""
        server.refuse_connections()
        owner = leave(folder, server, ["left"]).name.split(".")[1]
        look(logger)
        until(lambda: logger.stats().adopted == 1)  # the worker might be adopting the entry
        lock = folder / f"v1.{owner}.lock"
        lock.unlink()
        look(logger)

        until(lock.exists)
        other = make_logger(spool_dir=folder, flush_interval=600)
        other.info("other")
        look(other)
        assert other.stats().adopted == 0

    def test_write_error_loses_no_entry(
        self,
        server: DevServer,
        logger: VoyageLogger,
        folder: Path,
        said: Callable[[], list[str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """After an I/O error, entries wait in memory until the disk works again."""
        write = os.write

        def broken(descriptor: int, data: bytes) -> int:
            if data.startswith(b'{"spool_seq"'):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return write(descriptor, data)

        monkeypatch.setattr(os, "write", broken)
        logger.info("3")
        look(logger)
        logger.info("4")
        assert logger.stats().spooled == 3
        assert len(said()) == 1
        monkeypatch.undo()
        look(logger)
        logger.info("5")

        assert logger.stats().spooled == 6
        is_delivered(server, logger, *"012345")

    def test_short_write_leaves_no_half_line(
        self, server: DevServer, logger: VoyageLogger, monkeypatch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        """If only half a line is written, this half is removed, and the entry waits in memory."""
        write = os.write

        def short(descriptor: int, data: bytes) -> int:
            is_entry = data.startswith(b'{"spool_seq"')
            return write(descriptor, data[: len(data) // 2] if is_entry else data)

        monkeypatch.setattr(os, "write", short)
        logger.info("3")
        monkeypatch.undo()

        assert next(folder.glob("*.info.*")).read_bytes().endswith(b"}\n")
        is_delivered(server, logger, *"0123")

    def test_entries_of_an_unreadable_segment_are_dropped_and_its_file_stays(
        self,
        server: DevServer,
        logger: VoyageLogger,
        folder: Path,
        said: Callable[[], list[str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """If a segment can no longer be read, a line reports lost entries. Other entries arrive."""
        path = next(folder.glob("*.info.*"))
        read = os.read

        def broken(descriptor: int, count: int) -> bytes:
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return read(descriptor, count)

        monkeypatch.setattr(os, "read", broken)
        logger.error("3")
        logger.flush()
        monkeypatch.undo()

        assert messages(server)[:1] == ["3"]
        assert logger.stats().dropped_by == {"unreadable": 3}
        assert_law(logger.stats())
        assert any("cannot be read" in line for line in said())
        logger.close()
        assert len(path.read_bytes().splitlines()) == 3

    def test_segment_that_was_cut_loses_only_the_missing_entries(
        self, server: DevServer, logger: VoyageLogger, folder: Path
    ) -> None:
        """If another program cuts off a part of a segment, only entries in this part are lost."""
        path = next(folder.glob("*.info.*"))
        os.truncate(path, path.read_bytes().index(b"\n") + 10)
        logger.flush()
        logger.info("later")
        logger.flush()

        assert messages(server)[0] == "0"
        assert "later" in messages(server)
        assert logger.stats().dropped_by == {"unreadable": 2}
        assert_law(logger.stats())

    @needs_root
    @pytest.mark.parametrize("when", ["mended", "closed"])
    def test_segment_that_cannot_be_removed_is_not_sent_twice(
        self, server: DevServer, public_folder: Path, when: str
    ) -> None:
        """If a delivered segment cannot be removed, its entries are not sent a second time."""
        os.chown(public_folder, NOBODY, NOBODY)
        code = """\
            logger = logger_on(folder)
            import_all()
            os.seteuid(65534)
            logger.info("first")
            logger.flush()
            logger.info("second")
            os.chmod(folder, 0o500)
            logger.flush()
            say(logger.stats().pending)
            logger.error("third")
            logger.flush()
            say(logger.stats().pending)
            if sys.argv[2] == "mended":
                os.chmod(folder, 0o700)
            say(logger.close().pending)
            os.chmod(folder, 0o700)
            say(len(os.listdir(folder)) == 0)
            logger = logger_on(folder)
            logger.info("fourth")
            look(logger)
            logger.flush()
            logger.close()
            say(len(os.listdir(folder)))
        """
        with Child(server, public_folder, code, when) as child:
            heard, words = child.end()

        assert "Traceback" not in words
        assert heard == ["0", "0", "0", str(when == "mended"), "0"]
        assert messages(server) == ["first", "second", "third", "fourth"]

    def test_journal_that_cannot_be_written_is_reported(
        self,
        server: DevServer,
        logger: VoyageLogger,
        said: Callable[[], list[str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """If the journal cannot be written, delivery continues, and one line reports the fault."""

        def broken(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "replace", broken)
        logger.flush()
        until(lambda: any("cannot be noted" in line for line in said()))
        monkeypatch.undo()

        is_delivered(server, logger, *"012")


def test_dead_letter_has_the_entry_and_the_servers_words(
    server: DevServer, make_logger: MakeLogger, folder: Path
) -> None:
    """A dead letter holds the rejected entry, the reason and the server's message."""
    server.rules = Rules(refuse_containing="bad")
    logger = make_logger(spool_dir=folder, flush_interval=600)
    logger.info("good")
    logger.info("bad one", app_user_id="7")
    logger.flush()
    logger.close()

    (path,) = folder.iterdir()
    (line,) = path.read_text().splitlines()
    letter = json.loads(line)
    assert letter["reason"] == "HTTP 400"
    assert letter["entry"]["message"] == "bad one"
    assert letter["words"]
    assert "spool_seq" not in letter["entry"]
