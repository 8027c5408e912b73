"""The spool under SIGKILL: what a log call returned for arrives, whatever was under way."""

from __future__ import annotations

import random
import secrets
import signal
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import until
from tests.support.spooling import Child, look, messages
from voyage_logger.devserver import Fault, Rules

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger.devserver import DevServer

# Logs until it is killed; says each number once the log call has returned.
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
    """Kills process after process on one folder, and compares what was said with what came."""

    def __init__(self, server: DevServer, folder: Path, seed: int) -> None:
        self.server, self.folder = server, folder
        self.seed = seed
        self.random = random.Random(seed)
        self.returned: set[str] = set()
        self.kills = self.lost_answers = 0
        print(f"seed {seed}")

    def kill_one(self) -> None:
        """One process, from its start to a random instant."""
        with Child(self.server, self.folder, LOG_ON, self.random.getrandbits(32), self.kills) as it:
            assert it.hears() == "ready"
            heard = [it.hears() for _ in range(self.random.randint(1, 600))]
            heard += it.kill()
        self.kills += 1
        self.returned.update(heard)

    def misbehave(self) -> None:
        """Spoils some of the next requests, or all of them for a while."""
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
        """Has a new process's logger deliver what is left."""
        self.server.release()
        self.server.accept_connections()
        self.server.rules = Rules()
        self.server._running()._scripts["batch"].clear()  # of faults that no kill has used up
        logger = make_logger(spool_dir=self.folder, flush_interval=0.05, timeout=(5.0, 30.0))
        while True:
            logger.info("the end")
            logger.flush()
            look(logger)  # it takes over some owners at a time
            if not logger.stats().pending and len(list(self.folder.glob("*.lock"))) == 1:
                break
        assert logger.close().pending == 0

    def check(self) -> None:
        """All are there, and what came twice was in flight at a kill."""
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


def test_a_kill_at_any_instant_loses_nothing(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path
) -> None:
    """Each entry that a log call returned for arrives; only what was in flight may come twice."""
    run_matrix(server, make_logger, tmp_path / "spool", 4, is_kind=True)


@pytest.mark.soak
def test_a_kill_while_the_server_misbehaves_loses_nothing(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path
) -> None:
    """The same with outages, broken answers and refusals meanwhile."""
    run_matrix(server, make_logger, tmp_path / "spool", 4, is_kind=False)


@pytest.mark.soak
@pytest.mark.parametrize("is_kind", [True, False])
def test_a_hundred_kills_lose_nothing(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path, is_kind: bool
) -> None:
    """The same, often: on a kind server, and on one that misbehaves."""
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
def test_orphans_of_killed_workers_have_one_new_parent_each(
    server: DevServer, tmp_path: Path, adopters: int
) -> None:
    """Four forked workers are killed at once; those who start next send each entry once."""
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


def test_a_child_that_does_not_log_keeps_nothing_of_its_dead_parent(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path
) -> None:
    """The parent's entries are an orphan's once it is killed, though a child of it lives on."""
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


def test_a_process_that_is_stopped_keeps_its_entries(server: DevServer, tmp_path: Path) -> None:
    """One that lives but does nothing is no orphan, and delivers when it goes on."""
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


def test_orphans_are_found_while_running(server: DevServer, tmp_path: Path) -> None:
    """A process that runs on takes over, after a while, what another one has left since."""
    with (
        Child(server, tmp_path, "    segments._SECONDS = 0.05\n" + ADOPT) as living,
        Child(server, tmp_path, LOG_SOME) as dying,
    ):
        assert living.hears() == "started"
        assert dying.hears() == "logged"
        dying.kill()
        until(lambda: living.answer() == "50")  # its worker may be the one that looks
        assert living.end() == ([], "")

    assert sorted(messages(server)) == sorted([*[f"slow {n}" for n in range(50)], "hello"])
    assert server.duplicates() == {}


FROZEN = """\
    from freezegun import freeze_time
    signal.alarm(30)
    freeze_time("2031-05-05").start()
    for name in [name for name in sys.modules if name.startswith("voyage_logger._queue.spool")]:
        del sys.modules[name]  # imported before by this program's prelude, and by no app
    logger = logger_on(folder)
    logger.info("hello")
    nothing = threading.Event()
    while logger.stats().adopted < 401: nothing.wait(0.01)  # by the worker, in its own time
    say("adopted")
    while logger.stats().pending: logger.flush()
"""


def test_orphans_are_adopted_while_an_app_freezes_time(server: DevServer, tmp_path: Path) -> None:
    """The spool, which is imported when it is wanted, keeps the clock that goes on."""
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
