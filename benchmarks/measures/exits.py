"""How long a process with 50 queued entries takes to end, and how many entries it loses.

The benchmark measures the time from the last log call to the end of the process. A running app has
delivered one entry before, so it has a connection, a token and a thread. The server either works,
or has a closed port, or never answers. The 50 entries of a short script are its first entries. If
the server works, the benchmark subtracts the time that the interpreter needs to end. If the server
does not work, all clients wait at the same time, so the results have only one decimal.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks._bench import ChildError, shifted, summary
from benchmarks._report import Column, Report
from benchmarks._workload import session
from benchmarks.contestants import NOTHING

if TYPE_CHECKING:
    from benchmarks._bench import Bench, Child, Result
    from benchmarks._child import Job
    from benchmarks.contestants import Entrant

ROUNDS = 5
_LONG_ROUNDS = 2  # the largest number of rounds for measurements that take seconds
_ENTRIES = 50
_LIMIT = 8.0  # seconds after which a process is killed
_CASES = ("healthy", "script")
_LONG_CASES = ("refused", "black hole")
COLUMNS = (
    Column("healthy, ms", "healthy", has_spread=True),
    Column("lost", "healthy_lost"),
    Column("short script, ms", "script", has_spread=True),
    Column("lost", "script_lost"),
    Column("refused, s", "refused", 1),
    Column("black-holed, s", "black hole", 1),
)


def run(bench: Bench) -> Report:
    """Return a report with one table."""
    report = Report("exit", f"Exit with {_ENTRIES} entries queued")
    cases = _CASES[:1] if bench.is_quick else _CASES
    entrants = [NOTHING, *bench.entrants]

    def one(entrant: Entrant) -> Result:
        found: Result = {}
        for case in cases:
            found[case], arrived = _one(bench, entrant, case)
            if entrant is not NOTHING:
                found[f"{case}_lost"] = _ENTRIES - arrived
        return found

    results = bench.in_rounds(entrants, one)
    own = results.pop(NOTHING.name)
    for result in results.values():
        for case in cases:
            shifted(result, (case,), own[case])
    for case in _LONG_CASES[:1] if bench.is_quick else _LONG_CASES:
        rounds = [_together(bench, case) for _ in range(min(bench.rounds, _LONG_ROUNDS))]
        for name, result in results.items():
            found = summary([{case: each[name]} for each in rounds if name in each])
            result.update(found | {"rounds": result["rounds"]})
    report.add("", bench.entrants, results, COLUMNS)
    report.notes.append(
        f"The interpreter's own end, taken off where the server is healthy: "
        f"{own['healthy']:.0f} ms. After {_LIMIT:.0f} s a process is killed."
    )
    return report


def _one(bench: Bench, entrant: Entrant, case: str) -> tuple[float, int]:
    """Return the milliseconds from the last call to the end, and the number of arrived entries."""
    bench.sink.reset()
    with bench.child("exits", entrant, is_warm=case != "script") as child:
        child.hear()
        spent = _spent(child)
    if spent >= _LIMIT:
        raise ChildError(f"it did not end within {_LIMIT:.0f} s")
    bench.sink.settle()
    arrivals = bench.sink.stored().arrivals()
    return spent * 1e3, sum(n < _ENTRIES for n in arrivals)


def _together(bench: Bench, case: str) -> dict[str, float | str]:
    """If the server is closed or silent, return the seconds from the last call to the end."""
    bench.sink.reset()
    with (
        bench.all_at_once("exits", bench.entrants, is_warm=True) as children,
        ThreadPoolExecutor(len(children) or 1) as pool,
    ):
        if case == "refused":
            bench.sink.drop_new()
        else:
            bench.sink.swallow()
        ends = {name: pool.submit(_spent, child) for name, child in children.items()}
        found: dict[str, float | str] = {}
        for name, end in ends.items():
            try:
                seconds = end.result()
            except ChildError as failure:
                bench.note(name, failure)
                continue
            found[name] = seconds if seconds < _LIMIT else f"over {_LIMIT:.0f}"
    return found


def _spent(child: Child) -> float:
    """Let the child log and exit. Return the seconds from its last log call to its exit."""
    child.go_on()
    last_call: int = child.hear()["last_call"]
    if not child.end(_LIMIT):
        return _LIMIT
    spent = (time.monotonic_ns() - last_call) / 1e9
    if child.process.returncode:
        raise ChildError(f"exit code {child.process.returncode}")
    return spent


def inside(job: Job) -> None:
    """Log the entries, and end."""
    contestant = job.set_up()
    if job.options["is_warm"]:
        contestant.log(0, session(90_000_000))
        contestant.flush(10)
    job.say(ready=True)
    job.wait()
    for n in range(_ENTRIES):
        contestant.log(n, session(n))
    job.say(last_call=time.monotonic_ns())
