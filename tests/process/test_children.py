"""With child processes of any kind, each entry is sent once, by the process that logged it."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import FORKING, messages, needs_fork, run, run_script
from voyage_logger.devserver import Fault

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from voyage_logger.devserver import DevServer


@needs_fork
def test_fork_sends_each_entry_once(server: DevServer) -> None:
    """Each entry of parent and child arrives once, even if it was logged before the fork."""
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
    assert (done.code, done.err) == (0, "")
    assert sorted(messages(server)) == ["child", "parent after", "parent before"]
    runs = {entry["meta_data"]["log_id"].partition("-")[0] for entry in server.entries()}
    assert len(runs) == 2


@needs_fork
def test_child_makes_connections_of_its_own(server: DevServer) -> None:
    """A forked child opens new connections: old connections could carry answers for its parent."""
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
    assert (done.code, done.err) == (0, "")
    assert sorted(messages(server)) == ["child", "parent", "parent again"]
    assert server.connections == 2


@needs_fork
def test_child_that_does_not_log_leaves_the_parent_s_entries_alone(server: DevServer) -> None:
    """When a child ends, it neither sends nor reports the entries of its parent."""
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
    assert (done.code, done.err) == (0, "")
    assert messages(server) == ["parent"]


@needs_fork
def test_grandchildren_send_their_own_entries(server: DevServer) -> None:
    """A process, its child and its grandchild each send only their own entries."""
    done = run(
        server,
        """\
        for generation in range(3):
            logger.info(f"{generation} before")
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                logger.info(f"{generation} after")
                break
        """,
        flags=FORKING,
    )
    assert (done.code, done.err) == (0, "")
    assert sorted(messages(server)) == [
        *("0 after", "0 before", "1 after", "1 before", "2 after", "2 before")
    ]


@needs_fork
def test_child_that_calls_sys_exit_sends_its_entries(server: DevServer) -> None:
    """If a forked child calls `sys.exit`, its entries are sent, and its exit code is unchanged."""
    done = run(
        server,
        """\
        logger.info("parent")
        for number in (3, 4):
            child = os.fork()
            if child == 0:
                logger.info(f"child {number}")
                sys.exit(number)
            _, status = os.waitpid(child, 0)
            say(os.waitstatus_to_exitcode(status))
        """,
        flags=FORKING,
    )
    assert done.said == ("3", "4")
    assert sorted(messages(server)) == ["child 3", "child 4", "parent"]


fork_at_exit = pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 3), reason="Python forks nothing at exit"
)


@needs_fork
@fork_at_exit
def test_child_that_is_forked_in_an_exit_hook_has_the_full_time(server: DevServer) -> None:
    """A child that is forked after Ctrl-C interrupts the parent's exit has its full time limit."""
    server.script(Fault(hang=True))

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_for_requests(1, endpoint="batch")  # no batch is sent before the exit
        process.send_signal(signal.SIGINT)

    done = run(
        server,
        """\
        def hook():
            child = os.fork()
            if child == 0: logger.info("child")
            else: os.waitpid(child, 0)
        atexit.register(hook)
        logger.info("parent")
        """,
        flags=FORKING,
        shutdown=30,
        meanwhile=interrupt,
    )
    assert done.losses == ["voyage-logger: 1 entry lost (1 info): 1 shutdown"]
    assert messages(server) == ["child"]


@needs_fork
@fork_at_exit
def test_sigterm_that_the_drain_defers_is_not_deferred_in_a_child(server: DevServer) -> None:
    """While a parent defers SIGTERM at its exit, SIGTERM ends a forked child immediately."""
    server.script(Fault(hang=True))

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_for_requests(1, endpoint="batch")
        process.send_signal(signal.SIGTERM)

    done = run(
        server,
        """\
        import multiprocessing
        logger = VoyageLogger("app", shutdown_timeout=shutdown, timeout=60, flush_interval=600)
        flush_on_sigterm()

        def work():
            while not voyage_logger._delivery.exit_and_fork._afterwards:
                time.sleep(0.001)  # no event tells of this state
            child = os.fork()
            if child == 0:
                os.kill(os.getpid(), signal.SIGTERM)
                os._exit(3)
            say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            process = multiprocessing.get_context("fork").Process(target=logger.info, args=("x",))
            process.start()
            process.join()
            say(process.exitcode)
            os.kill(os.getpid(), signal.SIGINT)  # this ends the drain

        threading.Thread(target=work, daemon=True).start()
        logger.info("parent")
        """,
        flags=FORKING,
        shutdown=50,
        meanwhile=interrupt,
    )
    assert done.said == (str(-signal.SIGTERM), "0"), done.err
    assert (done.code, messages(server)) == (-signal.SIGTERM, ["x"])


# If C code such as uWSGI forks, the fork hooks of the package do not run.
BARE_FORK = """\
from voyage_logger._delivery import exit_and_fork
logger.info("parent")
pipelines = dict(exit_and_fork._pipelines)
exit_and_fork._pipelines.clear()  # now the hooks do nothing
child = os.fork()
exit_and_fork._pipelines.update(pipelines)
"""


@needs_fork
@pytest.mark.parametrize("ending", ["sys.exit()", "logger.flush(); os._exit(0)"])
def test_child_of_a_fork_that_skipped_the_hooks_starts_empty(
    server: DevServer, ending: str
) -> None:
    """If no fork hooks ran, the child's first log call notices that the process id has changed."""
    code = f"""
if child == 0:
    logger.info("child")
    {ending}
os.waitpid(child, 0)
"""
    done = run(server, BARE_FORK + code, flags=FORKING)
    assert (done.code, done.err) == (0, "")
    assert sorted(messages(server)) == ["child", "parent"]


@needs_fork
def test_silent_child_of_a_fork_that_skipped_the_hooks_sends_nothing(server: DevServer) -> None:
    """At its exit, a child that logs nothing does not send the entries of its parent."""
    done = run(server, BARE_FORK + "if child: os.waitpid(child, 0)", flags=FORKING)
    assert (done.code, done.err) == (0, "")
    assert messages(server) == ["parent"]


@needs_fork
def test_child_that_is_forked_during_a_request_can_exit(server: DevServer) -> None:
    """A child can exit even if the parent's worker held a connection pool's lock at the fork."""
    done = run(
        server,
        """\
        inside, go_on = threading.Event(), threading.Event()

        def hold(frame, event, arg):
            code = frame.f_code
            place = os.path.basename(code.co_filename), code.co_name
            if place in (("queue.py", "_get"), ("_session.py", "get")) and not inside.is_set():
                inside.set()
                go_on.wait()
            return None

        threading.settrace(hold)  # for later threads, such as the worker
        logger.info("parent")
        threading.settrace(None)
        inside.wait()
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            go_on.set()
        """,
        flags=FORKING,
    )
    assert (done.code, done.err) == (0, "")
    assert messages(server) == ["parent"]


@needs_fork
def test_child_can_log_if_another_thread_held_the_lock_at_the_fork(server: DevServer) -> None:
    """A child can log and flush even if another thread held the queue's lock at the fork."""
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
    assert (done.code, done.err) == (0, "")
    assert sorted(messages(server)) == ["child", "parent"]


@needs_fork
def test_child_can_delete_a_logger_whose_lock_was_held_at_the_fork(server: DevServer) -> None:
    """A child can delete a logger even if another thread held the logger's lock at the fork."""
    done = run(
        server,
        """\
        logger.info("parent")
        held, done = threading.Event(), threading.Event()
        def hold(lock):
            with lock:
                held.set()
                done.wait()
        threading.Thread(target=hold, args=(logger._pipeline.queue.lock,)).start()
        held.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            del logger
            os._exit(0)
        _, status = os.waitpid(child, 0)
        done.set()
        sys.exit(os.waitstatus_to_exitcode(status))
        """,
        flags=FORKING,
    )
    assert (done.code, done.err) == (0, "")
    assert messages(server) == ["parent"]


LATE_IMPORTS = {
    "_logger.callables": 'logger.journey("x")(print)',
    "_logger.journey_header": 'logger.journey("x").__enter__().carrier()',
    "_logger.uncaught": "logger.capture_uncaught()",
    "_logger.sampling": 'VoyageLogger("b", sample={"info": 0.5})',
    "_logger.collapse": 'VoyageLogger("b", collapse=1)',
    "_logger.ticket_cooldown": 'VoyageLogger("b", ticket_cooldown=60)',
    "_queue.spool": 'VoyageLogger("b", spool_dir=folder)',
    "transports._console_transport": "voyage_logger.transports.ConsoleTransport()",
}


@needs_fork
@pytest.mark.parametrize("module", LATE_IMPORTS)
def test_child_that_is_forked_during_a_late_import_can_use_the_feature(
    server: DevServer, tmp_path: Path, module: str
) -> None:
    """If a thread is importing a module of the package, a fork waits for the end of the import."""
    done = run(
        server,
        f"""\
        import voyage_logger.transports
        folder, importing = {str(tmp_path)!r}, threading.Event()
        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name == "voyage_logger.{module}":
                    importing.set()
                    threading.Event().wait(0.2)
        def use():
            {LATE_IMPORTS[module]}
        sys.meta_path.insert(0, Slow())
        threading.Thread(target=use).start()
        assert importing.wait(10)
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            use()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(status))
        """,
        flags=FORKING,
    )
    assert (done.code, done.err) == (0, "")


MULTIPROCESSING = """\
import contextlib, multiprocessing, os, signal, sys, threading
from concurrent.futures import ProcessPoolExecutor
from voyage_logger import VoyageLogger, flush_on_sigterm

logger = VoyageLogger("app", flush_interval=600)

def work(name):
    logger.info(name)

def fail(name):
    logger.info(name)
    raise SystemExit(5)

def parent(name, method):
    logger.info(name)
    child = multiprocessing.get_context(method).Process(target=work, args=(f"{name}'s child",))
    child.start()
    child.join()

def processes(context, method):
    targets = [(work, ("one",)), (fail, ("two",)), (parent, ("three", method))]
    children = [context.Process(target=target, args=args) for target, args in targets]
    for child in children: child.start()
    for child in children: child.join()
    assert [child.exitcode for child in children] == [0, 5, 0]

def pool(context, method):
    with context.Pool(2, maxtasksperchild=2) as pool:
        pool.map(work, [f"task {n}" for n in range(6)], chunksize=1)
        pool.close()
        pool.join()

def executor(context, method):
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        list(executor.map(work, [f"task {n}" for n in range(6)]))

def terminated(context, method):
    with context.Pool(2, initializer=flush_on_sigterm) as pool:
        pool.map(work, [f"task {n}" for n in range(6)], chunksize=1)
        pids = [child.pid for child in multiprocessing.active_children()]
        threading.Thread(target=signal_again, args=(pids,), daemon=True).start()

def signal_again(pids):
    while True:
        threading.Event().wait(1)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError): os.kill(pid, signal.SIGTERM)

if __name__ == "__main__":
    logger.info("main")
    method, kind = sys.argv[1:]
    globals()[kind](multiprocessing.get_context(method), method)
"""
TASKS = [f"task {n}" for n in range(6)]


KINDS = {
    "processes": ["one", "three", "three's child", "two"],
    "pool": TASKS,
    "executor": TASKS,
    "terminated": TASKS,
}


@pytest.mark.parametrize(
    ("method", "kind", "expected"),
    [
        pytest.param(
            method,
            kind,
            expected,
            marks=[] if method == "fork" or kind == "processes" else pytest.mark.soak,
        )
        for method in ("fork", "spawn", "forkserver")
        for kind, expected in KINDS.items()
    ],
)
def test_children_of_multiprocessing_deliver_when_they_end(
    server: DevServer, tmp_path: Path, method: str, kind: str, expected: list[str]
) -> None:
    """Children of multiprocessing run no exit hooks, but each entry of a child arrives once.

    At the end of its `with` block, a pool ends its children with SIGTERM, so the children call
    `flush_on_sigterm`. The script repeats the signal, because a child can miss it: CPython does
    not run a Python handler if the signal arrives just before the main thread blocks in a lock.
    A child of a pool blocks in a lock while it has no task.
    """
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"the system has no {method}")
    script = tmp_path / "script.py"
    script.write_text(MULTIPROCESSING)
    done = run_script(server, script, method, kind)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(messages(server)) == sorted(["main", *expected])


SECOND_LOGGER = """\
import multiprocessing, multiprocessing.util
from voyage_logger import VoyageLogger

def work(sender):
    for number in range(3):
        VoyageLogger("app", flush_interval=600).info(f"logger {number}")
    finalizers = multiprocessing.util._finalizer_registry.values()
    sender.send(sum("drain_all" in repr(finalizer._callback) for finalizer in finalizers))

if __name__ == "__main__":
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("spawn").Process(target=work, args=(sender,))
    child.start()
    print(receiver.recv())
    child.join()
"""


def test_child_with_many_loggers_registers_once(server: DevServer, tmp_path: Path) -> None:
    """A child of multiprocessing that makes many loggers registers only one finalizer."""
    script = tmp_path / "script.py"
    script.write_text(SECOND_LOGGER)
    done = run_script(server, script)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "1", "")
    assert sorted(messages(server)) == [f"logger {number}" for number in range(3)]


BILLIARD = """\
import sys
import billiard
from voyage_logger import VoyageLogger

logger = VoyageLogger("app", flush_interval=600)

def work(number):
    logger.info(f"child {number}")

if __name__ == "__main__":
    logger.info("main")
    context = billiard.get_context(sys.argv[1])
    children = [context.Process(target=work, args=(number,)) for number in range(2)]
    for child in children: child.start()
    for child in children: child.join()
"""


@needs_fork
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_billiard_deliver_when_they_end(
    server: DevServer, tmp_path: Path, method: str
) -> None:
    """Children of billiard, Celery's version of multiprocessing, send their entries."""
    script = tmp_path / "script.py"
    script.write_text(BILLIARD)
    done = run_script(server, script, method)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(messages(server)) == ["child 0", "child 1", "main"]


@pytest.mark.parametrize(
    ("version", "options", "is_warned_of"),
    [
        ((2, 0, 26, 0, ""), {"master": True}, True),
        ((2, 0, 26, 0, ""), {"enable-threads": True}, False),
        ((2, 0, 26, 0, ""), {"threads": b"2"}, False),
        ((2, 0, 31, 0, ""), {"master": True}, False),
    ],
)
def test_uwsgi_without_threads_is_warned_of_once(
    server: DevServer, version: tuple[object, ...], options: dict[str, object], is_warned_of: bool
) -> None:
    """If uWSGI runs without threads, the first log call prints a line with the missing option.

    The test uses a fake module `uwsgi` that has the values of version 2.0.31, because the
    compilation of uWSGI takes longer than all tests together.
    """
    done = run(
        server,
        f"""\
        import types
        uwsgi = sys.modules["uwsgi"] = types.ModuleType("uwsgi")
        uwsgi.version_info, uwsgi.opt = {version!r}, {options!r}
        logger.info("one")
        VoyageLogger("app").info("two")
        """,
    )
    assert sorted(messages(server)) == ["one", "two"]
    assert done.err.count("\n") == done.err.count("enable-threads = true") == is_warned_of
