"""How many entries are lost with a slow server, and how long each entry takes to arrive.

The server answers each request after 20 or 100 ms. The app logs 1,000 or 5,000 entries a second, at
an even rate. An entry has arrived when the server has received the entry's whole request.
"""

from __future__ import annotations

import time
from array import array
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks._bench import percentile
from benchmarks._report import Column, Report
from benchmarks._workload import session

if TYPE_CHECKING:
    from benchmarks._bench import Bench, Result
    from benchmarks._child import Job
    from benchmarks.contestants import Entrant

ROUNDS = 3
_CASES = [(delay, rate) for delay in (20, 100) for rate in (1_000, 5_000)]
_WARM = 90_000_000
_STEP = 0.002  # seconds from one group of calls to the next; a sleep cannot be shorter
_COLUMNS = (
    Column("lag p50, ms", "p50"),
    Column("lag p99, ms", "p99", has_spread=True),
    Column("max, ms", "max"),
    Column("requests", "requests"),
    Column("lost", "lost"),
    Column("lost, %", "lost_share", 1),
    Column("doubled", "doubled"),
    Column("calls late by, ms", "late"),
)


def run(bench: Bench) -> Report:
    """Return a report with a table for each pair of latency and rate."""
    seconds = 0.4 if bench.is_quick else 2.0
    report = Report("latency", "A slow server: loss, and lag from the call to the server")
    for delay, rate in (
        _CASES[::3] if bench.is_quick else _CASES
    ):  # a quick run has only the first and the last case

        def one(entrant: Entrant, delay: int = delay, rate: int = rate) -> Result:
            return _one(bench, entrant, delay, rate, seconds)

        results = bench.in_rounds(bench.entrants, one)
        heading = f"Answers after {delay} ms, {rate:,} entries/s"
        report.add(heading, bench.entrants, results, _COLUMNS)
    report.notes += [
        f"Logged for {seconds} s, then flushed for 10 s at most; nobody waits for a full queue.",
        "Calls late by: how far the app was behind its schedule at the end, because of slow calls.",
    ]
    return report


def _one(bench: Bench, entrant: Entrant, delay: int, rate: int, seconds: float) -> Result:
    with TemporaryDirectory(prefix="bench-calls-") as folder:
        calls = Path(folder) / "calls"
        bench.sink.reset()
        with bench.child("latency", entrant, rate=rate, seconds=seconds, calls=str(calls)) as child:
            child.hear()
            bench.sink.heal(delay)
            child.go_on()
            found = child.hear()
            bench.sink.settle(delay / 1000)
            child.go_on()
            child.end(5)
        times = array("q")
        times.frombytes(calls.read_bytes())
    stored = bench.sink.stored()
    arrivals = stored.arrivals()
    arrivals.pop(_WARM, None)
    lags = sorted((arrived[0] - times[n]) / 1e6 for n, arrived in arrivals.items())
    lost = len(times) - len(lags)
    return {
        "p50": percentile(lags, 0.5) if lags else None,
        "p99": percentile(lags, 0.99) if lags else None,
        "max": lags[-1] if lags else None,
        "requests": max(0, stored.posts - 1),  # the request of the first entry does not count
        "lost": lost,
        "lost_share": 100 * lost / len(times),
        "doubled": sum(len(arrived) - 1 for arrived in arrivals.values()),
        "late": found["late"],
    }


def inside(job: Job) -> None:
    """Log at an even rate, and record the time of each call."""
    contestant = job.set_up()
    rate, seconds = job.options["rate"], job.options["seconds"]
    contestant.log(0, session(_WARM))
    contestant.flush(10)
    job.say(ready=True)
    job.wait()
    total, times = int(rate * seconds), array("q")
    start = time.monotonic()
    limit = start + 2 * seconds  # clients that post in the caller's thread can reach this limit
    while len(times) < total and (now := time.monotonic()) < limit:
        if len(times) > (now - start) * rate:
            time.sleep(_STEP)
            continue
        n = len(times)
        times.append(time.monotonic_ns())
        contestant.log(n, session(n))
    late = time.monotonic() - start - len(times) / rate
    contestant.flush(10)
    Path(job.options["calls"]).write_bytes(times.tobytes())
    job.say(late=max(0.0, late * 1000))
    job.wait()
