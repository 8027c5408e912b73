"""Tests in processes that gevent has patched, before or after the import of the package.

In these processes, the worker is a greenlet. The dev server runs in the test's own process.
"""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import BRIEF, SHUTDOWN, SLACK, python
from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

pytest.importorskip("gevent", reason="gevent has no wheel for this interpreter")

PATCHED = {
    "first of all": """\
        from gevent import monkey; monkey.patch_all()
        from voyage_logger import VoyageLogger
        """,
    "after the import": """\
        from voyage_logger import VoyageLogger
        from gevent import monkey; monkey.patch_all()
        """,
}
patched = pytest.mark.parametrize(
    "patch",
    [
        pytest.param(code, id=when, marks=[pytest.mark.soak] if when != "first of all" else [])
        for when, code in PATCHED.items()
    ],
)


def run(
    server: DevServer, patch: str, code: str, shutdown: float = SHUTDOWN
) -> subprocess.CompletedProcess[str]:
    """Run code in a process that gevent has patched, until the process ends."""
    prelude = f"""\
        import atexit, os, sys, time, threading, gevent
        logger = VoyageLogger("app", shutdown_timeout={shutdown}, flush_interval=600)
        """
    program = "".join(map(textwrap.dedent, (patch, prelude, code)))
    return python("-c", program, environ=server.environ)


def messages(server: DevServer) -> list[str]:
    return sorted(entry["message"] for entry in server.entries(limit=5000))


def numbered(word: str, numbers: Iterable[int]) -> list[str]:
    return [f"{word} {number}" for number in numbers]


@patched
def test_entries_of_greenlets_arrive_by_flush_and_exit(server: DevServer, patch: str) -> None:
    """Fifty greenlets log and flush, and each entry arrives once."""
    done = run(
        server,
        patch,
        """\
        def work(number):
            for n in range(number * 20, number * 20 + 20):
                logger.info(f"entry {n}")
                gevent.sleep(0)
            return bool(logger.flush(10))
        jobs = [gevent.spawn(work, number) for number in range(50)]
        gevent.joinall(jobs)
        assert all(job.value for job in jobs)
        assert logger.stats().delivered == 1000
        logger.info("entry 1000")
        atexit.register(lambda: logger.info("entry 1001"))
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(server) == sorted(numbered("entry", range(1002)))
    assert not server.duplicates()


@patched
def test_other_greenlets_run_while_one_flushes(server: DevServer, patch: str) -> None:
    """While the flush of a greenlet waits for a hanging server, other greenlets run."""
    server.script(*[Fault(hang=True)] * 50)
    done = run(
        server,
        patch,
        """\
        atexit.register(lambda: print(time.monotonic() - began))  # runs after the logger's hook
        logger.info("x")
        flusher = gevent.spawn(logger.flush, 25)
        for _ in range(50): gevent.sleep(0.001)  # without a switch, the flush would be over
        assert not flusher.ready()
        result = logger.flush(0.2)
        assert not result and result.pending == 1 and result.elapsed < 5, result
        began = time.monotonic()
        """,
        shutdown=BRIEF,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < BRIEF + SLACK
    (line,) = done.stderr.splitlines()
    assert line.startswith("voyage-logger: 1 entry lost (1 info): 1 shutdown")


@patched
def test_entries_arrive_after_an_outage(server: DevServer, patch: str) -> None:
    """While the worker pauses between two attempts, other greenlets run and can flush."""
    server.script(Fault(status=503), Fault(reset="before"), Fault(status=401))
    done = run(
        server,
        patch,
        """\
        jobs = [gevent.spawn(logger.critical, f"entry {n}") for n in range(20)]
        gevent.joinall(jobs)
        assert logger.flush(20)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(server) == sorted(numbered("entry", range(20)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize("patch", PATCHED.values(), ids=PATCHED)
def test_values_whose_repr_waits_are_sent(server: DevServer, patch: str) -> None:
    """If the `repr` of a value waits, the values of twenty greenlets are sent at the same time."""
    done = run(
        server,
        patch,
        """\
        class Row:
            def __repr__(self):
                gevent.sleep(0)
                return "<Row>"
        def work():
            logger.info("x", meta_data={"row": Row()})
        gevent.joinall([gevent.spawn(work) for _ in range(20)])
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = [entry["meta_data"]["row"] for entry in server.entries()]
    assert rows == ["<Row>"] * 20


@pytest.mark.parametrize("fork", ["os.fork", "gevent.os.fork", "gevent.fork"])
@patched
def test_forked_children_deliver_their_own(server: DevServer, patch: str, fork: str) -> None:
    """With gevent, all entries of parent and child arrive, even entries from before the fork."""
    done = run(
        server,
        patch,
        f"""\
        import gevent.os
        logger.info("parent before")
        logger.flush()
        logger.info("parent queued")
        gevent.sleep(0)
        child = {fork}()
        if child == 0:
            gevent.joinall([gevent.spawn(logger.info, f"child {{n}}") for n in range(10)])
            assert logger.flush(10)
            logger.info("child at exit")
        else:
            logger.info("parent after")
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(server) == sorted(
        [
            *numbered("child", range(10)),
            "child at exit",
            "parent after",
            "parent before",
            "parent queued",
        ]
    )


@patched
def test_entries_of_real_threads_arrive_beside_those_of_greenlets(
    server: DevServer, patch: str
) -> None:
    """A real thread from gevent's thread pool can log and flush while greenlets log and flush."""
    done = run(
        server,
        patch,
        """\
        logger.info("entry 0")
        pool = gevent.get_hub().threadpool
        jobs = [pool.spawn(logger.info, f"entry {n}") for n in range(1, 101)]
        gevent.joinall([gevent.spawn(job.get) for job in jobs])
        assert logger.flush(10)
        assert pool.apply(lambda: bool(logger.flush(10)))
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(server) == sorted(numbered("entry", range(101)))
