"""The work of a client in a process that has stopped logging.

Each contestant delivers one entry in its own process. Then all processes wait together. Before and
after the wait, the benchmark reads two counts of the system: CPU time and voluntary context
switches. A thread that wakes up makes at least one voluntary context switch.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._report import Column, Report
from benchmarks._workload import session
from benchmarks.contestants import NOTHING

if TYPE_CHECKING:
    from benchmarks._bench import Bench, Result
    from benchmarks._child import Job

ROUNDS = 1
COLUMNS = (
    Column("wakeups a minute", "wakeups"),
    Column("CPU ms a minute", "cpu", 1),
    Column("threads", "threads"),
    Column("resident MiB over the harness", "resident", 1),
)
_REST = 6.0  # seconds; longer than the timers that the last entry starts


def run(bench: Bench) -> Report:
    """Return a report with one table. One round is enough for counts."""
    report = Report("idle", "Idle, a minute")
    rest, seconds = (1.0, 3.0) if bench.is_quick else (_REST, 30.0)
    entrants = [NOTHING, *bench.entrants]
    bench.sink.reset()
    results: dict[str, Result] = {}
    with bench.all_at_once("idle", entrants) as children:
        pids = {name: child.process.pid for name, child in children.items()}
        time.sleep(rest)
        before = {name: _look(pid) for name, pid in pids.items()}
        time.sleep(seconds)
        for name, pid in pids.items():
            after = _look(pid)
            results[name] = {
                "wakeups": (after["switches"] - before[name]["switches"]) * 60 / seconds,
                "cpu": (after["cpu"] - before[name]["cpu"]) * 60 / seconds,
                "threads": after["threads"],
                "resident": after["resident"],
            }
    own = results[NOTHING.name]["resident"]
    for result in results.values():
        result["resident"] -= own
    report.add("", entrants, results, COLUMNS)
    report.notes.append(f"Counted over {seconds:.0f} s, from {rest:.0f} s after the last entry.")
    return report


def _look(pid: int) -> dict[str, float]:
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    switches = cpu = 0.0
    for task in tasks:
        switches += _status(task, "voluntary_ctxt_switches")
        # The first number is the CPU time in nanoseconds, which is more exact than `stat`.
        cpu += int((task / "schedstat").read_text().split()[0]) / 1e6
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {
        "switches": switches,
        "cpu": cpu,
        "threads": len(tasks),
        "resident": resident / 1024 / 1024,
    }


def _status(task: Path, name: str) -> int:
    for line in (task / "status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise LookupError(name)


def inside(job: Job) -> None:
    """Log one entry, and wait."""
    contestant = job.set_up()
    contestant.log(0, session(90_000_000))
    contestant.flush(10)
    job.say(ready=True)
    job.wait()
