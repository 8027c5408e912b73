"""The cost of each feature of voyage-logger, and the cost of a request.

The cost of a log call is measured with loggers that differ in only one setting. One process calls
the loggers in turn. The loggers' transport accepts all entries, and sends nothing while calls are
timed. Other features are measured without log calls, such as the start of a journey. For a request,
the benchmark measures the CPU time for bodies of 1, 100 and 2,000 entries, with the transport of
this client and with urllib3 alone.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from benchmarks._report import Column, Report
from benchmarks.contestants import BY_NAME, Entrant

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._bench import Bench, Result
    from benchmarks._child import Job

ROUNDS = 3
_CALLS = 1_000  # the number of calls of one logger before the next logger is called
_TURNS = 12
_REQUESTS = 200
_SIZES = (1, 100, 2_000)
PRICES = {
    "default": "as it comes",
    "method": "without `method_name` (`capture_method=False`)",
    "stamps": "without time and id (`timestamps=False`)",
    "redact": "without redaction by key (`redact=None`)",
    "filtered": "below the logger's `level`",
    "bound": "two fields by `bind`",
    "context": "two fields by `context`",
    "steps-0": "inside a journey without steps",
    "steps-4": "inside a journey of four steps",
    "steps-10": "inside a journey of ten steps",
    "steps-50": "inside a journey of 50 steps",
    "masked": "with a key that is to be masked",
    "before_send": "with a `before_send` that changes nothing",
    "sample": "with a `sample` function that keeps all",
    "left-out": "left out by `sample={...: 0}`",
    "ticket": "a ticket",
    "cooldown": "a ticket, with `ticket_cooldown`",
    "traceback": "with the traceback of 12 frames",
    "collapse": "with `collapse`, nothing alike",
    "spool": "with `spool_dir`, the write included",
}
_ALONE = {
    "bind": "`bind` with two fields",
    "enter": "entering and leaving a `context`",
    "journey": "entering and leaving a `journey`, its closing entry included",
    "step": "`journey.step()`",
    "carrier": "`journey.carrier()` with 40 steps",
    "continue": "entering and leaving `continue_journey` with 40 steps, its closing entry included",
    "propagate": "a call of what `propagate` has made",
}


def run(bench: Bench) -> Report:
    """Return a report with a table for calls and a table for requests."""
    report = Report("prices", "What each feature costs")
    own = [each for each in bench.entrants if each.name in ("voyage", "voyage-speed")]

    def one(entrant: Entrant) -> Result:
        with bench.child("prices", entrant, is_quick=bench.is_quick) as child:
            return child.hear()

    found = bench.in_rounds(own or [BY_NAME["voyage"]], one)
    for name, result in found.items():
        rows = {key: {"us": result[key], "more": result[key] - result["default"]} for key in PRICES}
        entrants = [Entrant(key, title, "") for key, title in PRICES.items()]
        columns = (Column("us", "us", 1), Column("beside the first", "more", 1))
        title = BY_NAME[name].title.strip("*")
        report.add(f"A log call, {title}", entrants, rows, columns)
        entrants = [Entrant(key, title, "") for key, title in _ALONE.items()]
        rows = {key: {"us": result[key]} for key in _ALONE}
        report.add(f"By itself, {title}", entrants, rows, columns[:1])
    requests = {
        way: {str(size): found[name][f"{way} {size}"] for name in found for size in _SIZES}
        for way in ("requests", "urllib3")
    }
    sizes = [Column(f"{size:,} entries", str(size)) for size in _SIZES]
    senders = [Entrant("requests", "this client, by requests", "")]
    senders.append(Entrant("urllib3", "bare urllib3", ""))
    report.add("CPU of a request in its thread, us", senders, requests, sizes)
    return report


def inside(job: Job) -> None:
    """Measure all features in one process."""
    contestant: Any = job.set_up()
    contestant.flush(10)
    found = _calls(contestant, 2 if job.options["is_quick"] else _TURNS)
    for way, send in (("requests", _by_requests(job)), ("urllib3", _by_urllib3(job))):
        for size in _SIZES:
            found[f"{way} {size}"] = _cpu(send, size, 20 if job.options["is_quick"] else _REQUESTS)
    job.say(**found)


def _calls(contestant: Any, turns: int) -> Result:
    from voyage_logger import BaseTransport, Kind, Outcome, VoyageLogger

    class Taker(BaseTransport):
        def send(self, entries: Any, *, time_limit: float | None = None) -> Outcome:
            del entries, time_limit
            return Outcome(Kind.DELIVERED)

    times: dict[str, list[int]] = {key: [] for key in (*PRICES, *_ALONE)}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-prices-"))

        def make(**settings: Any) -> Any:
            # The worker sends nothing while calls are timed, and does not change their cost.
            quiet: Any = {
                "batch_size": 1_000_000,
                "max_queue_size": 1_000_000,
                "flush_interval": 3_600,
            }
            logger = VoyageLogger("shop", transport=Taker(), **quiet, **settings)
            return stack.enter_context(logger)

        plain = make()
        loggers = dict.fromkeys(PRICES, plain) | {
            "method": make(capture_method=False),
            "stamps": make(timestamps=False),
            "redact": make(redact=None),
            "filtered": make(level="error"),
            "bound": plain.bind(region="eu-west-1", release="2026.11"),
            "before_send": make(before_send=lambda entry: entry),
            "sample": make(sample=lambda _: True),
            "left-out": make(sample={"info": 0}),
            "cooldown": make(ticket_cooldown=60),
            "collapse": make(collapse=5),
            "spool": make(spool_dir=folder),
        }
        for turn in range(turns):
            for key, logger in loggers.items():
                contestant.logger = logger
                with ExitStack() as scope:
                    log = _prepared(key, logger, scope) or contestant.log
                    times[key] += _timed(log, turn * _CALLS)
                logger.flush(30)
            for key in _ALONE:
                with ExitStack() as scope:
                    times[key] += _timed(_operation(key, plain, scope), turn * _CALLS)
                plain.flush(30)
    return {key: statistics.median(taken) / 1e3 for key, taken in times.items()}


def _prepared(key: str, logger: Any, scope: ExitStack) -> Callable[[int, str], None] | None:
    """Begin the context or journey for a call. Return the call, or None for the usual call."""
    if key == "context":
        scope.enter_context(logger.context(region="eu-west-1", release="2026.11"))
    elif key.startswith("steps-"):
        journey = scope.enter_context(logger.journey("checkout"))
        _walk(journey, int(key.removeprefix("steps-")))
    elif key == "masked":
        return lambda n, session: _paid(logger, n, session, {"password": "x" * 12})
    elif key in ("ticket", "cooldown"):
        return lambda n, session: _paid(logger, n, session, add_ticket=True)
    elif key == "traceback":
        error = _caught(11)
        return lambda n, session: _paid(logger, n, session, exc_info=error)
    return None


def _operation(key: str, logger: Any, scope: ExitStack) -> Callable[[int, str], object]:
    """Return a function that uses a feature without a log call. Its arguments are ignored."""
    from voyage_logger import propagate

    def enter(scoped: Any) -> None:
        with scoped:
            pass

    fields = {"region": "eu-west-1", "release": "2026.11"}
    journey = logger.journey("checkout")
    if key in ("step", "carrier", "continue"):
        scope.enter_context(journey)
        _walk(journey, 0 if key == "step" else 40)
    carrier = journey.carrier()
    operations: dict[str, Callable[[int, str], object]] = {
        "bind": lambda *_: logger.bind(**fields),
        "enter": lambda *_: enter(logger.context(**fields)),
        "journey": lambda *_: enter(logger.journey("checkout")),
        "step": lambda *_: journey.step("card_charged"),
        "carrier": lambda *_: journey.carrier(),
        "continue": lambda *_: enter(logger.continue_journey(carrier)),
        "propagate": propagate(lambda *_: None),
    }
    return operations[key]


def _walk(journey: Any, steps: int) -> None:
    for step in range(steps):
        journey.step(f"step_{step}")


def _caught(depth: int) -> Exception:
    def fail(left: int) -> None:
        if not left:
            raise ValueError("card declined")
        fail(left - 1)

    try:
        fail(depth - 1)
    except ValueError as error:
        return error
    raise AssertionError


def _paid(
    logger: Any, n: int, session: str, more: dict[str, Any] | None = None, **fields: Any
) -> None:
    """Make the usual call with additional arguments."""
    meta_data: dict[str, Any] = {"order": n, "amount": 129.95, "currency": "EUR"}
    logger.info(
        "Payment authorized",
        event_name="payment_authorized",
        event_flow_name="checkout",
        app_user_id="user_48213",
        session_id=session,
        tags=["payment", "eu"],
        meta_data={**meta_data, **(more or {})},
        **fields,
    )


def _timed(log: Callable[[int, str], object], first: int) -> list[int]:
    clock, taken = time.perf_counter_ns, []
    for n in range(first, first + _CALLS):
        start = clock()
        log(n, "session-0123456789")
        taken.append(clock() - start)
    return taken


def _by_requests(job: Job) -> Callable[[list[bytes]], object]:
    from voyage_logger import Transport

    return Transport("bench-key", "bench-secret", f"http://127.0.0.1:{job.port}").send


def _by_urllib3(job: Job) -> Callable[[list[bytes]], object]:
    import urllib3

    pool = urllib3.PoolManager()
    url = f"http://127.0.0.1:{job.port}/voyage/api/v1/logs/batch"
    headers = {"Content-Type": "application/json", "Authorization": "Bearer bench"}

    def send(entries: list[bytes]) -> object:
        body = b'{"logs":[' + b",".join(entries) + b"]}"
        return pool.request("POST", url, body=body, headers=headers, retries=False, timeout=10.0)

    return send


def _cpu(send: Callable[[list[bytes]], object], size: int, count: int) -> float:
    """Return this thread's CPU time for a request with `size` entries, in microseconds."""
    entries = [b'{"message":"' + b"x" * 415 + b'"}'] * size
    send(entries)
    start = time.thread_time_ns()
    for _ in range(count):
        send(entries)
    return (time.thread_time_ns() - start) / count / 1e3
