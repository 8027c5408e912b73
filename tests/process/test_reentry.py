"""Signal handlers, destructors, and functions that the logger calls, can make log calls.

Each test starts a process, so that the time limit can end a deadlock or an endless loop.
"""

from __future__ import annotations

import json
import signal
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import UNMEASURED, lost, python
from voyage_logger.devserver import DevServer, Fault, Rules

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TIME_LIMIT = 40.0  # seconds; a test usually takes a tenth of this time

PRELUDE = """\
import gc, json, logging, os, signal, sys, threading, time
from voyage_logger import BaseTransport, Kind, Outcome, VoyageLogger

def report(**values):
    stats = logger.stats()
    settled = stats.delivered + stats.rejected + stats.dropped
    values = {"accepted": stats.accepted, "settled": settled, "delivered": stats.delivered,
              "pending": stats.pending, "echoed": stats.echoed, **values}
    print(json.dumps(values), flush=True)
"""


def run(
    code: str, server: DevServer | None = None, environ: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], str]:
    """Run code in a process. Return the values that the code reports, and the text on stderr."""
    variables = {**UNMEASURED, **(server.environ if server else {}), **(environ or {})}
    done = python("-W", "error", "-c", PRELUDE + textwrap.dedent(code), environ=variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")


@needs_timer
def test_entries_of_a_frequent_signal_handler_arrive_once(server: DevServer) -> None:
    """If a signal handler that logs interrupts `info`, `flush` or `stats`, no entry is lost."""
    found, stderr = run(
        """\
        logger = VoyageLogger("app", max_queue_size=1_000_000, flush_interval=0.01)
        ticks = 0
        logged = [0] * 3

        def on_tick(number, frame):
            global ticks
            ticks += 1
            logger.info("tick", tags=[str(ticks)])
            if ticks % 20 == 0: logger.stats()
            if ticks % 50 == 0: logger.flush(timeout=0.002)

        def work(place):
            while ticks < 200 and time.monotonic() < end:
                for _ in range(20):
                    logger.info("work", tags=[f"{place}-{logged[place]}"])
                    logged[place] += 1
                logger.stats()
                logger.flush(timeout=0.005)

        signal.signal(signal.SIGALRM, on_tick)
        end = time.monotonic() + 30
        threads = [threading.Thread(target=work, args=(place,)) for place in (1, 2)]
        for thread in threads: thread.start()
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        work(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for thread in threads: thread.join()
        result = logger.flush()
        report(ticks=ticks, logged=sum(logged), pending_at_flush=result.pending)
        """,
        server,
    )
    assert stderr == ""
    assert found["ticks"] >= 200
    total = found["ticks"] + found["logged"]
    assert (found["accepted"], found["delivered"], found["pending_at_flush"]) == (total, total, 0)
    tags = [entry["tags"][0] for entry in server.entries()]
    assert (len(tags), len(set(tags))) == (total, total)


@needs_timer
def test_counts_are_right_if_a_signal_handler_logs_to_a_full_queue(server: DevServer) -> None:
    """If a signal handler logs while a full queue sheds entries, each entry is counted once."""
    server.refuse_connections()
    found, stderr = run(
        """\
        logger = VoyageLogger("app", max_queue_size=50, shutdown_timeout=0.1)
        ticks = logged = 0

        def on_tick(number, frame):
            global ticks
            ticks += 1
            logger.critical("tick")
            logger.stats()

        signal.signal(signal.SIGALRM, on_tick)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        end = time.monotonic() + 30
        while ticks < 200 and time.monotonic() < end:
            logger.info("work")
            logged += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        report(total=ticks + logged, ticks=ticks)
        """,
        server,
    )
    assert found["ticks"] >= 200
    assert found["accepted"] == found["total"] == found["settled"] + found["pending"]
    assert found["pending"] <= 2 * 50  # at most 50 entries in the queue, and 50 in flight
    assert sum(lost(stderr)) == found["total"]


@pytest.mark.parametrize("kept", ["in memory", "in a spool"])
@pytest.mark.parametrize(
    "call",
    [
        "logger.info('x')",
        "logger.critical('x')",
        pytest.param(
            "logger.info('x', add_ticket=True, a=object())", marks=pytest.mark.soak, id="odd"
        ),
    ],
)
def test_counts_are_right_after_a_recursion_error(tmp_path: Path, call: str, kept: str) -> None:
    """After a recursion error at any line of a log call, the counts are correct."""
    spool = {"spool_dir": str(tmp_path), "max_spool_bytes": 1 << 17, "max_batch_bytes": 1 << 16}
    settings = spool | {"max_entry_bytes": 1 << 14} if kept == "in a spool" else {}
    found, _ = run(
        f"""\
        class Away(BaseTransport):
            def send(self, entries, *, time_limit=None): return Outcome(Kind.TRY_AGAIN, "away")

        bad = []
        for bound in (50, 100_000):  # full, and not
            logger = VoyageLogger("app", transport=Away(), max_queue_size=bound, flush_interval=600,
                                  batch_size=10, shutdown_timeout=0.1, **{settings})
            for _ in range(200): logger.info("before")

            def recur():
                {call}
                recur()

            def begin(depth):  # each depth ends at another place
                begin(depth - 1) if depth else recur()

            for depth in range(12):
                try: begin(depth)
                except RecursionError: pass
            queue = logger._pipeline.queue
            with queue.lock:
                stats = logger.stats()
                waiting = sum(map(len, getattr(queue, "_memory", queue)._lanes))
                settled = stats.delivered + stats.rejected + stats.dropped
                bad.append(stats.accepted - settled - stats.pending)
                bad.append(queue.ledger.queued - waiting)
        report(bad=bad)
        os._exit(0)
        """
    )
    assert found["bad"] == [0, 0, 0, 0]


def test_entries_of_destructors_at_any_allocation_arrive(server: DevServer) -> None:
    """If any memory allocation can call a `__del__` method that logs, these entries arrive."""
    found, stderr = run(
        """\
        logger = VoyageLogger("app", max_queue_size=1_000_000, flush_interval=0.01)
        deaths = logged = 0

        class Mortal:
            def __init__(self): self.itself = self
            def __del__(self):
                global deaths
                deaths += 1
                logger.info("died", tags=[f"{threading.current_thread().name}"])

        def work():
            global logged
            for number in range(150):
                Mortal()
                with lock: logged += 1
                logger.info("work", meta_data={"n": number})
                if number % 50 == 0: logger.flush(timeout=0.01)

        lock = threading.Lock()
        logger.info("first")
        gc.set_threshold(1)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        gc.set_threshold(700)
        gc.collect()
        result = logger.flush()
        report(total=1 + deaths + logged, deaths=deaths, echoed=logger.stats().echoed)
        """,
        server,
    )
    assert stderr == ""
    assert found["deaths"] == 450
    assert found["accepted"] == found["delivered"] == found["total"] == server.count()
    assert found["echoed"] == 0


@pytest.mark.parametrize(
    "garbage",
    ["Mortal()", "weakref.finalize(Cycle(), logger.info, 'died')"],
    ids=["del", "finalize"],
)
def test_entry_of_a_destructor_that_runs_while_a_batch_is_sent_arrives(garbage: str) -> None:
    """A destructor can log even if it runs in the worker's thread during a request."""
    found, _ = run(
        f"""\
        import weakref

        class Cycle:
            def __init__(self): self.itself = self

        class Mortal(Cycle):
            def __del__(self): logger.info("died")

        messages = []

        class Collecting(BaseTransport):
            def send(self, entries, *, time_limit=None):
                logger.info("an echo")
                gc.collect()
                messages.extend(json.loads(entry)["message"] for entry in entries)
                return Outcome(Kind.DELIVERED)

        gc.disable()
        logger = VoyageLogger("app", transport=Collecting(), flush_interval=600)
        {garbage}
        logger.info("first")
        logger.flush()
        logger.flush()
        report(messages=messages)
        """
    )
    assert found["messages"] == ["first", "died"]
    assert (found["accepted"], found["echoed"]) == (2, 2)


HANDLER = """\
class Forward(logging.Handler):
    def __init__(self, logger):
        super().__init__()
        self.logger = logger

    def emit(self, record):
        self.logger.info(record.getMessage(), tags=[record.name])

logging.getLogger().setLevel(logging.DEBUG)
app = logging.getLogger("app")
"""


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param([], id="healthy"),
        pytest.param([Fault(status=503)] * 3, id="failing"),
        pytest.param([Fault(status=403)], id="blocked"),
        pytest.param([Fault(status=401)] * 2, id="token refused"),
        pytest.param([Fault(reset="before"), Fault(cut=True)], id="resets"),
    ],
)
def test_handler_on_the_root_logger_makes_no_entries_of_the_client_s_own_records(
    server: DevServer, trouble: list[Fault]
) -> None:
    """The client makes no entries from log records of its own HTTP client, even at level DEBUG."""
    server.script(*trouble)
    found, _ = run(
        HANDLER
        + textwrap.dedent("""\
        logger = VoyageLogger("app", flush_interval=0.05, batch_size=1)
        logger._pipeline._worker._random = lambda: 0.0
        logging.getLogger().addHandler(Forward(logger))
        app.debug("one")
        app.warning("two")
        for number in range(3, 11):
            logger.flush()
            app.info("%d", number)
        logger.flush()
        report()
        """),
        server,
    )
    assert [entry["tags"] for entry in server.entries()] == [["app"]] * 10
    assert (found["accepted"], found["delivered"], found["pending"]) == (10, 10, 0)
    assert found["echoed"] >= 10


def test_requests_of_one_logger_make_no_entries_of_another_logger(server: DevServer) -> None:
    """Log records about the requests of one logger do not become entries of another logger."""
    found, _ = run(
        HANDLER
        + textwrap.dedent("""\
        logger, other = (VoyageLogger(name, flush_interval=0.01) for name in ("one", "two"))
        logging.getLogger().addHandler(Forward(logger))
        logging.getLogger().addHandler(Forward(other))
        app.info("x")
        for _ in range(20):
            logger.flush()
            other.flush()
        report(other=other.stats().accepted)
        """),
        server,
    )
    assert (found["accepted"], found["other"], server.count()) == (1, 1, 2)


def test_lines_about_losses_become_no_entries(server: DevServer) -> None:
    """The client's own warnings about lost entries do not become new entries."""
    server.refuse_connections()
    found, stderr = run(
        HANDLER
        + textwrap.dedent("""\
        logger = VoyageLogger("app", max_queue_size=5, flush_interval=0.01, shutdown_timeout=0.1)
        logging.getLogger().addHandler(Forward(logger))
        lines = []
        lines_handler = logging.Handler()
        lines_handler.emit = lambda record: lines.append(record.getMessage())
        logging.getLogger("voyage_logger").addHandler(lines_handler)
        for _ in range(20): app.error("x")
        logger.close()
        for _ in range(5): app.error("after the end")
        report(lines=lines)
        """),
        server,
    )
    assert (found["accepted"], found["settled"]) == (25, 25)
    assert len(found["lines"]) <= 3
    assert sum(lost(stderr)) == 25


@pytest.mark.parametrize("ends", ["logger.close(timeout=0)", "pass"], ids=["close", "exit"])
def test_end_waits_for_a_line_that_the_worker_is_writing(server: DevServer, ends: str) -> None:
    """If the process ends while the worker writes a line about lost entries, the line is whole."""
    server.refuse_connections()
    _, stderr = run(
        textwrap.dedent(f"""\
        import sys, threading
        class Slow:
            def write(self, text):
                if threading.current_thread() is not threading.main_thread():
                    begun.set()
                    threading.Event().wait(0.2)
                sys.__stderr__.write(text)
            def flush(self):
                sys.__stderr__.flush()
        begun, sys.stderr = threading.Event(), Slow()
        logger = VoyageLogger("app", max_queue_size=5, flush_interval=0.01, shutdown_timeout=0.01)
        for _ in range(20): logger.info("x")
        assert begun.wait(30)
        {ends}
        report()
        """),
        server,
    )
    assert sum(lost(stderr)) == 20


TO_LOGGER = """\
class ToLogger:
    def write(self, text):
        if logger is not None and text.strip(): logger.error(text.strip())
    def flush(self): pass

logger = None
sys.stderr = ToLogger()
"""


def test_console_on_a_stderr_that_logs_makes_no_loop() -> None:
    """If the app's stderr logs each line, a printed entry does not become a new entry."""
    found, _ = run(
        TO_LOGGER
        + textwrap.dedent("""\
        logger = VoyageLogger("app", flush_interval=0.01)
        logger.info("one")
        for _ in range(20): logger.flush()
        print("two", file=sys.stderr)
        for _ in range(20): logger.flush()
        report()
        sys.stderr = sys.__stderr__
        """),
        environ=dict.fromkeys(("VOYAGE_LOGS_KEY", "VOYAGE_LOGS_SECRET"), ""),
    )
    assert (found["accepted"], found["settled"]) == (2, 2)


def test_lines_on_a_stderr_that_logs_become_no_entries(server: DevServer) -> None:
    """If the app's stderr logs each line, the client's own lines do not become new entries."""
    server.script(*[Fault(status=403)] * 2)
    found, _ = run(
        TO_LOGGER
        + textwrap.dedent("""\
        logger = VoyageLogger("app", flush_interval=600)
        logger._pipeline._worker._random = lambda: 0.0
        logger.info("one")
        logger.flush(timeout=15)
        report()
        sys.stderr = sys.__stderr__
        """),
        server,
    )
    assert (found["accepted"], found["delivered"]) == (1, 1)
    assert found["echoed"] > 0


def test_on_error_may_log_and_flush(server: DevServer) -> None:
    """Entries that `on_error` logs in the worker's thread arrive at the server."""
    server.script(Fault(status=403))
    server.rules = Rules(refuse_containing="poison")
    found, _ = run(
        """\
        results = []

        def on_error(error):
            logger.error(f"heard of {type(error).__name__}")
            results.append(bool(logger.flush()))

        logger = VoyageLogger("app", on_error=on_error, flush_interval=600)
        logger._pipeline._worker._random = lambda: 0.0
        logger.info("x")
        logger.flush()
        logger.info("poison")
        logger.flush()
        logger.flush()
        report(results=results)
        """,
        server,
    )
    messages = [entry["message"] for entry in server.entries() if "event_name" not in entry]
    assert messages == ["x", "heard of DeliveryError", "heard of EntriesLost"]
    assert found["results"] == [False, False]
    assert (found["accepted"], found["settled"], found["echoed"]) == (5, 5, 0)


@pytest.mark.parametrize("ending", ["", "logger.close()"], ids=["exit", "close"])
def test_on_error_that_logs_at_the_end_makes_no_loop(server: DevServer, ending: str) -> None:
    """If `on_error` logs each loss at the end of the process, there is no endless loop."""
    server.refuse_connections()
    found, stderr = run(
        f"""\
        import atexit
        calls = 0

        def on_error(error):
            global calls
            calls += 1
            logger.error("heard of it")
            logger.flush()

        logger = VoyageLogger("app", on_error=on_error, shutdown_timeout=0.2, flush_interval=600)
        atexit.register(lambda: report(calls=calls))
        for _ in range(10): logger.info("x")
        {ending}
        """,
        server,
    )
    assert found["calls"] <= 3  # at most one of the calls reports a failed connection
    assert found["accepted"] == found["settled"] == 10 + found["calls"]
    assert sum(lost(stderr)) == found["accepted"]
