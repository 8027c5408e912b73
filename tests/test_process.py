"""Exit and fork, in processes of their own, against a real server."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from functools import cache
from typing import TYPE_CHECKING

import pytest

from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHUTDOWN = 1.0  # seconds, given to the loggers here
BRIEF = 0.4  # the same, where it is used up because the server is away


def run(
    server: DevServer,
    code: str,
    *,
    flags: tuple[str, ...] = ("-W", "error"),
    environ: dict[str, str] | None = None,
    shutdown: float = SHUTDOWN,
) -> subprocess.CompletedProcess[str]:
    """Runs code that logs with `logger` in a process of its own, to its end."""
    prelude = f"""\
        import os, sys, threading, atexit
        from voyage_logger import VoyageLogger
        logger = VoyageLogger("app", shutdown_timeout={shutdown}, flush_interval=600)
        """
    return subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(prelude) + textwrap.dedent(code)],
        env={**os.environ, **server.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def messages(server: DevServer) -> list[str]:
    return [entry["message"] for entry in server.entries()]


@pytest.mark.parametrize(
    "ending", ["", "sys.exit(3)", "raise ValueError", "raise KeyboardInterrupt"]
)
def test_exit_sends_what_is_queued(server: DevServer, ending: str) -> None:
    """However main ends, what was logged arrives; the exit code is the program's own."""
    own = subprocess.run(
        [sys.executable, "-c", f"import sys\n{ending}"], capture_output=True, check=False
    )
    # CPython forgets an interrupt's exit code when a string is executed later, as the import of
    # the HTTP stack does: here it is in place before.
    code = "for n in range(250): logger.info(f'entry {n}'); n == 100 and logger.flush()\n"
    done = run(server, code + ending)
    assert done.returncode == own.returncode
    assert messages(server) == [f"entry {n}" for n in range(250)]
    assert "voyage-logger" not in done.stderr


def test_entry_logged_during_exit_arrives(server: DevServer) -> None:
    """An exit hook that was registered first runs last, and may still log."""
    done = run(
        server,
        """\
        atexit.register(lambda: logger.info("last words"))
        logger.info("first words")
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(server) == ["first words", "last words"]


def test_first_entry_of_a_process_may_come_during_exit(server: DevServer) -> None:
    """Where no thread can be started any more (3.12 and later), the entry is sent inline."""
    done = run(server, 'atexit.register(lambda: logger.info("only words"))')
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(server) == ["only words"]


def test_entry_logged_by_del_at_the_very_end_is_harmless(server: DevServer) -> None:
    """A `__del__` that logs while modules are torn down neither hangs nor prints."""
    done = run(
        server,
        """\
        class Late:
            def __del__(self, logger=logger): logger.info("too late")
        late = Late()
        late.itself = late
        logger.info("in time")
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(server)[0] == "in time"


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port that is taken but where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@pytest.mark.parametrize("trouble", ["refused", "hanging", "unresolvable"])
def test_exit_is_bounded_and_says_what_was_lost(
    server: DevServer, refusing_port: int, trouble: str
) -> None:
    """A server that is away holds exit up for `shutdown_timeout` at most, then one line counts."""
    environ = {
        "refused": {"VOYAGE_LOGS_URL": f"http://127.0.0.1:{refusing_port}"},
        "hanging": {},
        "unresolvable": {"VOYAGE_LOGS_URL": "http://voyage-logger.invalid"},
    }[trouble]
    if trouble == "hanging":
        server.script_sign_in(*[Fault(hang=True)] * 10)
    started = time.monotonic()
    done = run(
        server,
        "[logger.info('x') for _ in range(7)]; logger.error('y')",
        environ=environ,
        shutdown=BRIEF,
    )
    elapsed = time.monotonic() - started
    bare = _bare_seconds()
    assert elapsed - bare < BRIEF + 1
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if "lost" in line]
    assert lines == ["voyage-logger: 8 entries lost (7 info, 1 error): 8 shutdown"]


@cache
def _bare_seconds() -> float:
    """How long the interpreter and the import alone take on this machine."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "import voyage_logger, requests"], check=True)
    return time.monotonic() - started


def test_exit_does_not_wait_where_waiting_is_no_use(server: DevServer) -> None:
    """Refused credentials will not become right within seconds: exit does not use up its time."""
    done = run(
        server,
        """\
        import time
        atexit.register(lambda: print(time.monotonic() - began))  # runs after the logger's hook
        logger.info("x")
        logger.flush(0.2)
        began = time.monotonic()
        """,
        environ={"VOYAGE_LOGS_SECRET": "wrong"},
    )
    assert float(done.stdout) < SHUTDOWN / 2
    assert "1 shutdown" in done.stderr


def test_two_loggers_share_the_time_at_exit(server: DevServer, refusing_port: int) -> None:
    """The limit holds for all loggers together, not for each."""
    code = f"""\
        others = [VoyageLogger("app", shutdown_timeout={BRIEF}) for _ in range(4)]
        for each in (logger, *others): each.info("x")
        """
    started = time.monotonic()
    run(
        server,
        code,
        environ={"VOYAGE_LOGS_URL": f"http://127.0.0.1:{refusing_port}"},
        shutdown=BRIEF,
    )
    assert time.monotonic() - started - _bare_seconds() < BRIEF + 1


def test_closed_stderr_is_no_trouble(server: DevServer) -> None:
    """A daemon without a standard error logs, loses and exits like any other."""
    done = run(
        server,
        "sys.stderr = None\nos.close(2)\nlogger.log('odd', 'x')\nlogger.close()\nlogger.info('y')",
    )
    assert done.returncode == 0
    assert messages(server) == ["x"]


def test_without_threads_flush_and_exit_deliver(server: DevServer) -> None:
    """At a system's limit of threads the caller of flush, and the exit, do the worker's job."""
    done = run(
        server,
        """\
        def no_more(self): raise RuntimeError("can't start new thread")
        threading.Thread.start = no_more
        logger.info("one")
        assert logger.stats().pending == 1
        result = logger.flush()
        assert result and result.delivered == 1, result
        logger.info("two")
        """,
    )
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "no thread" not in line] == []
    assert messages(server) == ["one", "two"]


def test_without_threads_flush_keeps_its_time_limit(server: DevServer) -> None:
    """The caller's thread is not held by a server that hangs."""
    server.script(*[Fault(hang=True)] * 9)
    done = run(
        server,
        """\
        def no_more(self): raise RuntimeError("can't start new thread")
        threading.Thread.start = no_more
        logger.info("one")
        result = logger.flush(0.3)
        print(bool(result), result.pending, result.elapsed < 2)
        """,
        shutdown=BRIEF,
    )
    assert done.stdout.split() == ["False", "1", "True"]


def test_threads_that_outlive_the_main_thread_are_no_exit(server: DevServer) -> None:
    """A program that lives in its non-daemon threads goes on logging; nothing is dropped."""
    done = run(
        server,
        """\
        import time
        def work():
            threading.main_thread().join()
            logger.info("early")
            logger.flush()
            time.sleep(SHUTDOWN + 0.2)  # what is tested is that this time does not matter
            for n in range(20): logger.info(f"late {n}")
            logger.flush()
        threading.Thread(target=work).start()
        """.replace("SHUTDOWN", str(BRIEF)),
        shutdown=BRIEF,
    )
    assert done.returncode == 0
    assert messages(server) == ["early", *(f"late {n}" for n in range(20))]


def test_interrupt_during_the_drain_is_accounted_for(server: DevServer) -> None:
    """Ctrl-C at exit ends the waiting; what is left is still counted in one line."""
    server.script_sign_in(*[Fault(hang=True)] * 9)
    code = """\
        from voyage_logger import VoyageLogger
        logger = VoyageLogger("app", shutdown_timeout=30)
        logger.info("x")
        print("exiting", flush=True)
        """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **server.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        server.wait_for_requests(1, endpoint="sign-in")
        deadline = time.monotonic() + 20
        while child.poll() is None and time.monotonic() < deadline:
            child.send_signal(signal.SIGINT)  # until one comes during the drain
            try:
                child.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        _, err = child.communicate()
    assert "1 entry lost (1 info): 1 shutdown" in err


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_exception_from_a_signal_handler_leaves_no_lock_held(server: DevServer) -> None:
    """Ctrl-C, or a time limit by alarm, may hit any place of a log call; others can go on."""
    done = run(
        server,
        """\
        import contextlib, signal, time

        class Interrupt(BaseException): pass

        is_armed = False

        def interrupt(number, frame):
            if is_armed: raise Interrupt

        def log_until_interrupted():
            global is_armed
            try:
                is_armed = True
                # One at a time: CPython 3.10 lets a second one in before the lock is let go.
                signal.setitimer(signal.ITIMER_REAL, 0.001)
                while time.monotonic() < deadline: logger.info("x")
            except Interrupt:
                return 1
            finally:
                is_armed = False
            return 0

        signal.signal(signal.SIGALRM, interrupt)
        deadline = time.monotonic() + 1.5
        hits = 0
        while hits < 500 and time.monotonic() < deadline:
            with contextlib.suppress(Interrupt): hits += log_until_interrupted()
        signal.setitimer(signal.ITIMER_REAL, 0)

        def try_lock():
            acquired = logger._pipeline.queue.lock.acquire(timeout=5)
            print(hits > 50, acquired, flush=True)
            os._exit(0)

        threading.Thread(target=try_lock).start()
        """,
        flags=(),
    )
    assert done.stdout.split() == ["True", "True"]


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
FORKING = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")  # 3.12 warns of threads


@needs_fork
def test_fork_sends_each_entry_once(server: DevServer) -> None:
    """Entries before and after a fork, in parent and child, arrive once each."""
    done = run(
        server,
        """\
        logger.info("parent before")
        child = os.fork()
        if child == 0:
            assert logger.stats().accepted == 0
            logger.info("child")
        else:
            os.waitpid(child, 0)
            logger.info("parent after")
        """,
        flags=FORKING,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(messages(server)) == ["child", "parent after", "parent before"]
    runs = {entry["meta_data"]["log_id"].partition("-")[0] for entry in server.entries()}
    assert len(runs) == 2


@needs_fork
def test_child_makes_connections_of_its_own(server: DevServer) -> None:
    """Two processes on one connection would read each other's answers."""
    done = run(
        server,
        """\
        logger.info("parent")
        logger.flush()
        child = os.fork()
        logger.info("child" if child == 0 else "parent again")
        logger.flush()
        if child != 0:
            os.waitpid(child, 0)
        """,
        flags=FORKING,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(messages(server)) == ["child", "parent", "parent again"]
    assert server.connections == 2


@needs_fork
def test_child_that_does_not_log_leaves_the_parent_s_entries_alone(server: DevServer) -> None:
    """A child's exit neither sends nor reports what its parent has queued."""
    done = run(
        server,
        """\
        logger.info("parent")
        child = os.fork()
        if child != 0:
            os.waitpid(child, 0)
            assert logger.stats().pending == 1
        """,
        flags=FORKING,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(server) == ["parent"]


@needs_fork
def test_child_of_a_fork_that_skipped_the_hooks_starts_empty(server: DevServer) -> None:
    """Servers that fork from C run no Python hooks; the next log call notices by the pid."""
    done = run(
        server,
        """\
        from voyage_logger import _process
        _process._pipelines.clear()  # so the hook finds nothing to do
        logger.info("parent")
        child = os.fork()
        if child == 0:
            logger.info("child")
            logger.flush()
            os._exit(0)
        os.waitpid(child, 0)
        logger.flush()
        """,
        flags=FORKING,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(messages(server)) == ["child", "parent"]


@needs_fork
def test_fork_while_another_thread_holds_the_lock(server: DevServer) -> None:
    """A child that was forked in the middle of somebody's append logs all the same."""
    done = run(
        server,
        """\
        logger.info("parent")
        held, done = threading.Event(), threading.Event()
        def hold():
            with logger._pipeline.queue.lock:
                held.set()
                done.wait()
        threading.Thread(target=hold).start()
        held.wait()
        child = os.fork()
        if child == 0:
            logger.info("child")
            logger.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        done.set()
        sys.exit(os.waitstatus_to_exitcode(status))
        """,
        flags=FORKING,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(messages(server)) == ["child", "parent"]


MULTIPROCESSING = """\
import multiprocessing, sys
from voyage_logger import VoyageLogger

logger = VoyageLogger("app", flush_interval=600)

def work(number):
    logger.info(f"child {number}")

if __name__ == "__main__":
    logger.info("parent")
    context = multiprocessing.get_context(sys.argv[1])
    children = [context.Process(target=work, args=(number,)) for number in range(3)]
    for child in children: child.start()
    for child in children: child.join()
    with context.Pool(2) as pool:
        pool.map(work, range(3, 6))
        pool.close()
        pool.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver_when_they_end(
    server: DevServer, tmp_path: Path, method: str
) -> None:
    """They run no exit hooks; each entry arrives once all the same."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"the system has no {method}")
    script = tmp_path / "script.py"
    script.write_text(MULTIPROCESSING)
    done = subprocess.run(
        [sys.executable, str(script), method],
        env={**os.environ, **server.environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(messages(server)) == [*(f"child {n}" for n in range(6)), "parent"]
