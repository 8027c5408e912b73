"""The time that a unit of work takes in an app while the app also logs.

While the client delivers, the app's thread computes units of about 130 us and logs an entry each
millisecond. The benchmark also times a unit without a client. The difference is the time that
the threads of the client take, mostly because they hold the interpreter lock. The table also shows
how long the calls take, because some clients send entries in the call itself.
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
    Column("p99", "p99", has_spread=True),
    Column("p99.9", "p999", has_spread=True),
    Column("max", "max"),
    Column("mean", "mean"),
    Column("units beyond 1 ms, %", "slow", 2),
    Column("in calls, ms a second", "calls", 1),
    Column("lost", "lost"),
)
_UNIT = 4_000  # The number of loop iterations in a unit of work.
_RATE = 1_000  # Entries a second.


def run(bench: Bench) -> Report:
    """Return a report with one table."""
    report = Report("contention", "A unit of the app's own work beside the worker, microseconds")
    seconds = 0.2 if bench.is_quick else 2.0
    entrants = [NOTHING, *bench.entrants]

    def one(entrant: Entrant) -> Result:
        bench.sink.reset()
        with bench.child("contention", entrant, seconds=seconds) as child:
            found = child.hear()
            child.end(10)
        bench.sink.settle()
        arrived = len(bench.sink.stored().arrivals())
        lost = None if entrant is NOTHING else found.pop("entries") - arrived
        return {**found, "lost": lost}

    report.add("", entrants, bench.in_rounds(entrants, one), _COLUMNS)
    report.notes.append(f"{seconds} s of units, {_RATE:,} entries a second between them.")
    return report


def inside(job: Job) -> None:
    """Compute and log."""
    contestant = job.set_up()
    contestant.log(0, session(90_000_000))
    contestant.flush(10)
    clock, times, spent_in_calls, n = time.perf_counter_ns, array("q"), 0, 0
    first = clock()
    end = first + int(1e9 * job.options["seconds"])
    while (start := clock()) < end:
        _work()
        done = clock()
        times.append(done - start)
        if done >= first + n * 1_000_000_000 // _RATE:
            contestant.log(n, session(n))
            spent_in_calls += clock() - done
            n += 1
    contestant.flush(20)
    ordered = sorted(times)
    job.say(
        p50=percentile(ordered, 0.5) / 1e3,
        p99=percentile(ordered, 0.99) / 1e3,
        p999=percentile(ordered, 0.999) / 1e3,
        max=ordered[-1] / 1e3,
        mean=sum(ordered) / len(ordered) / 1e3,
        calls=spent_in_calls / 1e6 / job.options["seconds"],
        entries=n + 1,  # the first entry is also counted
        slow=100 * sum(spent > 1_000_000 for spent in ordered) / len(ordered),
    )


def _work() -> int:
    total = 0
    for number in range(_UNIT):
        total += number & 7
    return total
