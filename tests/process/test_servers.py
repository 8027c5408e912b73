"""When gunicorn and Celery start, restart or end workers, each entry arrives once."""

from __future__ import annotations

import contextlib
import signal
import socket
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import until
from tests.support.processes import TIME_LIMIT, Child, messages, python

pytest.importorskip("fcntl", reason="gunicorn and prefork need a POSIX system")

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from voyage_logger.devserver import DevServer

soak = pytest.mark.soak

WSGI = """\
import os
from voyage_logger import VoyageLogger

logger = VoyageLogger("app", flush_interval=600)
logger.info(f"loaded by {os.getpid()}")

def app(environ, start_response):
    logger.info(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


@contextlib.contextmanager
def running(
    server: DevServer, arguments: list[str], cwd: Path, fds: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run the main process of gunicorn or Celery, and kill it if the test fails."""
    with Child("-m", *arguments, environ=server.environ, cwd=cwd, pass_fds=fds) as child:
        try:
            yield child.process
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.signal(signal.SIGKILL)


def get(port: int, path: str) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=TIME_LIMIT)
    with contextlib.closing(connection):
        connection.request("GET", path)
        assert connection.getresponse().read() == b"ok"


def paths(server: DevServer) -> list[str]:
    return [message for message in messages(server) if message.startswith("/")]


def wait_for_paths(server: DevServer, count: int) -> None:
    """Wait for `count` entries about requests. Other entries do not count."""
    seen = server.count()
    while len(paths(server)) < count:
        server.wait_for_entries(seen + 1)
        seen = server.count()


@pytest.mark.parametrize(
    ("worker", "is_preloaded", "number"),
    [
        ("sync", False, signal.SIGTERM),
        ("gthread", True, signal.SIGTERM),
        pytest.param("sync", True, signal.SIGTERM, marks=soak),
        pytest.param("gthread", False, signal.SIGTERM, marks=soak),
        pytest.param("sync", False, signal.SIGQUIT, marks=soak),
        pytest.param("gthread", True, signal.SIGINT, marks=soak),
    ],
)
def test_entries_of_gunicorn_workers_arrive_once_through_restarts(
    server: DevServer, tmp_path: Path, worker: str, is_preloaded: bool, number: int
) -> None:
    """Each entry of a worker arrives once, even if gunicorn restarts its workers or ends."""
    (tmp_path / "shop.py").write_text(WSGI)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port = listener.getsockname()[1]
        arguments = ["gunicorn", "--bind", f"fd://{listener.fileno()}", "--workers", "2"]
        arguments += ["--worker-class", worker, "--threads", "2", "--max-requests", "3"]
        # A worker that is still starting ignores the signal, so gunicorn kills it after this time.
        arguments += ["--graceful-timeout", "30"]
        arguments += ["--preload"] * is_preloaded + ["shop:app"]
        with running(server, arguments, tmp_path, (listener.fileno(),)) as process:
            for n in range(8):
                get(port, f"/{n}")
            process.send_signal(signal.SIGHUP)
            wait_for_paths(server, 8)  # the old workers send these entries only when they end
            for n in range(8, 16):
                get(port, f"/{n}")
            process.send_signal(number)
            _, output = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 0, output
    assert "voyage-logger:" not in output
    assert server.duplicates() == {}
    assert sorted(paths(server)) == sorted(f"/{n}" for n in range(16))
    loaded = [message for message in messages(server) if message.startswith("loaded")]
    assert len(loaded) == len(set(loaded))
    assert len(loaded) == 1 if is_preloaded else len(loaded) >= 4


CELERY = """\
import os
from celery import Celery
from celery.signals import worker_process_shutdown, worker_ready, worker_shutdown
from voyage_logger import VoyageLogger

app = Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"
}
app.conf.worker_pool_start_method = "METHOD"
logger = VoyageLogger("app", flush_interval=600)
logger.info("loaded")

@app.task
def work(number):
    logger.info(f"task {number}")
    with open("done", "a") as done: done.write(f"{os.getpid()}\\n")

@worker_ready.connect
def begin(**_):
    for number in range(TASKS): work.delay(number)

@worker_process_shutdown.connect
def end_child(pid, **_): logger.info(f"child {pid} ends")

@worker_shutdown.connect
def end(**_): logger.info("main ends")
"""


@contextlib.contextmanager
def celery(
    server: DevServer, cwd: Path, *arguments: str, method: str = "fork", tasks: int
) -> Iterator[subprocess.Popen[str]]:
    """Run a Celery worker with a prefork pool until its tasks are done, then do a warm shutdown."""
    program = CELERY.replace("METHOD", method).replace("TASKS", str(tasks))
    (cwd / "shop.py").write_text(program)
    (cwd / "queue").mkdir()
    done = cwd / "done"
    done.touch()
    command = ["celery", "-A", "shop", "worker", "--pool", "prefork", "--loglevel", "WARNING"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat", *arguments]
    with running(server, command, cwd) as process:
        until(lambda: done.read_text().count("\n") == tasks, timeout=TIME_LIMIT)
        yield process
        process.terminate()
        _, output = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 0, output
    assert "voyage-logger:" not in output
    assert server.duplicates() == {}


@soak
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_celery_children_send_their_entries_at_a_warm_shutdown(
    server: DevServer, tmp_path: Path, method: str
) -> None:
    """At a warm shutdown, Celery's children send all their entries, although no exit hooks run."""
    with celery(server, tmp_path, "--concurrency", "2", method=method, tasks=5):
        pass
    children = set((tmp_path / "done").read_text().split())
    sent = messages(server)
    assert sorted(message for message in sent if message.startswith("task")) == [
        f"task {n}" for n in range(5)
    ]
    assert {f"child {pid} ends" for pid in children} <= set(sent)
    assert sent.count("main ends") == 1


def test_signal_at_the_end_of_a_celery_child_sends_the_entries(server: DevServer) -> None:
    """A handler of Celery's signal `worker_process_shutdown` flushes a child's entries."""
    code = """\
import os
from celery.signals import worker_process_shutdown
from voyage_logger import VoyageLogger

VoyageLogger("app", flush_interval=600).info("kept")
logger = VoyageLogger("app", flush_interval=600)
logger.info("x")
worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)
print(logger.stats().delivered, flush=True)
"""
    done = python("-c", code, environ=server.environ)
    assert (done.stdout.split(), done.stderr) == (["1"], "")
    assert sorted(messages(server)) == ["kept", "x"]


@soak
def test_celery_child_that_is_replaced_sends_its_entries(server: DevServer, tmp_path: Path) -> None:
    """When Celery replaces a child, the entries of the old child arrive.

    The new child runs no task, because it may be killed soon: if the broker's transport has no
    event loop, Celery 5.7 forks the child in a thread, and the end of the thread kills the child.
    """
    arguments = ("--concurrency", "1", "--max-tasks-per-child", "2")
    with celery(server, tmp_path, *arguments, tasks=2):
        server.wait_for_entries(3)
        (child,) = set((tmp_path / "done").read_text().split())
        assert sorted(messages(server)) == [f"child {child} ends", "task 0", "task 1"]
