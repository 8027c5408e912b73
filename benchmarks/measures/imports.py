"""The cost of importing a client, in addition to the start of the interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks._bench import environment
from benchmarks._report import Column, Report
from benchmarks.contestants import NOTHING

if TYPE_CHECKING:
    from benchmarks._bench import Bench, Result
    from benchmarks.contestants import Entrant

ROUNDS = 3
_STARTS = 3  # the number of measured starts in a round; an earlier start fills the caches
COLUMNS = (
    Column("ms over the interpreter", "ms", 1, has_spread=True),
    Column("modules", "modules"),
    Column("requests imported", "requests"),
)
_LOOK = "; import sys; print(len(sys.modules), 'requests' in sys.modules)"


def run(bench: Bench) -> Report:
    """Return a report with one table."""
    report = Report("import", "Import")
    entrants = [NOTHING, *(entrant for entrant in bench.entrants if entrant.imports)]
    _start(NOTHING)
    bare_modules = int(_start(NOTHING)[1].split()[0])

    def one(entrant: Entrant) -> Result:
        _start(entrant)
        own, bare = [], []
        for _ in range(1 if bench.is_quick else _STARTS):
            bare.append(_start(NOTHING)[0])
            spent, said = _start(entrant)
            own.append(spent)
        modules, has_requests = said.split()
        return {
            "ms": (statistics.median(own) - statistics.median(bare)) * 1e3,
            "modules": int(modules) - bare_modules,
            "requests": has_requests == "True",
        }

    results = bench.in_rounds(entrants, one)
    report.add("", entrants, results, COLUMNS)
    report.notes.append(
        "Bytecode and files are in the system's caches; modules: beyond the interpreter's."
    )
    return report


def _start(entrant: Entrant) -> tuple[float, str]:
    start = time.perf_counter()
    said = subprocess.check_output(
        [sys.executable, "-W", "ignore", "-c", entrant.imports + _LOOK],
        env=environment(),
        text=True,
        timeout=60,
    )
    return time.perf_counter() - start, said
