"""The spool's bounds, its order, and how it ends with the process."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import until
from tests.support.spooling import Child, assert_law, leave, look, messages, slow_down
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.ndjson"))


class TestBound:
    @pytest.fixture
    def logger(self, server: DevServer, make_logger: MakeLogger, folder: Path) -> VoyageLogger:
        server.refuse_connections()
        return make_logger(spool_dir=folder, **SMALL)

    def test_of_bytes_holds_at_every_call(self, logger: VoyageLogger, folder: Path) -> None:
        """The files never take more than `max_spool_bytes`, and what is given up is counted."""
        for _ in range(800):
            logger.info("x" * 1000)
            assert size_of(folder) <= 256 * KIB

        stats = logger.stats()
        assert stats.dropped == stats.dropped_by["spool_full"] > 0
        assert stats.spooled == stats.pending == 800 - stats.dropped
        assert stats.pending * 1000 > 128 * KIB  # a segment at a time, not all of it
        assert_law(stats)

    def test_gives_up_the_lowest_level_first(self, server: DevServer, logger: VoyageLogger) -> None:
        """A flood of debug lines costs no error."""
        for number in range(20):
            logger.error(f"error {number}")
        for _ in range(800):
            logger.debug("x" * 1000)
        server.accept_connections()
        logger.flush()

        kept = [text for text in messages(server) if text.startswith("error")]
        assert kept == [f"error {number}" for number in range(20)]
        assert logger.stats().dropped_by.keys() == {"spool_full"}

    def test_gives_up_the_oldest_of_a_level_first(self, folder: Path) -> None:
        """Of equal entries the newest tell most; what is in flight stays."""
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

        # Sorted, for the newest get a turn before all older ones are sent.
        assert sorted(numbers) == [*range(50), *range(50 + dropped, 800)]

    def test_counts_what_somebody_removes_as_that(
        self, server: DevServer, logger: VoyageLogger, folder: Path
    ) -> None:
        """A file that is no longer open cannot be saved; the loss says why."""
        for _ in range(80):  # fewer than would be sent at once
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
        """A logger whose worker has had its first look: the next one is the test's."""
        logger.info("own")
        until(lambda: logger._pipeline.queue.looks)  # type: ignore[attr-defined]
        return logger

    def test_holds_up_no_backlog_that_is_larger(
        self, server: DevServer, looked: VoyageLogger, folder: Path
    ) -> None:
        """One is taken over in any case, and is no reason to give up anything."""
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
        look(looked)  # from here on, what was taken over makes no more room
        for _ in range(400):
            looked.info("z" * 1000)
        assert size_of(folder) <= 256 * KIB

    def test_counts_nothing_that_is_delivered(
        self, server: DevServer, looked: VoyageLogger, folder: Path
    ) -> None:
        """Neither of the own segment being written, nor of a dead owner's."""
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

    def test_tells_once_what_has_to_wait(
        self,
        server: DevServer,
        looked: VoyageLogger,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Backlogs that do not fit beside others are no secret, and are sent in the end."""
        for number in range(3):
            owner = f"000000000{number}-7-00000007"
            leave(folder, server, ["x" * 1000] * 200, owner=owner)
        for _ in range(3):
            look(looked)
            monkeypatch.setattr(diagnostics, "_last_said", {})  # as a minute later
        assert looked.stats().adopted == 200
        lines = [line for line in capsys.readouterr().err.splitlines() if "no room" in line]
        assert len(lines) == 1
        assert "what 2 more have left" in lines[0]
        server.accept_connections()

        def is_all_sent() -> bool:
            look(looked)
            looked.flush()
            return server.count() == 601

        until(is_all_sent)

    def test_of_age_ends_what_is_too_old(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """With `max_spool_age`, entries of long ago are given up, counted, and not sent."""
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

    def test_of_age_ends_what_this_process_cannot_send(self, folder: Path) -> None:
        """The same for its own, once nothing was written to their file for so long."""
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

    def test_of_bytes_holds_for_what_is_taken_over(self, server: DevServer, folder: Path) -> None:
        """What has no room waits in its place, until what was taken over is sent."""
        for owner in (1, 2):
            name = f"000000000{owner}-{owner}-0000000{owner}"
            leave(folder, server, [f"{owner}" * 1000] * 120, owner=name)
        spool = SpoolSettings(folder, 256 * KIB, None, server.url)
        queue = SpoolQueue(100, 1 << 20, spool, Diagnostics())

        def adopted() -> int:
            queue._segments.look_at = 0.0
            queue.maintain()
            return queue.stats().adopted

        assert (adopted(), adopted()) == (120, 120)
        queue.settle(len(queue.take(1000, 1 << 20)))
        assert adopted() == 240
        queue.close("closed")


class TestFill:
    def test_is_of_bytes_or_entries_whichever_is_more(self, folder: Path) -> None:
        """Few large entries are as good a reason to hurry as many small ones."""
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
    def test_set_anew_changes_nothing_for_the_living(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        jump: float,
    ) -> None:
        """What they wrote is neither too old nor an orphan's, and is sent."""
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

    def test_set_back_makes_nothing_of_the_dead_too_old(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Files of the future are as good as new."""
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
    def test_with_the_server_away_is_soon_and_loses_nothing(
        self, server: DevServer, make_logger: MakeLogger, folder: Path, trouble: str
    ) -> None:
        """No waiting for a dead server, no line of a loss; the next process delivers."""
        if trouble == "refuse":
            server.refuse_connections()
        elif trouble == "hang":
            server.script_sign_in(*[Fault(hang=True)] * 3)
        else:
            server.script(*[Fault(status=503)] * 3)
        with Child(server, folder, self.CODE) as child:
            (seconds,), words = child.end()

        assert float(seconds) < 15  # of the thirty that it may
        assert "lost" not in words
        server.release()
        server.reset()
        server.accept_connections()
        logger = make_logger(spool_dir=folder, flush_interval=600)
        logger.info("next")
        look(logger)
        until(lambda: not logger.stats().pending or logger.flush() is None)
        assert sorted(messages(server)) == sorted([*map(str, range(50)), "next"])

    def test_ends_the_taking_over(
        self,
        server: DevServer,
        make_logger: MakeLogger,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Whoever is closed while it takes over one owner leaves the others alone, and that one."""
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
        assert changed == {"v1.0000000000-7-00000007.lock"}  # says who had it

    def test_with_all_delivered_leaves_nothing(self, server: DevServer, folder: Path) -> None:
        """A clean exit leaves an empty folder."""
        with Child(server, folder, self.CODE) as child:
            _, words = child.end()

        assert words == ""
        assert messages(server) == [str(number) for number in range(50)]
        assert list(folder.iterdir()) == []

    def test_with_a_part_delivered_does_not_send_it_again(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """The next process goes on where the last one stopped."""
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
    def test_is_delivered_in_the_order_of_the_calls(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """After an outage all levels come in the order of their calls."""
        server.refuse_connections()
        logger = make_logger(spool_dir=folder, flush_interval=600)
        levels = [logger.debug, logger.info, logger.warn, logger.error]
        for number in range(1000):
            levels[number * 7 % 4](f"{number}")
        server.accept_connections()
        logger.flush()

        assert messages(server) == [str(number) for number in range(1000)]

    def test_is_probed_for_with_one_request(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """While the server fails, one request is tried again, and no other."""
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
        assert max(sizes) > 1000  # once it works, a backlog takes few requests
        assert messages(server) == ["first", *map(str, range(4000))]

    def test_does_not_hold_up_what_is_urgent(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """A critical entry has the next request, however much waits before it."""
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

        assert batches["now"] <= confirmed + 2  # one was under way
        assert batches["now"] < batches.get("4999", NEVER)

    def test_is_sent_oldest_owner_first(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """Whoever died first has waited for longest, also if more did than are taken at a time."""
        for number in [3, 11, 0, 7, 1, 10, 2, 9, 4, 8, 6, 5]:
            leave(folder, server, [f"left {number}"], owner=f"00000000{number:02}-7-00000007")
        make_logger(spool_dir=folder, flush_interval=0.05).info("own")
        server.wait_for_entries(13, timeout=30)

        left = [text for text in messages(server) if text.startswith("left")]
        assert left == [f"left {number}" for number in range(12)]

    def test_of_many_owners_needs_no_half_minute_for_eight(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """Once those taken over are sent, the next ones follow at once."""
        for number in range(60):
            leave(folder, server, [f"left {number}"], owner=f"00000000{number:02}-7-00000007")
        logger = make_logger(spool_dir=folder, flush_interval=0.05)
        logger.info("own")

        server.wait_for_entries(61, timeout=30)
        assert server.duplicates() == {}

    def test_of_which_nothing_can_be_sent_is_in_nobody_s_way(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """Owners whose entries are all given up make place for the next ones."""
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

    def test_takes_no_memory(self, server: DevServer, folder: Path) -> None:
        """However much waits, the process grows by less than a batch or two."""
        code = """\
            import resource
            logger = logger_on(folder, max_queue_bytes=4 << 20)
            logger.info("first")  # all that sends is in memory once it is there
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
            assert int(child.hears()) < 8 * KIB  # of the 20 MiB that was logged
            assert child.hears() == "35000"
            child.kill()

    @pytest.mark.soak
    def test_of_300_000_takes_no_memory_to_deliver(self, server: DevServer, folder: Path) -> None:
        """A day of it is read piece by piece: memory does not grow with what waits."""
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
            assert grown < 24 * KIB  # of the 120 MiB that waited; a request takes some MiB
        assert server.count() == 305_000


class TestSharing:
    def test_one_folder_by_two_loggers_of_a_process(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """Each keeps and sends its own."""
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

    def test_a_fork_has_the_parents_entries_sent_once(
        self, server: DevServer, folder: Path
    ) -> None:
        """What the parent logged is the parent's, what the child logs is the child's."""
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
    def test_leaves_what_is_on_the_disk_as_it_is(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """A line that was written is never changed; each entry is sent by itself."""
        logger = make_logger(spool_dir=folder, flush_interval=600, collapse=600)
        for _ in range(5):
            logger.info("again")

        assert logger.flush()
        assert server.count() == 5
        assert logger.stats().collapsed == 0


class TestPrivacy:
    def test_files_are_their_users_alone(
        self, server: DevServer, make_logger: MakeLogger, folder: Path
    ) -> None:
        """The folder is 0700 and each file 0600, whatever the umask; no secret is in any."""
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
