"""Compares the spool with the queue in memory: log calls, delivery of a backlog, and memory.

As in the benchmark `call`, calls come in bursts while the client delivers. Then the harness logs a
backlog while the server is closed, opens the server, and flushes the client. The rate is measured
from the first to the last arrival. The memory queue has room for the whole backlog.
"""

from __future__ import annotations

import os
import time
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks._report import Column, Report
from benchmarks._workload import session
from benchmarks.contestants import BY_NAME, NOTHING
from benchmarks.measures import call
from benchmarks.measures.deliver import begin_peak, peak, resident

if TYPE_CHECKING:
    from benchmarks._bench import Bench, Result
    from benchmarks._child import Job
    from benchmarks.contestants import Entrant

ROUNDS = 3
_MIB = 1024 * 1024
_ENTRY = 430
_DRAIN = (
    Column("backlog", "backlog"),
    Column("logged/s", "logged"),
    Column("MiB taken by the backlog", "backlog_mib", 1),
    Column("drained/s", "drained", has_spread=True),
    Column("CPU s per 100,000 drained", "cpu", 2),
    Column("peak MiB while draining", "drain_mib", 1),
    Column("lost", "lost"),
    Column("doubled", "doubled"),
)


def run(bench: Bench) -> Report:
    """Return a report with a table for calls and a table for the delivery."""
    report = Report("spool", "The spool beside the queue in memory")
    entrants = [BY_NAME["voyage"], BY_NAME["voyage-spool"]]
    calls = 2_000 if bench.is_quick else 8_000
    found = call.measure(bench, [NOTHING, *entrants], ["burst 1"], calls, 0)
    report.add("Log call, burst, microseconds", entrants, found["burst 1"], call.COLUMNS)
    sizes = (10_000,) if bench.is_quick else (10_000, 50_000)
    for size in sizes:

        def one(entrant: Entrant, size: int = size) -> Result:
            return _one(bench, entrant, size)

        results = bench.in_rounds(entrants, one)
        report.add(f"A backlog of {size:,} entries", entrants, results, _DRAIN)
    report.notes.append(
        f"A bare `os.write` of {_ENTRY} bytes to a file here: {_write_cost():.1f} us. "
        "MiB are over the process with one entry delivered."
    )
    return report


def _write_cost() -> float:
    """Return how many microseconds an append takes: the median of several thousand."""
    line, times = b"x" * _ENTRY, []
    with TemporaryDirectory(prefix="bench-write-") as folder:
        file = os.open(f"{folder}/file", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for _ in range(5_000):
            start = time.perf_counter_ns()
            os.write(file, line)
            times.append(time.perf_counter_ns() - start)
        os.close(file)
    return sorted(times)[len(times) // 2] / 1e3


def _one(bench: Bench, entrant: Entrant, size: int) -> Result:
    bench.sink.reset()
    options = (
        {}
        if entrant.name.endswith("spool")
        else {
            "max_queue_size": size + 1_000,
            "max_queue_bytes": max(32 * _MIB, size * 1_000),
        }
    )
    with bench.child("spool", entrant, size=size, options=options) as child:
        child.hear()
        bench.sink.drop_new()
        child.go_on()
        found = child.hear()
        bench.sink.heal()
        child.go_on()
        drained = child.hear()
        bench.sink.settle()
        child.go_on()
        child.end(10)
    arrivals = bench.sink.stored().arrivals()
    arrivals.pop(90_000_000, None)
    times = sorted(arrived[0] for arrived in arrivals.values())
    seconds = (times[-1] - times[0]) / 1e9 if len(times) > 1 else 0
    return {
        **found,
        **drained,
        "backlog": size,
        "drained": len(times) / seconds if seconds else None,
        "lost": size - len(times),
        "doubled": sum(len(arrived) - 1 for arrived in arrivals.values()),
    }


def inside(job: Job) -> None:
    """Log a backlog while the server is closed, and deliver the backlog when the server is open."""
    contestant = job.set_up(**job.options["options"])
    size = job.options["size"]
    contestant.log(0, session(90_000_000))
    contestant.flush(10)
    idle = begin_peak()
    job.say(ready=True)
    job.wait()
    start = time.perf_counter()
    for n in range(size):
        contestant.log(n, session(n))
    spent = time.perf_counter() - start
    job.say(logged=size / spent, backlog_mib=(resident() - idle) / _MIB)
    job.wait()
    cpu = time.process_time()
    contestant.flush(60)
    cpu = time.process_time() - cpu
    job.say(cpu=cpu / size * 1e5, drain_mib=(peak() - idle) / _MIB)
    job.wait()
