"""A busy app beside its logging: how long a unit of the app's own work takes.

The app's thread computes, in units of about a quarter of a millisecond, and logs one entry after
each; the client delivers meanwhile. Only the units are timed, not the calls: what they take longer
than with no client at all is what its threads take away, mostly by holding the interpreter.
"""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING

from benchmarks._bench import percentile
from benchmarks._report import Column, Report
from benchmarks._workload import session
from benchmarks.contestants import NOTHING

if TYPE_CHECKING:
    from benchmarks._bench import Bench, Result
    from benchmarks._child import Job
    from benchmarks.contestants import Entrant

ROUNDS = 3
_COLUMNS = (
    Column("p50", "p50"),
    Column("p99", "p99"),
    Column("p99.9", "p999"),
    Column("max", "max"),
    Column("mean", "mean"),
    Column("units beyond 1 ms, %", "slow", 2),
    Column("lost", "lost"),
)
_UNIT = 4_000  # turns of a loop


def run(bench: Bench) -> Report:
    """One table."""
    report = Report("contention", "A unit of the app's own work beside the worker, microseconds")
    units = 500 if bench.is_quick else 5_000
    entrants = [NOTHING, *bench.entrants]

    def one(entrant: Entrant) -> Result:
        bench.sink.reset()
        with bench.child("contention", entrant, units=units) as child:
            found = child.hear()
            child.end(10)
        bench.sink.settle()
        arrived = len(bench.sink.stored().arrivals())
        return {**found, "lost": None if entrant is NOTHING else units + 1 - arrived}

    report.add("", entrants, bench.in_rounds(entrants, one), _COLUMNS)
    report.notes.append(f"{units:,} units, an entry after each.")
    return report


def inside(job: Job) -> None:
    """Works and logs."""
    contestant = job.set_up()
    contestant.log(0, session(90_000_000))
    contestant.flush(10)
    clock, times = time.perf_counter_ns, array("q")
    for n in range(job.options["units"]):
        start = clock()
        _work()
        times.append(clock() - start)
        contestant.log(n, session(n))
    contestant.flush(20)
    ordered = sorted(times)
    job.say(
        p50=percentile(ordered, 0.5) / 1e3,
        p99=percentile(ordered, 0.99) / 1e3,
        p999=percentile(ordered, 0.999) / 1e3,
        max=ordered[-1] / 1e3,
        mean=sum(ordered) / len(ordered) / 1e3,
        slow=100 * sum(spent > 1_000_000 for spent in ordered) / len(ordered),
    )


def _work() -> int:
    total = 0
    for number in range(_UNIT):
        total += number & 7
    return total
