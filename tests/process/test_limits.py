"""Tests of how a process ends: time limits, interrupts, missing threads and a blocked stderr."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.budget import budget
from tests.support.processes import BRIEF, SLACK, UNMEASURED, messages, run
from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_entry_logged_by_del_at_the_very_end_is_harmless(server: DevServer) -> None:
    """If a `__del__` method logs at the end of the interpreter, the process ends silently."""
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
    assert (done.code, done.err) == (0, "")
    assert messages(server)[0] == "in time"


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """Return a port that is reserved, but on which no program listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


def test_exit_does_not_wait_if_the_credentials_are_refused(server: DevServer) -> None:
    """If the server refuses the credentials, the exit ends before its time limit."""
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
        shutdown=20,
    )
    assert float(done.out) < 10
    assert "1 shutdown" in done.err


DEAF = """\
import socket
def resolve(*_, **__): threading.Event().wait()  # a name server that does not answer
socket.getaddrinfo = resolve
"""


def test_loggers_share_the_time_at_exit(server: DevServer) -> None:
    """All loggers of a process share one time limit at exit."""
    shutdown = 2.0
    done = run(
        server,
        DEAF + "others = [VoyageLogger('app', shutdown_timeout=shutdown) for _ in range(4)]\n"
        "for each in (logger, *others): each.info('x')\n"
        "ending()",
        shutdown=shutdown,
    )
    assert done.exit_seconds < shutdown + SLACK < 5 * shutdown
    assert len(done.losses) == 5


def test_process_with_a_closed_stderr_logs_and_exits(server: DevServer) -> None:
    """A process whose stderr is closed can log, lose entries and exit like other processes."""
    done = run(
        server,
        "sys.stderr = None\nos.close(2)\nlogger.log('odd', 'x')\nlogger.close()\nlogger.info('y')",
    )
    assert done.code == 0
    assert messages(server) == ["x"]


UNREAD = """\
reading, writing = os.pipe()
os.dup2(writing, 2)
os.set_blocking(2, False)
for size in (4096, 1):
    try:
        while True: os.write(2, b"x" * size)
    except BlockingIOError: pass
os.set_blocking(2, True)
watch = threading.Timer(30, os._exit, (5,))
watch.daemon = True
watch.start()
"""


def test_full_pipe_as_stderr_delays_nothing(server: DevServer, refusing_port: int) -> None:
    """If stderr is a full pipe, log calls, flush and exit do not wait for the pipe."""
    done = run(
        server,
        UNREAD + "logger.log('odd', 'x')\nprint(logger.flush(0.1).pending, flush=True)\nending()",
        environ={"VOYAGE_LOGS_URL": f"http://127.0.0.1:{refusing_port}"},
        shutdown=BRIEF,
    )
    assert (done.code, done.out) == (0, "1\n")
    assert 0 <= done.exit_seconds < BRIEF + SLACK


def test_full_pipe_as_console_delays_nothing(server: DevServer) -> None:
    """A logger without credentials prints entries, and drops them if the pipe is full."""
    code = """
logger.info("x" * 100_000)
for _ in range(1000): logger.info("x")
logger.flush()
print(logger.stats().dropped_by, flush=True)
logger.info("the last")
ending()
"""
    done = run(server, UNREAD + code, environ={"VOYAGE_LOGS_KEY": ""})
    assert (done.code, done.out) == (0, "{'unconfigured': 1001}\n")
    assert 0 <= done.exit_seconds < SLACK


def test_missing_module_is_named(server: DevServer) -> None:
    """If `requests` is missing, a line names the module, and the exit does not wait."""
    code = f"""\
import os, sys, time
sys.path.insert(0, {str(budget.SOURCE)!r})
from voyage_logger import VoyageLogger
logger = VoyageLogger("app", shutdown_timeout=300)
logger.info("x")
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**server.environ, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "the transport raised ModuleNotFoundError (requests)" in done.stderr
    assert "1 entry lost" in done.stderr


def test_without_threads_flush_and_exit_deliver(server: DevServer) -> None:
    """If no thread can be started, flush and exit send the entries in the calling thread."""
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
    assert done.code == 0
    assert [line for line in done.err.splitlines() if "no thread" not in line] == []
    assert messages(server) == ["one", "two"]


def test_ctrl_c_while_the_thread_starts_leaves_a_logger_that_works(server: DevServer) -> None:
    """After Ctrl-C during the start of the worker, the next log call starts the worker."""
    done = run(
        server,
        """\
        start = threading.Thread.start
        def interrupted(self):
            threading.Thread.start = start
            raise KeyboardInterrupt
        threading.Thread.start = interrupted
        try:
            logger.info("one")
        except KeyboardInterrupt:
            say("interrupted")
        logger.info("two")
        """,
    )
    assert (done.code, done.err, done.said) == (0, "", ("interrupted",))
    assert messages(server) == ["one", "two"]


def test_without_threads_deleted_logger_delivers_at_exit(server: DevServer) -> None:
    """If no thread can be started, entries of a deleted logger are sent at exit."""
    done = run(
        server,
        """\
        def no_more(self): raise RuntimeError("can't start new thread")
        threading.Thread.start = no_more
        logger.info("one")
        del logger
        import gc
        gc.collect()
        """,
    )
    assert done.code == 0
    assert done.losses == []
    assert messages(server) == ["one"]


def test_without_threads_flush_keeps_its_time_limit(server: DevServer) -> None:
    """If the server hangs, a flush that sends in the caller's thread keeps its time limit."""
    server.script(*[Fault(hang=True)] * 9)
    done = run(
        server,
        """\
        def no_more(self): raise RuntimeError("can't start new thread")
        threading.Thread.start = no_more
        logger.info("one")
        result = logger.flush(0.3)
        print(bool(result), result.pending, result.elapsed < 9)
        """,
        shutdown=BRIEF,
    )
    assert done.out.split() == ["False", "1", "True"]


def test_threads_after_the_end_of_the_main_thread_log_as_before(server: DevServer) -> None:
    """Non-daemon threads can log and flush after the main thread has ended."""
    done = run(
        server,
        """\
        import time
        def work():
            threading.main_thread().join()
            logger.info("early")
            logger.flush()
            time.sleep(SHUTDOWN + 0.2)  # longer than the time limit at exit
            for n in range(20): logger.info(f"late {n}")
            logger.flush()
        threading.Thread(target=work).start()
        """.replace("SHUTDOWN", str(BRIEF)),
        shutdown=BRIEF,
    )
    assert done.code == 0
    assert messages(server) == ["early", *(f"late {n}" for n in range(20))]


def test_interrupt_during_the_drain_counts_the_rest_as_lost(server: DevServer) -> None:
    """If Ctrl-C interrupts the exit, one line still gives the number of lost entries."""
    server.script(*[Fault(hang=True)] * 9)

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_for_requests(1, endpoint="batch")  # no batch is sent before the exit
        process.send_signal(signal.SIGINT)

    done = run(server, "logger.info('x')", shutdown=50, meanwhile=interrupt)
    assert done.losses == ["voyage-logger: 1 entry lost (1 info): 1 shutdown"]


def test_interrupt_during_the_drain_counts_the_losses_of_all_loggers(server: DevServer) -> None:
    """If Ctrl-C interrupts the exit, each logger reports its own losses."""
    server.script(*[Fault(hang=True)] * 9)

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_for_requests(2, endpoint="batch")
        process.send_signal(signal.SIGINT)

    code = """\
        other = VoyageLogger("app", shutdown_timeout=20, flush_interval=600)
        logger.info("x")
        other.info("y")
        ending()
        """
    done = run(server, code, shutdown=20, meanwhile=interrupt)
    assert done.exit_seconds < 15
    assert done.losses == ["voyage-logger: 1 entry lost (1 info): 1 shutdown"] * 2


def test_entry_that_is_logged_during_exit_gets_no_extra_time(
    server: DevServer, refusing_port: int
) -> None:
    """If `on_error` logs an entry during the exit, the time limit of the exit stays the same."""
    done = run(
        server,
        """\
        from voyage_logger._delivery.exit_and_fork import exit_began_at
        def on_error(error):
            if type(error).__name__ != "EntriesLost": return
            began_at = exit_began_at()
            logger.info("inside")
            say(exit_began_at() == began_at)
        other = VoyageLogger("app", shutdown_timeout=shutdown, on_error=on_error)
        other.info("x")
        """,
        environ={"VOYAGE_LOGS_URL": f"http://127.0.0.1:{refusing_port}"},
        shutdown=0.1,
    )
    assert (done.code, done.said) == (0, ("True",))


def test_daemon_threads_that_log_during_exit_do_not_fill_stderr(
    server: DevServer, refusing_port: int
) -> None:
    """One line reports the losses of the exit, and one more line reports all later losses."""
    done = run(
        server,
        """\
        enough = threading.Semaphore(0)
        def work():
            while True:
                logger.info("x")
                enough.release()
        for _ in range(4): threading.Thread(target=work, daemon=True).start()
        for _ in range(40): enough.acquire()
        ending()
        """,
        environ={"VOYAGE_LOGS_URL": f"http://127.0.0.1:{refusing_port}"},
        shutdown=BRIEF,
    )
    assert done.exit_seconds < BRIEF + SLACK
    lost = [line for line in done.losses if "shutdown" in line]  # skips lines about a full queue
    assert len(lost) <= 2
    assert sum(int(line.split()[1]) for line in lost) >= 40


# This hook runs after the package's hooks, because exit hooks run in reverse order.
LAST_OF_ALL = """\
from voyage_logger._delivery.exit_and_fork import _tell_rest
atexit.unregister(_tell_rest)
atexit.register(hook)
atexit.register(_tell_rest)
"""
HOOKS = {
    "first entry": ("atexit.register(hook)", [1, 299]),
    "after the drain": ("atexit.register(hook); logger.info('early')", [1, 300]),
    "closed logger": ("atexit.register(hook); logger.close()", [1, 299]),
    "logger of its own": (
        "import gc; atexit.register(lambda: (hook(VoyageLogger('b')), gc.collect()))",
        [1, 299],
    ),
    "last of all": (LAST_OF_ALL, [1] * 300),
}


@pytest.mark.parametrize(
    "when",
    [
        pytest.param(when, marks=[pytest.mark.soak] if when == "logger of its own" else [])
        for when in HOOKS
    ],
)
def test_exit_hooks_that_log_do_not_fill_stderr(
    server: DevServer, refusing_port: int, when: str
) -> None:
    """If exit hooks log and no server answers, usually two lines report all their losses."""
    register, told = HOOKS[when]
    done = run(
        server,
        "def hook(logger=logger):\n for n in range(300): logger.info('x')\n" + register,
        environ={"VOYAGE_LOGS_URL": f"http://127.0.0.1:{refusing_port}"},
        shutdown=BRIEF,
    )
    assert done.code == 0
    assert [int(line.split()[1]) for line in done.losses] == told


def test_name_server_that_does_not_answer_does_not_delay_exit(server: DevServer) -> None:
    """Even if a DNS request never ends, the exit keeps its time limit."""
    code = DEAF + "logger.info('x')\nlogger.flush(0.2)\nending()"
    done = run(server, code, shutdown=BRIEF)
    assert done.exit_seconds < BRIEF + SLACK
    assert (done.code, len(done.losses)) == (0, 1)


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 3), reason="no thread can be started at exit"
)
def test_name_server_that_does_not_answer_does_not_delay_the_first_entry_at_exit(
    server: DevServer,
) -> None:
    """Even if an exit hook logs the first entry and DNS never answers, the exit is in time."""
    code = DEAF + "atexit.register(lambda: (ending(), logger.info('x')))"
    done = run(server, code, shutdown=BRIEF)
    assert 0 <= done.exit_seconds < BRIEF + SLACK
    assert (done.code, len(done.losses)) == (0, 1)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_interrupt_of_the_first_log_call_does_not_stop_later_ones(server: DevServer) -> None:
    """If Ctrl-C interrupts the start of the worker, the next log call starts the worker.

    At the start of the worker, the client logs a warning about uWSGI, and a `logging` handler
    raises the interrupt.
    """
    done = run(
        server,
        """\
        import logging, types
        class Interrupt(logging.Handler):
            def emit(self, record):
                logging.getLogger("voyage_logger").removeHandler(self)
                raise KeyboardInterrupt
        logging.getLogger("voyage_logger").addHandler(Interrupt())
        uwsgi = sys.modules["uwsgi"] = types.ModuleType("uwsgi")
        uwsgi.version_info, uwsgi.opt = (2, 0, 26), {}
        try: logger.info("one")
        except KeyboardInterrupt: say("interrupted")
        say(logger._pipeline.is_working)
        logger.info("two")
        say(logger._pipeline.is_working)
        """,
    )
    assert done.said == ("interrupted", "False", "True")
    assert messages(server) == ["one", "two"]


def test_exception_from_a_signal_handler_releases_the_lock(server: DevServer) -> None:
    """If a signal handler raises an exception at any line of a log call, all locks are released."""
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
                # One signal at a time, because a second one could interrupt the release.
                signal.setitimer(signal.ITIMER_REAL, 0.001)
                while time.monotonic() < deadline: logger.info("x")
            except Interrupt:
                return 1
            finally:
                is_armed = False
            return 0

        signal.signal(signal.SIGALRM, interrupt)
        deadline = time.monotonic() + 30
        hits = 0
        while hits < 300 and time.monotonic() < deadline:
            with contextlib.suppress(Interrupt): hits += log_until_interrupted()
        signal.setitimer(signal.ITIMER_REAL, 0)

        def try_lock():
            acquired = logger._pipeline.queue.lock.acquire(timeout=5)
            print(hits >= 300, acquired, flush=True)
            os._exit(0)

        threading.Thread(target=try_lock).start()
        """,
        flags=(),
        environ=UNMEASURED,
    )
    assert done.out.split() == ["True", "True"]


def test_functions_that_do_not_return_delay_exit_once_for_all_loggers(server: DevServer) -> None:
    """If twenty `on_error` functions hang, they delay the exit by only half a second in total."""
    server.refuse_connections()
    done = run(
        server,
        """\
        hanging = threading.Semaphore(0)
        def hang(error):
            if isinstance(error, voyage_logger.EntriesLost):
                if threading.current_thread() is not threading.main_thread():
                    hanging.release()
                    threading.Event().wait()
        loggers = [
            VoyageLogger("app", max_queue_size=1, flush_interval=0.01, shutdown_timeout=shutdown,
                         on_error=hang)
            for _ in range(20)
        ]
        for each in loggers:
            for _ in range(3): each.info("x")
        for _ in loggers: assert hanging.acquire(timeout=30)
        ending()
        """,
        shutdown=BRIEF,
    )
    assert 0 < done.hook_seconds < BRIEF + 0.5 + SLACK
