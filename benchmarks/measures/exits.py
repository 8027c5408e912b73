"""The end of a process with 50 entries queued: how long it takes, and what is lost.

The time is that from the last log call to the end of the process, less the interpreter's own. In a
running app: one entry has been delivered before, so there is a connection, a token, a thread. The
server then is healthy, or its port is closed, or it takes what comes and answers nothing. In a
short script the 50 are the first entries of all.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks._bench import ChildError
from benchmarks._report import Column, Report
from benchmarks._workload import session
from benchmarks.contestants import NOTHING

if TYPE_CHECKING:
    from benchmarks._bench import Bench, Result
    from benchmarks._child import Job
    from benchmarks.contestants import Entrant

ROUNDS = 1
_ENTRIES = 50
_LIMIT = 8.0  # seconds, then it is killed
_CASES = ("healthy", "script", "refused", "black hole")
_COLUMNS = (
    Column("healthy, ms", "healthy"),
    Column("lost", "healthy_lost"),
    Column("short script, ms", "script"),
    Column("lost", "script_lost"),
    Column("refused, ms", "refused"),
    Column("black-holed, ms", "black hole"),
)


def run(bench: Bench) -> Report:
    """One table."""
    report = Report("exit", f"Exit with {_ENTRIES} entries queued")
    cases = _CASES[:1] if bench.is_quick else _CASES
    entrants = [NOTHING, *bench.entrants]

    def one(entrant: Entrant) -> Result:
        found: Result = {}
        for case in cases:
            spent, arrived = _one(bench, entrant, case)
            found[case] = spent
            if entrant is not NOTHING and arrived is not None:
                found[f"{case}_lost"] = _ENTRIES - arrived
        return found

    results = bench.in_rounds(entrants, one)
    own = results.pop(NOTHING.name)
    for result in results.values():
        for case in cases:
            over = result[case] - own[case]
            result[case] = over if result[case] < _LIMIT * 1000 else f"over {_LIMIT * 1000:,.0f}"
    report.add("", bench.entrants, results, _COLUMNS)
    report.notes.append(
        f"The interpreter's own end, taken off: {own['healthy']:.0f} ms. "
        f"After {_LIMIT:.0f} s a process is killed."
    )
    return report


def _one(bench: Bench, entrant: Entrant, case: str) -> tuple[float, int | None]:
    """Milliseconds from the last call to the end, and how many arrived, where any could."""
    bench.sink.reset()
    with bench.child("exits", entrant, is_warm=case != "script") as child:
        child.hear()
        if case == "refused":
            bench.sink.refuse()
        elif case == "black hole":
            bench.sink.swallow()
        child.go_on()
        last_call = child.hear()["last_call"]
        if not child.end(_LIMIT):
            spent = _LIMIT * 1000
        else:
            spent = (time.monotonic_ns() - last_call) / 1e6
            if child.process.returncode:
                raise ChildError(f"exit code {child.process.returncode}")
    if case in ("refused", "black hole"):
        return spent, None
    bench.sink.settle()
    arrivals = bench.sink.stored().arrivals()
    return spent, sum(n < _ENTRIES for n in arrivals)


def inside(job: Job) -> None:
    """Logs, and comes to its end."""
    contestant = job.set_up()
    if job.options["is_warm"]:
        contestant.log(0, session(90_000_000))
        contestant.flush(10)
    job.say(ready=True)
    job.wait()
    for n in range(_ENTRIES):
        contestant.log(n, session(n))
    job.say(last_call=time.monotonic_ns())
