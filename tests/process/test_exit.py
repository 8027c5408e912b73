"""At exit, a process sends its entries within its time limit, and reports losses.

The matrix combines each ending of a program with each kind of server. The first test of each
variant runs all programs of this variant, four at a time, because a program waits most of the time.
"""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import AN_HOUR_LATER, BRIEF, SLACK, Done, messages, run
from voyage_logger.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Sequence

TOO_LATE = """\
import builtins
class Mortal:
    def __del__(self, logger=logger, say=say, is_finalizing=sys.is_finalizing):
        logger.info("too late")
        say(f"{is_finalizing()} {logger.stats().dropped_by if self.counts else None}")
builtins.mortal = Mortal()
mortal.counts = COUNTS
"""
LOG = "for n in range(7): logger.info(f'entry {n}')\nlogger.error('entry 7')\n"
# This line imports `requests` early: an interrupt of a later import would change the exit code.
LOADED = "import requests\n"
THREADS = """\
enough = threading.Semaphore(0)
def work(name, last):
    n = 0
    while n != last:
        logger.info(f"{name} {n}")
        say(f"{name} {n}")
        enough.release()
        time.sleep(0.001)  # a thread also does other work; no test waits for this
        n += 1
def start(last, daemon):
    threads = [threading.Thread(target=work, args=(name, last), daemon=daemon) for name in "abcd"]
    for thread in threads: thread.start()
    return threads
"""
ENDINGS = {
    "end of main": LOG + "ending()",
    "sys.exit": LOG + "ending(); sys.exit(3)",
    "exception": LOG + "ending(); raise ValueError",
    "interrupt": LOADED + LOG + "ending(); signal.raise_signal(signal.SIGINT)",
    "flush_on_sigterm": (
        "flush_on_sigterm()\n" + LOG + "ending(); os.kill(os.getpid(), signal.SIGTERM)"
    ),
    "logging in an exit hook": (
        "def hook(): logger.error('entry 7')\n"
        "atexit.register(hook)\n" + LOG.replace("logger.error('entry 7')", "ending()")
    ),
    "logging in a slow exit hook": (
        "def hook():\n"
        f" exec({AN_HOUR_LATER!r}, globals())\n"
        " logger.error('entry 7')\n"
        "atexit.register(hook)\n" + LOG.replace("logger.error('entry 7')", "ending()")
    ),
    "first entry in an exit hook": f"def hook():\n {LOG.replace(chr(10), chr(10) + ' ')}\n"
    "atexit.register(hook); ending()",
    "threads": (
        THREADS + "start(2, daemon=False)[-1].join()\n"
        "threading.Thread(target=lambda: (threading.main_thread().join(), ending())).start()"
    ),
    "daemon threads": (
        THREADS + "start(-1, daemon=True)\nfor _ in range(40): enough.acquire()\nending()"
    ),
    "sigterm": LOG + "logger.flush(shutdown)\nending(); os.kill(os.getpid(), signal.SIGTERM)",
}
CODES = {
    "sys.exit": 3,
    "exception": 1,
    "interrupt": -signal.SIGINT,
    "flush_on_sigterm": -signal.SIGTERM,
    "sigterm": -signal.SIGTERM,
}
AWAY = ("refusing", "hanging", "unresolvable")
SERVERS = ("healthy", *AWAY)
PATIENT = 5.0  # seconds; even a busy machine can send all entries within this time

# Each variant has the flags of Python, and True if stderr is closed.
VARIANTS = {
    "plain": (("-W", "error"), False),
    "development mode": (("-X", "dev", "-W", "error"), False),
    "no stderr": (("-W", "error"), True),
}


def shutdown_of(kind: str) -> float:
    """Return the `shutdown_timeout` for a kind of server, in seconds."""
    return PATIENT if kind == "healthy" else BRIEF


def is_in_time(done: Done, kind: str) -> bool:
    """Return True if the exit hooks were in time. If no hooks ran, the whole exit is measured."""
    most = shutdown_of(kind) + 1
    return done.hook_seconds < most if done.hook_seconds > 0 else done.exit_seconds < most + SLACK


@dataclass(frozen=True)
class Cell:
    """The result of one program of the matrix, and the entries that arrived at its server."""

    done: Done
    arrived: Sequence[str]

    @property
    def logged(self) -> set[str]:
        """Return the entries of the log calls that have certainly returned."""
        return set(self.done.said) or {f"entry {n}" for n in range(8)}


Cells = dict[tuple[str, str], Cell]
Matrix = Callable[[str, str, str], Cell]


def run_matrix(variant: str, endings: Sequence[str]) -> Cells:
    """Run a program for each ending and each kind of server."""
    flags, closed_stderr = VARIANTS[variant]
    with ExitStack() as stack:
        taken = stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))  # no program listens at this port
        silent = stack.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)  # connections succeed, but no answer comes
        urls = {
            "refusing": f"http://127.0.0.1:{taken.getsockname()[1]}",
            "hanging": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "unresolvable": "https://voyage-logger.invalid",
        }

        def run_one(cell: tuple[str, str]) -> Cell:
            """Run a program. If the exit was slow, try again: the machine might be busy."""
            for _ in range(3):
                found = run_once(cell)
                if is_in_time(found.done, cell[1]):
                    break
            return found

        def run_once(cell: tuple[str, str]) -> Cell:
            ending, kind = cell
            environ = {} if kind == "healthy" else {"VOYAGE_LOGS_URL": urls[kind]}
            with DevServer() as server:
                done = run(
                    server,
                    ENDINGS[ending],
                    flags=flags,
                    environ=environ,
                    shutdown=shutdown_of(kind),
                    closed_stderr=closed_stderr,
                )
                assert not server.duplicates()
                return Cell(done, messages(server))

        cells = [(ending, kind) for ending in endings for kind in SERVERS]
        pool = stack.enter_context(ThreadPoolExecutor(4))
        return dict(zip(cells, pool.map(run_one, cells), strict=True))


def words_of(done: Done) -> list[str]:
    """Return the lines on stderr without the lines of the program's own traceback."""
    own = r"^Traceback .*\n(?:  .*\n)+(?:ValueError|KeyboardInterrupt)\n"
    return re.sub(own, "", done.err, count=1, flags=re.MULTILINE).splitlines()


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    """Return a function that runs all programs of a variant once, and returns a cell."""
    run_all = cache(run_matrix)

    def cell(variant: str, ending: str, kind: str) -> Cell:
        return run_all(variant, tuple(ENDINGS))[ending, kind]

    return cell


each_ending = pytest.mark.parametrize(
    ("variant", "ending"),
    [
        pytest.param(
            variant,
            ending,
            marks=[] if variant == "plain" else pytest.mark.soak,
        )
        for variant in VARIANTS
        for ending in ENDINGS
    ],
)


@each_ending
def test_entries_arrive_when_the_server_can_take_them(
    matrix: Matrix, variant: str, ending: str
) -> None:
    """If the server works, each entry arrives once and stderr is empty, however a program ends."""
    cell = matrix(variant, ending, "healthy")
    assert cell.logged <= set(cell.arrived)
    assert len(set(cell.arrived)) == len(cell.arrived)
    if "threads" not in ending:
        assert cell.arrived == sorted(cell.logged)
    assert words_of(cell.done) == []


@each_ending
@pytest.mark.parametrize("kind", SERVERS)
def test_exit_is_bounded_and_its_code_is_the_program_s(
    matrix: Matrix, variant: str, ending: str, kind: str
) -> None:
    """No server delays the exit by more than `shutdown_timeout` plus one second.

    This limit does not include the time after the exit hooks.
    """
    done = matrix(variant, ending, kind).done
    assert done.code == CODES.get(ending, 0), done.err
    assert done.exit_seconds >= 0
    assert (done.hook_seconds < 0) == (CODES.get(ending) == -signal.SIGTERM)
    assert is_in_time(done, kind), done


@each_ending
@pytest.mark.parametrize("kind", AWAY)
def test_losses_at_exit_are_counted_exactly(
    matrix: Matrix, variant: str, ending: str, kind: str
) -> None:
    """One line counts the lost entries. A second line counts lost entries from exit hooks."""
    cell = matrix(variant, ending, kind)
    assert cell.arrived == []
    losses = cell.done.losses
    told = (" lost (", ": entries are waiting: ")  # the second text appears on slow machines
    assert [line for line in words_of(cell.done) if not any(map(line.__contains__, told))] == []
    if VARIANTS[variant][1] or ending == "sigterm":  # SIGTERM ends Python before a line is written
        assert losses == []
    elif ending.startswith("logging in"):  # the exit hook logs after the first line is written
        assert losses == [
            "voyage-logger: 7 entries lost (7 info): 7 shutdown",
            "voyage-logger: 1 entry lost (1 error): 1 shutdown",
        ]
    elif ending == "first entry in an exit hook":  # each log call causes its own line
        assert losses == [
            "voyage-logger: 1 entry lost (1 info): 1 shutdown",
            "voyage-logger: 7 entries lost (6 info, 1 error): 7 shutdown",
        ]
    elif ending == "daemon threads":  # the threads continue to log after the first line
        assert len(losses) <= 2
        assert sum(int(line.split()[1]) for line in losses) >= 40
    elif ending == "threads":
        assert losses == ["voyage-logger: 8 entries lost (8 info): 8 shutdown"]
    else:
        assert losses == ["voyage-logger: 8 entries lost (7 info, 1 error): 8 shutdown"]


def test_entry_of_a_destructor_at_the_very_end_is_counted(server: DevServer) -> None:
    """If a destructor logs an entry too late to be sent, the entry counts as dropped."""
    code = TOO_LATE.replace("COUNTS", "True") + "logger.info('x')\nending()"
    done = run(server, code)
    assert (done.code, done.said) == (0, ("True {'shutdown': 1}",))
    assert messages(server) == ["x"]


def test_destructor_at_the_very_end_does_not_wait_for_a_frozen_thread(server: DevServer) -> None:
    """At the very end, a destructor can log even if a frozen thread holds the queue's lock."""
    code = """\
taking, taken = threading.Event(), threading.Event()
def hold():
    taking.wait()
    with logger._pipeline.queue.lock:
        taken.set()
        time.sleep(1000)
threading.Thread(target=hold, daemon=True).start()
# This hook runs after all exit hooks of the package.
atexit.unregister(voyage_logger._delivery.exit_and_fork._tell_rest)
atexit.register(lambda: (taking.set(), taken.wait()))
atexit.register(voyage_logger._delivery.exit_and_fork._tell_rest)
logger.info("x")
ending()
"""
    done = run(server, TOO_LATE.replace("COUNTS", "False") + code)
    assert (done.code, done.said) == (0, ("True None",))
    assert messages(server) == ["x"]
