"""The spool keeps its size limit and the order of entries, and loses no entry at exit."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import assert_law, until
from tests.support.processes import messages
from tests.support.spooling import Child, leave, look, slow_down
from voyage_logger._base import diagnostics
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import ERROR, INFO
from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings
from voyage_logger.devserver import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer

KIB = 1024
SMALL: dict[str, Any] = {
    "flush_interval": 600,
    "max_spool_bytes": 256 * KIB,
    "max_batch_bytes": 64 * KIB,
    "max_entry_bytes": 16 * KIB,
}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.ndjson"))


class TestBound:
    @pytest.fixture
    def logger(self, server: DevServer, make_logger: MakeLogger, folder: Path) -> VoyageLogger:
        server.refuse_connections()
        return make_logger(spool_dir=folder, **SMALL)

    def test_files_never_exceed_max_spool_bytes(self, logger: VoyageLogger, folder: Path) -> None:
        """The files never take more than `max_spool_bytes`, and dropped entries are counted."""
        for _ in range(800):
            logger.info("x" * 1000)
            assert size_of(folder) <= 256 * KIB

        stats = logger.stats()
        assert stats.dropped == stats.dropped_by["spool_full"] > 0
        assert stats.spooled == stats.pending == 800 - stats.dropped
        assert stats.pending * 1000 > 128 * KIB  # the spool sheds one file at a time
        assert_law(stats)

    def test_full_spool_drops_the_lowest_level_first(
        self, server: DevServer, logger: VoyageLogger
    ) -> None:
        """The spool drops all debug entries before it drops any error entry."""
        for number in range(20):
            logger.error(f"error {number}")
        for _ in range(800):
            logger.debug("x" * 1000)
        server.accept_connections()
        logger.flush()

        kept = [text for text in messages(server) if text.startswith("error")]
        assert kept == [f"error {number}" for number in range(20)]
        assert logger.stats().dropped_by.keys() == {"spool_full"}

    def test_full_spool_drops_the_oldest_entries_of_a_level_first(self, folder: Path) -> None:
        """The spool keeps the newest entries of a level and all entries in flight."""
        queue = SpoolQueue(1, 1 << 20, SpoolSettings(folder, 256 * KIB, None, "x"), Diagnostics())
        numbers: list[int] = []

        def take() -> int:
            batch = queue.take(50, 1 << 20)
            numbers.extend(json.loads(payload)["n"] for _, _, payload in batch)
            return len(batch)

        for number in range(800):
            queue.append(b'{"n":%d,"text":"%b"}' % (number, b"x" * 1000), INFO)
            if number == 100:
                assert take() == 50
        dropped = queue.stats().dropped
        queue.settle(50)
        while count := take():
            queue.settle(count)
        queue.close("closed")

        # The test sorts the list, because new entries can overtake old entries.
        assert sorted(numbers) == [*range(50), *range(50 + dropped, 800)]

    def test_entries_of_a_removed_closed_file_count_as_spool_deleted(
        self, server: DevServer, logger: VoyageLogger, folder: Path
    ) -> None:
        """If another program removes a full file, the file's entries count as `spool_deleted`."""
        for _ in range(80):  # 80 entries do not fill a batch, so the worker waits
            logger.info("x" * 1000)
        first, *others = sorted(folder.glob("*.info.*"))
        count = len(first.read_bytes().splitlines())
        assert others
        first.unlink()
        server.accept_connections()
        logger.flush()

        assert logger.stats().dropped_by == {"spool_deleted": count}
        assert_law(logger.stats())

    @pytest.fixture
    def looked(self, logger: VoyageLogger) -> VoyageLogger:
        """Return a logger whose worker has done its first maintenance."""
        logger.info("own")
        until(lambda: logger._pipeline.queue.looks)  # type: ignore[attr-defined]
        return logger

    def test_backlog_larger_than_the_limit_is_sent(
        self, server: DevServer, looked: VoyageLogger, folder: Path
    ) -> None:
        """A dead owner is taken over even if its files are larger than `max_spool_bytes`."""
        leave(folder, server, [f"{'x' * 1000} {number}" for number in range(300)])
        look(looked)
        assert looked.stats().adopted == 300
        for number in range(150):
            looked.info(f"{'y' * 1000} {number}")
        assert looked.stats().dropped == 0
        server.accept_connections()
        until(lambda: (looked.flush(), looked.stats().pending)[1] == 0)

        assert server.count() == 451
        assert looked.stats().dropped == 0
        server.refuse_connections()
        look(looked)  # all adopted entries are delivered, so the limit is 256 KiB again
        for _ in range(400):
            looked.info("z" * 1000)
        assert size_of(folder) <= 256 * KIB

    def test_delivered_entries_take_no_room(
        self, server: DevServer, looked: VoyageLogger, folder: Path
    ) -> None:
        """Entries that are already delivered do not count towards `max_spool_bytes`."""
        server.accept_connections()
        for _ in range(40):
            looked.info("x" * 1000)
        looked.flush()
        server.refuse_connections()
        leave(folder, server, ["first"], owner="0000000001-7-00000001")
        texts = ["x" * 1000] * 260
        path = leave(folder, server, texts, owner="0000000002-7-00000002")
        sent = len(b"".join(path.read_bytes().splitlines(keepends=True)[:100]))
        leave(folder, server, texts, owner="0000000002-7-00000002", sent=sent)
        look(looked)

        assert looked.stats().adopted == 161
        assert looked.stats().dropped == 0

    def test_backlogs_without_room_are_reported_once(
        self,
        server: DevServer,
        looked: VoyageLogger,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """One line reports all backlogs for which there is no room; they are sent later."""
        for number in range(3):
            owner = f"000000000{number}-7-00000007"
            leave(folder, server, ["x" * 1000] * 200, owner=owner)
        for _ in range(3):
            look(looked)
            monkeypatch.setattr(diagnostics, "_last_said", {})  # simulates that a minute has passed
        assert looked.stats().adopted == 200
        lines = [line for line in capsys.readouterr().err.splitlines() if "no room" in line]
        assert len(lines) == 1
        assert "the files of 2 more dead owners" in lines[0]
        server.accept_connections()

        def is_all_sent() -> bool:
            look(looked)
            looked.flush()
            return server.count() == 601

        until(is_all_sent)

    def test_entries_of_dead_owners_expire_after_max_spool_age(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """If entries of dead owners are too old, they are not sent, but count as `expired`."""
        path = leave(folder, server, ["old"])
        os.utime(path, (1, 1))
        logger = make_logger(spool_dir=folder, max_spool_age=3600, flush_interval=600)
        server.refuse_connections()
        logger.info("new")
        look(logger)
        server.accept_connections()
        logger.flush()

        assert "old" not in messages(server)
        assert logger.stats().dropped_by == {"expired": 1}
        assert not path.exists()

    def test_own_entries_expire_after_max_spool_age(self, folder: Path) -> None:
        """If nothing was written to a file for `max_spool_age` seconds, its entries are dropped."""
        now = 0.0
        spool = SpoolSettings(folder, 1 << 20, 3600, "x")
        queue = SpoolQueue(100, 1 << 20, spool, Diagnostics(), clock=lambda: now)

        def pending_at(time: float, *lanes: int) -> int:
            nonlocal now
            now = time
            for lane in lanes:
                queue.append(b'{"message":"x"}', lane)
            queue.maintain()
            return queue.stats().pending

        assert pending_at(0, INFO, ERROR) == 2
        assert pending_at(3000, INFO) == 3
        assert pending_at(4000) == 2
        assert pending_at(7000) == 0
        assert queue.losses() == {("expired", ERROR): 1, ("expired", INFO): 2}
        assert [path.name for path in folder.iterdir() if ".ndjson" in path.name] == []
        queue.close("closed")

    def test_files_without_room_wait_until_adopted_files_are_sent(
        self, server: DevServer, folder: Path
    ) -> None:
        """Files of dead owners are taken over only when the spool has room."""
        for owner in (1, 2):
            name = f"000000000{owner}-{owner}-0000000{owner}"
            leave(folder, server, [f"{owner}" * 1000] * 120, owner=name)
        spool = SpoolSettings(folder, 256 * KIB, None, server.url)
        queue = SpoolQueue(100, 1 << 20, spool, Diagnostics())

        def adopted() -> int:
            queue._failure.look_at = 0.0
            queue.maintain()
            return queue.stats().adopted

        assert (adopted(), adopted()) == (120, 120)
        queue.settle(len(queue.take(1000, 1 << 20)))
        assert adopted() == 240
        queue.close("closed")


class TestFill:
    def test_fill_is_the_larger_share_of_bytes_and_entries(self, folder: Path) -> None:
        """`fill()` compares bytes and entries with their limits, and returns the larger share."""
        spool = SpoolSettings(folder, 4 << 20, None, "x")
        large = SpoolQueue(100, 1 << 20, spool, Diagnostics())
        for _ in range(4):
            large.append(b'{"message":"%b"}' % (b"x" * (128 * KIB)), INFO)
        assert 0.5 < large.fill() < 0.51
        large.take(3, 1 << 20)
        assert 0.125 < large.fill() < 0.13
        small = SpoolQueue(100, 1 << 20, spool, Diagnostics())
        for _ in range(40):
            small.append(b'{"message":"x"}', INFO)
        assert small.fill() == 0.4
        large.close("closed")
        small.close("closed")


class TestClock:
    @pytest.mark.parametrize("jump", [-1e9, 1e9])
    def test_changed_clock_does_not_affect_a_running_process(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        jump: float,
    ) -> None:
        """If the system clock is changed, a running process keeps its entries."""
        server.refuse_connections()
        logger = make_logger(spool_dir=folder, max_spool_age=3600, flush_interval=600)
        logger.info("before")
        clock = time.time
        monkeypatch.setattr(time, "time", lambda: clock() + jump)
        logger.info("after")
        look(logger)
        other = make_logger(spool_dir=folder, max_spool_age=3600, flush_interval=600)
        other.info("other")
        look(other)

        assert other.stats().adopted == 0
        assert logger.stats().spooled == 2
        server.accept_connections()
        assert logger.flush()
        assert other.flush()
        assert messages(server) == ["before", "after", "other"]

    def test_files_with_a_time_in_the_future_do_not_expire(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A file whose modification time is in the future does not expire."""
        leave(folder, server, ["left"])
        clock = time.time
        monkeypatch.setattr(time, "time", lambda: clock() - 1e9)
        logger = make_logger(spool_dir=folder, max_spool_age=3600, flush_interval=0.05)
        logger.info("own")

        server.wait_for_entries(2, timeout=30)
        assert sorted(messages(server)) == ["left", "own"]


class TestEnd:
    CODE = """\
        import atexit
        began = []
        atexit.register(lambda: say(time.monotonic() - began[0]))
        logger = logger_on(folder, shutdown_timeout=30)
        for number in range(50):
            logger.info(f"{number}")
        began.append(time.monotonic())
    """

    @pytest.mark.parametrize("trouble", ["refuse", "hang", "503"])
    def test_exit_without_a_server_is_quick_and_loses_nothing(
        self, server: DevServer, make_logger: MakeLogger, folder: Path, trouble: str
    ) -> None:
        """If no server works, a process ends quickly, and the next process sends its entries."""
        if trouble == "refuse":
            server.refuse_connections()
        elif trouble == "hang":
            server.script_sign_in(*[Fault(hang=True)] * 3)
        else:
            server.script(*[Fault(status=503)] * 3)
        with Child(server, folder, self.CODE) as child:
            (seconds,), words = child.end()

        assert float(seconds) < 15  # seconds; an exit that takes longer has waited for the server
        assert "lost" not in words
        server.release()
        server.reset()
        server.accept_connections()
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("next")
        look(logger)
        until(lambda: not logger.stats().pending or logger.flush() is None)
        assert sorted(messages(server)) == sorted([*map(str, range(50)), "next"])

    def test_close_ends_an_adoption(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """If a logger is closed while it adopts entries, the files of dead owners stay."""
        for number in range(3):
            leave(folder, server, ["left"], owner=f"000000000{number}-7-00000007")
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        released, reading = threading.Event(), threading.Event()
        slow_down(monkeypatch, released, reading, seconds=30)
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("own")
        assert reading.wait(30)
        logger.close(timeout=0)
        released.set()
        until(lambda: "voyage-logger" not in [thread.name for thread in threading.enumerate()])

        assert logger.stats().adopted == 0
        after = {path.name: path.read_bytes() for path in folder.iterdir()}
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {"v1.0000000000-7-00000007.lock"}  # the lock file names the adopter

    def test_exit_after_delivery_leaves_an_empty_folder(
        self, server: DevServer, folder: Path
    ) -> None:
        """A process that has delivered all entries leaves no file."""
        with Child(server, folder, self.CODE) as child:
            _, words = child.end()

        assert words == ""
        assert messages(server) == [str(number) for number in range(50)]
        assert list(folder.iterdir()) == []

    def test_next_process_sends_only_the_undelivered_entries(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """The next process sends the entries that follow the last delivered entry."""
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("a")
        logger.flush()
        server.refuse_connections()
        logger.info("b")
        assert logger.close(timeout=0.1).pending == 1
        server.accept_connections()
        following = make_logger(spool_dir=folder, flush_interval=600)
        look(following)
        until(lambda: (following.flush(), following.stats().pending)[1] == 0)

        assert messages(server) == ["a", "b"]


class TestBacklog:
    def test_backlog_is_delivered_in_the_order_of_the_log_calls(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """After an outage, entries of all levels arrive in the order of their log calls."""
        server.refuse_connections()
        logger = make_logger(spool_dir=folder, flush_interval=600)
        levels = [logger.debug, logger.info, logger.warn, logger.error]
        for number in range(1000):
            levels[number * 7 % 4](f"{number}")
        server.accept_connections()
        logger.flush()

        assert messages(server) == [str(number) for number in range(1000)]

    def test_failing_server_gets_one_request_again_and_again(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """While the server fails, the worker repeats one request, and makes no other requests."""
        server.script(*[Fault(status=503)] * 2)
        logger = make_logger(spool_dir=folder, flush_interval=600, batch_size=10)
        logger.info("first")
        logger.flush(timeout=0)
        server.wait_for_requests(1)
        for number in range(4000):
            logger.info(f"{number}")
        until(lambda: (logger.flush(), logger.stats().pending)[1] == 0)

        requests = [each for each in server.requests if each.endpoint == "batch"]
        sizes = [len(json.loads(each.body)["logs"]) for each in requests]
        assert [each.status for each in requests][:3] == [503, 503, 200]
        assert sizes[:3] == [1, 1, 1]
        assert max(sizes) > 1000  # a working server gets the backlog in a few large requests
        assert messages(server) == ["first", *map(str, range(4000))]

    def test_critical_entry_overtakes_a_backlog(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """A critical entry is sent with the next request, even if many other entries wait."""
        leave(folder, server, [f"{number}" for number in range(5000)])
        server.script(*[Fault(delay=0.05)] * 200)
        logger = make_logger(spool_dir=folder, flush_interval=600, batch_size=20)
        look(logger)
        logger.info("start")
        logger.flush(timeout=0)
        server.wait_for_requests(3)
        logger.critical("now")
        confirmed = server.stats()["batches"]
        until(lambda: "now" in messages(server))
        batches = {row.entry["message"]: row.batch for row in server.stored()}

        assert batches["now"] <= confirmed + 2  # another request was already being sent
        assert batches["now"] < batches.get("4999", NEVER)

    def test_backlog_of_the_oldest_owner_is_sent_first(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """The entries of the oldest owner are sent first. Eight owners are adopted at a time."""
        for number in [3, 11, 0, 7, 1, 10, 2, 9, 4, 8, 6, 5]:
            leave(folder, server, [f"left {number}"], owner=f"00000000{number:02}-7-00000007")
        make_logger(spool_dir=folder, flush_interval=0.05).info("own")
        server.wait_for_entries(13, timeout=30)

        left = [text for text in messages(server) if text.startswith("left")]
        assert left == [f"left {number}" for number in range(12)]

    def test_next_owners_are_taken_over_as_soon_as_there_is_room(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """After the entries of eight owners are sent, the worker takes over the next owners."""
        for number in range(60):
            leave(folder, server, [f"left {number}"], owner=f"00000000{number:02}-7-00000007")
        logger = make_logger(spool_dir=folder, flush_interval=0.05)
        logger.info("own")

        server.wait_for_entries(61, timeout=30)
        assert server.duplicates() == {}

    def test_owners_with_only_dropped_entries_make_room_for_others(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """If all entries of some owners are dropped, the worker takes over the next owners."""
        for number in range(20):
            leave(folder, server, [], tail=b"garbage\n", owner=f"00000000{number:02}-7-00000007")
        leave(folder, server, ["left"], owner="0000000099-7-00000007")
        logger = make_logger(spool_dir=folder, flush_interval=0.05)
        logger.info("own")

        def is_sent() -> bool:
            look(logger)
            logger.flush()
            return "left" in messages(server)

        until(is_sent)
        assert logger.stats().dropped_by == {"corrupt": 20}

    def test_waiting_entries_take_no_memory(self, server: DevServer, folder: Path) -> None:
        """While 20 MiB of entries wait on the disk, the process needs less than 8 MiB for them."""
        code = """\
            import resource
            logger = logger_on(folder, max_queue_bytes=4 << 20)
            logger.info("first")  # after this, the code for sending is loaded
            say(logger.flush(30).pending)
            sys.stdin.readline()
            def grown(count):
                for _ in range(count):
                    logger.info("x" * 200)
                return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            before = grown(5_000)
            say(grown(30_000) - before)
            say(logger.stats().spooled)
        """
        with Child(server, folder, code) as child:
            assert child.hears() == "0"
            server.refuse_connections()
            child.tell()
            assert int(child.hears()) < 8 * KIB  # in KiB
            assert child.hears() == "35000"
            child.kill()

    @pytest.mark.soak
    def test_delivery_of_300_000_entries_takes_no_memory(
        self, server: DevServer, folder: Path
    ) -> None:
        """The worker reads a large backlog in pieces, so the process needs little memory."""
        code = """\
            import resource
            def peak():
                return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            logger = logger_on(folder, max_queue_bytes=4 << 20)
            for _ in range(5_000):
                logger.info("x" * 200)
            say(logger.flush(60).pending)
            before = peak()
            say("away?")
            sys.stdin.readline()
            for _ in range(300_000):
                logger.info("x" * 200)
            say(logger.stats().spooled)
            sys.stdin.readline()
            say(bool(logger.flush(300)))
            say(peak() - before)
        """
        with Child(server, folder, code) as child:
            assert child.hears() == "0"
            assert child.hears() == "away?"
            server.refuse_connections()
            child.tell()
            assert child.hears() == "300000"
            server.accept_connections()
            child.tell()
            assert child.hears() == "True"
            grown = int(child.hears())
            print("grown by", grown, "KiB")
            assert grown < 24 * KIB  # the backlog has 120 MiB; a request needs a few MiB
        assert server.count() == 305_000


class TestSharing:
    def test_two_loggers_of_a_process_share_a_folder(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """If two loggers share a folder, each logger sends only its own entries."""
        one, two = (make_logger(spool_dir=folder, flush_interval=600) for _ in range(2))
        for number in range(10):
            one.info(f"one {number}")
            two.info(f"two {number}")
        look(one)
        look(two)
        one.flush()
        two.flush()

        assert (one.stats().adopted, two.stats().adopted) == (0, 0)
        assert server.count() == 20
        assert server.duplicates() == {}

    def test_entries_from_before_a_fork_are_sent_once(
        self, server: DevServer, folder: Path
    ) -> None:
        """After a fork, the parent and the child each send only their own entries."""
        code = """\
            logger = logger_on(folder)
            logger.info("parent 1")
            pid = os.fork()
            logger.info("parent 2" if pid else "child")
            if pid:
                os.waitpid(pid, 0)
        """
        with Child(server, folder, code) as child:
            assert child.end() == ([], "")

        assert sorted(messages(server)) == ["child", "parent 1", "parent 2"]
        assert list(folder.iterdir()) == []


class TestCollapse:
    def test_collapse_does_not_change_lines_on_the_disk(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """`collapse` does not change lines on the disk, so all entries are sent."""
        logger = make_logger(spool_dir=folder, flush_interval=600, collapse=600)
        for _ in range(5):
            logger.info("again")

        assert logger.flush()
        assert server.count() == 5
        assert logger.stats().collapsed == 0


class TestPrivacy:
    def test_only_the_user_can_read_the_files(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """Whatever the umask is, the folder has mode 0700, and each file has mode 0600."""
        before = os.umask(0)
        try:
            logger = make_logger(spool_dir=folder, flush_interval=600)
            logger.info("a")
            logger.flush()
            logger.info("b")
        finally:
            os.umask(before)

        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        kinds = {path.name.split(".", 2)[2] for path in folder.iterdir()}
        assert kinds == {"lock", "info.000001.ndjson", "sent"}
        for path in folder.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert server.api_secret not in path.read_text()
            assert server.api_key not in path.read_text()
