"""After `flush_on_sigterm()`, SIGTERM sends queued entries and then calls the old handler."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import until
from tests.support.processes import (
    AN_HOUR_LATER,
    FORKING,
    messages,
    needs_fork,
    once_more_if_slow,
    python,
    run,
)
from voyage_logger import ConfigurationError, flush_on_sigterm
from voyage_logger.devserver import Fault

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from voyage_logger.devserver import DevServer

TERM = "os.kill(os.getpid(), signal.SIGTERM)\n"
HANG = [Fault(hang=True)] * 20


@pytest.fixture
def own_handler() -> Iterator[None]:
    """After the test, restore the handler of SIGTERM in the process of the tests."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_no_signal_handler_unless_asked_for(server: DevServer) -> None:
    """Loggers, log calls and flushes do not change the signal handlers of the process."""
    done = run(
        server,
        """\
        def handlers(): return [signal.getsignal(each) for each in signal.valid_signals()]
        before = handlers()
        logger.info("x")
        assert logger.flush()
        assert handlers() == before
        """,
    )
    assert (done.code, done.err) == (0, "")


@pytest.mark.usefixtures("own_handler")
def test_second_call_installs_nothing() -> None:
    """A second call of `flush_on_sigterm` installs no second handler."""
    flush_on_sigterm()
    installed = signal.getsignal(signal.SIGTERM)
    flush_on_sigterm()
    assert signal.getsignal(signal.SIGTERM) is installed


@pytest.mark.usefixtures("own_handler")
def test_call_in_another_thread_raises_an_error() -> None:
    """Outside the main thread, `flush_on_sigterm` raises an error."""
    caught: list[Exception] = []

    def install() -> None:
        try:
            flush_on_sigterm()
        except ConfigurationError as error:
            caught.append(error)

    thread = threading.Thread(target=install, name="other")
    thread.start()
    thread.join()
    assert [str(error) for error in caught] == [
        "flush_on_sigterm='other': must be called in the main thread"
    ]


def test_handler_from_c_is_not_replaced() -> None:
    """A signal handler that was set in C is not replaced, because Python cannot call it."""
    code = """\
        import ctypes, signal, sys
        handle = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: None)
        ctypes.CDLL(None).signal(signal.SIGTERM, handle)
        # Python reads the handlers when it starts, so in such a program this happens later.
        for name in ("_signal", "signal"): del sys.modules[name]
        import signal
        assert signal.getsignal(signal.SIGTERM) is None
        from voyage_logger import ConfigurationError, flush_on_sigterm
        try: flush_on_sigterm()
        except ConfigurationError as error: print(error)
        """
    done = python("-c", "\n".join(line.strip() for line in code.splitlines()))
    assert done.stdout.endswith("must be called where the signal's handler is Python's own\n")


def test_previous_handler_is_called_after_the_entries_are_sent(server: DevServer) -> None:
    """The previous handler is called after the entries are sent, and the logger still works."""
    done = run(
        server,
        f"""\
        def handle(number, frame):
            say(f"{{number}} {{frame is not None}} {{logger.stats().pending}}")
        signal.signal(signal.SIGTERM, handle)
        flush_on_sigterm()
        logger.info("before")
        {TERM}
        logger.info("after")
        """,
    )
    assert (done.code, done.err) == (0, "")
    assert done.said == (f"{signal.SIGTERM} True 0",)
    assert messages(server) == ["before", "after"]


def test_ignored_signal_stays_ignored_and_no_entry_is_dropped(server: DevServer) -> None:
    """If the app ignores SIGTERM, entries that are not sent within the time limit stay queued."""
    server.script(*[Fault(status=503)] * 2)
    done = run(
        server,
        f"""\
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        flush_on_sigterm()
        logger.info("before")
        {TERM}
        say(logger.stats().dropped)
        logger.info("after")
        assert logger.flush()
        """,
        shutdown=0.1,
    )
    assert (done.code, done.err, done.said) == (0, "", ("0",))
    assert messages(server) == ["before", "after"]


def test_two_handlers_that_call_each_other_make_no_loop(server: DevServer) -> None:
    """If the app's handler and the package's handler call each other, there is no endless loop."""
    done = run(
        server,
        f"""\
        signal.signal(signal.SIGTERM, lambda *_: say("first"))
        flush_on_sigterm()
        ours = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *given: (say("second"), ours(*given)))
        flush_on_sigterm()
        logger.info("x")
        {TERM}
        """,
    )
    assert (done.code, done.said) == (0, ("second", "first"))
    assert messages(server) == ["x"]


def test_handler_that_raises_system_exit_ends_the_program_with_its_code(server: DevServer) -> None:
    """If the previous handler raises SystemExit, the program ends, and all entries arrive once."""
    done = run(
        server,
        f"""\
        def handle(number, frame): sys.exit(7)
        signal.signal(signal.SIGTERM, handle)
        flush_on_sigterm()
        logger.info("before")
        try: {TERM}
        finally: logger.info("on the way out")
        """,
    )
    assert (done.code, done.err) == (7, "")
    assert messages(server) == ["before", "on the way out"]


@pytest.mark.soak
def test_sigterm_and_the_exit_that_follows_share_one_time_limit(server: DevServer) -> None:
    """If the server is unreachable, SIGTERM and the exit after it share one time limit."""
    server.script_sign_in(*HANG)
    code = f"""\
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        flush_on_sigterm()
        logger.info("x")
        ending()
        {TERM}
        """
    shutdown = 4.0
    done = once_more_if_slow(lambda: run(server, code, shutdown=shutdown), 2 * shutdown)
    assert done.code == 7
    assert done.exit_seconds < 2 * shutdown
    assert done.losses == ["voyage-logger: 1 entry lost (1 info): 1 shutdown"]


@pytest.mark.soak
def test_program_that_goes_on_after_sigterm_has_its_full_time_at_exit(server: DevServer) -> None:
    """If a program continues after SIGTERM, its later exit again has the full time limit."""
    server.script(Fault(hang=True))

    def go_on(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        process.stdout.readline()
        server.release()

    done = run(
        server,
        f"""\
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        flush_on_sigterm()
        logger.info("early")
        {TERM}
        print("still there", flush=True)
        assert logger.flush()
        {AN_HOUR_LATER}
        logger.info("late")
        """,
        meanwhile=go_on,
    )
    assert (done.code, done.err) == (0, "")
    assert messages(server) == ["early", "late"]


@needs_fork
def test_forked_child_sends_its_own_entries_only(server: DevServer) -> None:
    """At SIGTERM, a forked child sends its own entries, but not the entries of its parent."""
    done = run(
        server,
        f"""\
        flush_on_sigterm()
        logger.info("parent")
        child = os.fork()
        if child == 0:
            logger.info("child")
            {TERM}
        _, status = os.waitpid(child, 0)
        say(os.waitstatus_to_exitcode(status))
        say(logger.stats().pending)
        """,
        flags=FORKING,
    )
    assert (done.code, done.err) == (0, "")
    assert done.said == (str(-signal.SIGTERM), "1")
    assert messages(server) == ["child", "parent"]


@needs_fork
def test_child_that_logs_nothing_does_not_send_the_parent_s_entries(server: DevServer) -> None:
    """When SIGTERM ends a forked child that has no entries, the child sends nothing."""
    done = run(
        server,
        f"""\
        flush_on_sigterm()
        logger.info("parent")
        child = os.fork()
        if child == 0: {TERM}
        _, status = os.waitpid(child, 0)
        say(os.waitstatus_to_exitcode(status))
        """,
        flags=FORKING,
    )
    assert done.said == (str(-signal.SIGTERM),)
    assert messages(server) == ["parent"]


INLINE = """\
def no_more(self): raise RuntimeError("as at exit on Python 3.12.0")
def hook():
    threading.Thread.start = no_more
    logger.info("x")
atexit.register(hook)
"""


@pytest.mark.parametrize("logging", ["logger.info('x')", INLINE], ids=["thread", "inline"])
def test_sigterm_during_the_drain_at_exit_waits_for_it(server: DevServer, logging: str) -> None:
    """If SIGTERM arrives during the exit, the process first sends its entries and then ends."""
    server.script(Fault(hang=True))

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_for_requests(1, endpoint="batch")  # no batch is sent before the exit
        process.send_signal(signal.SIGTERM)
        server.release()

    done = run(server, f"flush_on_sigterm()\n{logging}", shutdown=30, meanwhile=interrupt)
    assert (done.code, done.err) == (-signal.SIGTERM, "")
    assert messages(server) == ["x"]


EXITING = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"


def test_handler_that_exits_ends_the_drain_at_exit(server: DevServer) -> None:
    """If the app's handler of SIGTERM ends the exit early, one line reports the lost entry."""
    server.script(*HANG)

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_for_requests(1, endpoint="batch")
        process.send_signal(signal.SIGTERM)

    done = run(server, f"{EXITING}logger.info('x')", shutdown=50, meanwhile=interrupt)
    assert "SystemExit: 7" in done.err
    assert done.losses == ["voyage-logger: 1 entry lost (1 info): 1 shutdown"]


def test_handler_that_exits_waits_for_the_drain_with_flush_on_sigterm(server: DevServer) -> None:
    """With `flush_on_sigterm`, the app's handler is called after the entries are sent at exit."""
    server.script(Fault(hang=True))

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_for_requests(1, endpoint="batch")
        process.send_signal(signal.SIGTERM)
        server.release()

    code = f"{EXITING}flush_on_sigterm()\nlogger.info('x')"
    done = run(server, code, shutdown=30, meanwhile=interrupt)
    assert "SystemExit: 7" in done.err
    assert (done.losses, messages(server)) == ([], ["x"])


def test_second_sigterm_waits_for_the_first(server: DevServer) -> None:
    """If a second SIGTERM arrives while the entries are sent, no entry is lost."""
    server.script(Fault(hang=True))

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_for_requests(1, endpoint="batch")
        process.send_signal(signal.SIGTERM)
        server.release()

    done = run(
        server, f"flush_on_sigterm()\nlogger.info('x')\n{TERM}", shutdown=30, meanwhile=interrupt
    )
    assert (done.code, done.err) == (-signal.SIGTERM, "")
    assert messages(server) == ["x"]


def test_two_sigterms_during_the_drain_call_the_previous_handler_once(
    server: DevServer, tmp_path: Path
) -> None:
    """If SIGTERM arrives twice during the exit, the previous handler is called only once."""
    server.script(Fault(hang=True))
    handled = tmp_path / "handled"

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_for_requests(1, endpoint="batch")
        process.send_signal(signal.SIGUSR1)
        until(handled.exists)
        server.release()

    code = f"""\
        def twice(number, frame):
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            open({str(handled)!r}, "x").close()
        signal.signal(signal.SIGUSR1, twice)
        signal.signal(signal.SIGTERM, lambda *_: say("previous"))
        flush_on_sigterm()
        logger.info("x")
        """
    done = run(server, code, shutdown=30, meanwhile=interrupt)
    assert (done.code, done.said) == (0, ("previous",))
    assert messages(server) == ["x"]


def test_sigterm_while_another_thread_drains_ends_the_process(server: DevServer) -> None:
    """If the exit hooks do not run in the main thread, SIGTERM still ends the process."""
    server.script(*HANG)

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_for_requests(1, endpoint="batch")
        process.send_signal(signal.SIGTERM)

    code = """\
        flush_on_sigterm()
        logger.info("x")
        threading.Thread(target=atexit._run_exitfuncs, daemon=True).start()
        threading.Event().wait()
        """
    done = run(server, code, shutdown=2, meanwhile=interrupt)
    assert done.code == -signal.SIGTERM
    assert done.losses == ["voyage-logger: 1 entry lost (1 info): 1 shutdown"]


def test_exit_hooks_in_another_thread_send_the_entries(server: DevServer) -> None:
    """If the exit hooks run in a thread that C code has made, entries are still sent at exit."""
    done = run(
        server,
        """\
        logger.info("x")
        hooks = threading.Thread(target=atexit._run_exitfuncs)
        hooks.start()
        hooks.join()
        """,
    )
    assert (done.code, done.err) == (0, "")
    assert messages(server) == ["x"]


def test_interrupt_ends_the_drain_and_sigterm_still_ends_the_process(server: DevServer) -> None:
    """If Ctrl-C interrupts the exit, one line counts the losses. SIGTERM still ends the process."""
    server.script(*HANG)

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_for_requests(1, endpoint="batch")
        process.send_signal(signal.SIGINT)

    done = run(
        server, f"flush_on_sigterm()\nlogger.info('x')\n{TERM}", shutdown=50, meanwhile=interrupt
    )
    assert done.code == -signal.SIGTERM
    assert done.losses == ["voyage-logger: 1 entry lost (1 info): 1 shutdown"]
