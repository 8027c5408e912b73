"""SIGKILL ends processes. After a crash, each entry whose log call has returned still arrives."""

from __future__ import annotations

import random
import secrets
import signal
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import until
from tests.support.processes import messages
from tests.support.spooling import Child, look
from voyage_logger.devserver import Fault, Rules

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger.devserver import DevServer

# This program logs numbers until it is killed. A number is printed after its log call has returned.
LOG_ON = """\
    seed, run = int(sys.argv[2]), sys.argv[3]
    choose = random.Random(seed).choice
    segments._SECONDS = segments._SECONDS_WHILE_FAILING = 0.05
    logger = logger_on(folder, batch_size=20, flush_interval=0.05)
    levels = [logger.debug, logger.info, logger.warn, logger.error]
    say("ready")
    number = 0
    while True:
        choose(levels)(f"{run}-{number}", tags=["x" * choose([1, 1, 1, 3000])])
        say(f"{run}-{number}")
        number += 1
        if number % 100 == 0:
            time.sleep(0.005)
"""


class Matrix:
    """Kills processes that share a folder, and compares the logged and the sent entries."""

    def __init__(self, server: DevServer, folder: Path, seed: int) -> None:
        self.server, self.folder = server, folder
        self.seed = seed
        self.random = random.Random(seed)
        self.returned: set[str] = set()
        self.kills = self.lost_answers = 0
        print(f"seed {seed}")

    def kill_one(self) -> None:
        """Start a process and kill it at a random moment."""
        with Child(self.server, self.folder, LOG_ON, self.random.getrandbits(32), self.kills) as it:
            assert it.hears() == "ready"
            heard = [it.hears() for _ in range(self.random.randint(1, 600))]
            heard += it.kill()
        self.kills += 1
        self.returned.update(heard)

    def misbehave(self) -> None:
        """Make the server fail for some of the next requests, or for a while."""
        if self.random.random() < 0.3:
            self.server.refuse_connections()
            return
        self.server.accept_connections()
        kinds = (
            Fault(),
            Fault(status=503),
            Fault(reset="before"),
            Fault(reset="after"),
            Fault(cut=True),
            Fault(delay=0.02),
            Fault(hang=True),
        )
        faults = self.random.choices(kinds, k=2)
        self.lost_answers += sum(fault.reset == "after" or fault.cut for fault in faults)
        self.server.script(*faults)
        self.server.rules = Rules(max_entries=self.random.choice([None, 7]))

    def drain(self, make_logger: MakeLogger) -> None:
        """Start a logger that delivers the remaining entries."""
        self.server.release()
        self.server.accept_connections()
        self.server.rules = Rules()
        self.server._running()._scripts["batch"].clear()  # removes the faults that were not used
        logger = make_logger(spool_dir=self.folder, flush_interval=0.05, timeout=(5.0, 30.0))
        while True:
            logger.info("the end")
            logger.flush()
            look(logger)  # one call takes over only some of the owners
            if not logger.stats().pending and len(list(self.folder.glob("*.lock"))) == 1:
                break
        assert logger.close().pending == 0

    def check(self) -> None:
        """Check that all entries arrived, and that only entries in flight arrived twice."""
        where = f"seed {self.seed}"
        missing = self.returned - set(messages(self.server))
        assert not missing, f"{where}: {len(missing)} of {len(self.returned)}"
        assert not [path.name for path in self.folder.iterdir()], where
        batches_of: dict[str, list[int]] = defaultdict(list)
        ids: dict[str, set[str]] = defaultdict(set)
        for row in self.server.stored():
            if row.entry["message"] == "the end":
                continue
            batches_of[row.entry["message"]].append(row.batch)
            ids[row.entry["message"]].add(row.entry["meta_data"]["log_id"])
        assert all(len(of_one) == 1 for of_one in ids.values()), where
        again = {batch for batches in batches_of.values() for batch in batches[:-1]}
        assert len(again) <= self.kills + self.lost_answers, where


def run_matrix(
    server: DevServer, make_logger: MakeLogger, folder: Path, kills: int, *, is_kind: bool
) -> None:
    matrix = Matrix(server, folder, secrets.randbits(32))
    for _ in range(kills):
        if not is_kind:
            matrix.misbehave()
        matrix.kill_one()
    matrix.drain(make_logger)
    matrix.check()


def test_kill_at_any_moment_loses_no_entry(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path
) -> None:
    """A kill at any moment loses no entry, and only entries in flight can arrive twice."""
    run_matrix(server, make_logger, tmp_path / "spool", 4, is_kind=True)


@pytest.mark.soak
def test_kill_while_the_server_fails_loses_no_entry(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path
) -> None:
    """No entry is lost if processes are killed while the server fails."""
    run_matrix(server, make_logger, tmp_path / "spool", 4, is_kind=False)


@pytest.mark.soak
@pytest.mark.parametrize("is_kind", [True, False])
def test_a_hundred_kills_lose_no_entry(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path, is_kind: bool
) -> None:
    """A hundred kills lose no entry, with a working or a failing server."""
    run_matrix(server, make_logger, tmp_path / "spool", 100, is_kind=is_kind)


FORKED = """\
    logger = logger_on(folder)
    logger.info("from the parent")
    for number in range(4):
        if os.fork() == 0:
            for count in range(100):
                getattr(logger, ["debug", "info", "error"][count % 3])(f"{number}-{count}")
            say("logged")
            signal.pause()
    signal.pause()
"""

ADOPT = """\
    logger = logger_on(folder)
    logger.info("hello")
    say("started")
    for line in sys.stdin:
        look(logger)
        say(logger.stats().adopted)
    while logger.stats().pending:
        logger.flush()
"""


@pytest.mark.parametrize("adopters", [1, 2])
def test_entries_of_killed_workers_are_sent_once(
    server: DevServer, tmp_path: Path, adopters: int
) -> None:
    """If four forked workers are killed, the processes that start next send each entry once."""
    server.refuse_connections()
    with Child(server, tmp_path, FORKED) as them:
        assert [them.hears() for _ in range(4)] == ["logged"] * 4
        them.kill()
    server.accept_connections()
    new = [Child(server, tmp_path, ADOPT) for _ in range(adopters)]
    for child in new:
        assert child.hears() == "started"
    until(lambda: sum(int(child.answer()) for child in new) == 401)
    for child in new:
        _, words = child.end()
        assert words == ""

    expected = [f"{number}-{count}" for number in range(4) for count in range(100)]
    assert sorted(messages(server)) == sorted([*expected, "from the parent", *["hello"] * adopters])
    assert server.duplicates() == {}
    assert list(tmp_path.iterdir()) == []


SILENT_CHILD = """\
    logger = logger_on(folder)
    logger.info("from the parent")
    if os.fork() == 0:
        say("forked")
        sys.stdin.readline()
        os._exit(0)
    signal.pause()
"""


def test_forked_child_does_not_hold_the_lock_of_its_dead_parent(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path
) -> None:
    """After a parent process dies, its entries are adopted, although its child still runs."""
    server.refuse_connections()
    with Child(server, tmp_path, SILENT_CHILD) as parent:
        assert parent.hears() == "forked"
        parent.process.kill()
        parent.process.wait(30)
        server.accept_connections()
        logger = make_logger(spool_dir=tmp_path, flush_interval=600)
        logger.info("hello")

        def is_adopted() -> bool:
            look(logger)
            return logger.stats().adopted == 1

        until(is_adopted, timeout=30)
        until(lambda: (logger.flush(), logger.stats().pending)[1] == 0, timeout=30)
        parent.tell()

        assert sorted(messages(server)) == ["from the parent", "hello"]


LOG_SOME = """\
    logger = logger_on(folder)
    for number in range(50):
        logger.info(f"slow {number}")
    say("logged")
    sys.stdin.readline()
    logger.flush()
"""


def test_stopped_process_keeps_its_entries(server: DevServer, tmp_path: Path) -> None:
    """If SIGSTOP pauses a process, other processes do not treat the process as dead."""
    with Child(server, tmp_path, LOG_SOME) as slow, Child(server, tmp_path, ADOPT) as other:
        assert slow.hears() == "logged"
        slow.signal(signal.SIGSTOP)
        assert other.hears() == "started"
        for _ in range(3):
            other.tell()
            assert other.hears() == "0"
        slow.signal(signal.SIGCONT)
        slow.tell()
        assert slow.end() == ([], "")
        assert other.end() == ([], "")

    assert sorted(messages(server)) == sorted([*[f"slow {n}" for n in range(50)], "hello"])
    assert server.duplicates() == {}


def test_running_process_adopts_entries_of_a_new_dead_process(
    server: DevServer, tmp_path: Path
) -> None:
    """A process that already runs adopts the entries of another process that dies later."""
    with (
        Child(server, tmp_path, "    segments._SECONDS = 0.05\n" + ADOPT) as running,
        Child(server, tmp_path, LOG_SOME) as ending,
    ):
        assert running.hears() == "started"
        assert ending.hears() == "logged"
        ending.kill()
        until(lambda: running.answer() == "50")  # the worker might still be adopting them
        assert running.end() == ([], "")

    assert sorted(messages(server)) == sorted([*[f"slow {n}" for n in range(50)], "hello"])
    assert server.duplicates() == {}


FROZEN = """\
    from freezegun import freeze_time
    signal.alarm(30)
    freeze_time("2031-05-05").start()
    for name in [name for name in sys.modules if name.startswith("voyage_logger._queue.spool")]:
        del sys.modules[name]  # only this program's prelude has imported the spool
    logger = logger_on(folder)
    logger.info("hello")
    nothing = threading.Event()
    while logger.stats().adopted < 401: nothing.wait(0.01)  # the worker adopts them
    say("adopted")
    while logger.stats().pending: logger.flush()
"""


def test_entries_are_adopted_while_the_app_freezes_time(server: DevServer, tmp_path: Path) -> None:
    """Entries are adopted even if the app stops its clock with freezegun."""
    server.refuse_connections()
    with Child(server, tmp_path, FORKED) as them:
        assert [them.hears() for _ in range(4)] == ["logged"] * 4
        them.kill()
    server.accept_connections()
    with Child(server, tmp_path, FROZEN) as frozen:
        assert frozen.hears() == "adopted"
        assert frozen.end() == ([], "")
    assert len(messages(server)) == 402
    assert server.duplicates() == {}
