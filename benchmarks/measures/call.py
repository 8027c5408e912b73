"""The cost of one log call in the thread of the app.

A burst has 1,000 calls in one thread, or 500 calls in each of eight threads, without a pause. After
a burst, the harness waits until the client has sent its entries. In paced calls, one thread or
eight threads together make 2,000 evenly spaced calls a second. Each call is timed separately while
the client delivers to the sink. The benchmark subtracts the cost of an empty call in the same loop.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmarks._bench import percentile, shifted
from benchmarks._report import Column, Report
from benchmarks._workload import session
from benchmarks.contestants import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks._bench import Bench, Result
    from benchmarks._child import Job
    from benchmarks.contestants import Entrant
    from benchmarks.contestants._base import Contestant

ROUNDS = 3
_BURST = 1_000  # The number of calls in a burst of one thread.
_TOGETHER = 4_000  # The number of calls in a burst of eight threads together.
_RATE = 2_000
_APART = 1_000_000  # the first entry numbers of two patterns differ by this number
_HEADINGS = {
    "burst 1": "Burst, 1 thread",
    "burst 8": "Burst, 8 threads",
    "paced 1": "Paced, 2,000/s, 1 thread",
    "paced 8": "Paced, 2,000/s, 8 threads together",
}
COLUMNS = (
    Column("p50", "p50", 1, has_spread=True),
    Column("p99", "p99"),
    Column("p99.9", "p999", has_spread=True),
    Column("max", "max"),
    Column("CPU a call", "cpu", 1),
    Column("lost", "lost"),
)


def run(bench: Bench) -> Report:
    """Return a report with a table for each pattern of calls."""
    report = Report("call", "One log call in the app's thread, microseconds")
    calls = bench.entries or (2_000 if bench.is_quick else 8_000)
    seconds = 0.2 if bench.is_quick else 1.0
    entrants = [NOTHING, *bench.entrants]
    results = measure(bench, entrants, list(_HEADINGS), calls, seconds)
    for shape, heading in _HEADINGS.items():
        report.add(heading, entrants, results[shape], COLUMNS)
    report.notes += [
        f"{calls:,} calls in bursts; paced for {seconds} s.",
        "The harness's own p50 and CPU are taken off the other rows; its row shows the noise.",
        "CPU a call is that of the calling threads only; `deliver` has the whole process's.",
    ]
    return report


def measure(
    bench: Bench, entrants: Sequence[Entrant], shapes: list[str], calls: int, seconds: float
) -> dict[str, dict[str, Result]]:
    """Return the results by pattern and contestant. One contestant must be `nothing`."""

    def one(entrant: Entrant) -> Result:
        bench.sink.reset()
        with bench.child("call", entrant, shapes=shapes, calls=calls, seconds=seconds) as child:
            found = child.hear()
            child.end(30)
        bench.sink.settle()
        arrived = Counter(n // _APART for n in bench.sink.stored().arrivals())
        for index, shape in enumerate(shapes):
            lost = found[f"{shape} calls"] - arrived[index]
            found[f"{shape} lost"] = None if entrant is NOTHING else lost
        return found

    whole = bench.in_rounds(entrants, one)
    results = {}
    for shape in shapes:
        results[shape] = {
            name: {
                key.removeprefix(f"{shape} "): value
                for key, value in result.items()
                if key.startswith(shape)
            }
            for name, result in whole.items()
        }
        _take_off(results[shape])
    return results


def _take_off(results: dict[str, Result]) -> None:
    """Subtract the cost of the harness from the other results."""
    own = results.get(NOTHING.name)
    if own is None:
        return
    for name, result in results.items():
        if name != NOTHING.name:
            shifted(result, ("p50", "p99", "p999", "max"), own["p50"])
            shifted(result, ("cpu",), own["cpu"])


def inside(job: Job) -> None:
    """Make the calls of all patterns, one pattern after the other."""
    contestant = job.set_up()
    contestant.log(0, session(99_999_999))  # the first call starts threads and makes connections
    contestant.flush(10)
    found: dict[str, float] = {}
    for index, shape in enumerate(job.options["shapes"]):
        kind, threads = shape.split()
        timed = _Timed(contestant, int(threads), index * _APART)
        if kind == "burst":
            timed.bursts(job.options["calls"])
        else:
            timed.paced(job.options["seconds"])
        contestant.flush(20)
        found |= {f"{shape} {key}": value for key, value in timed.result().items()}
    job.say(**found)


class _Timed:
    """The calls that several threads make, and the duration of each call."""

    def __init__(self, contestant: Contestant, threads: int, first: int) -> None:
        self._contestant = contestant
        self._first = first  # the entry number of the first call
        self._threads = threads
        self._times = [array("q") for _ in range(threads)]
        self._cpu = [0] * threads

    def bursts(self, calls: int) -> None:
        per_thread = min(_BURST, _TOGETHER // self._threads)
        bursts = max(1, calls // (per_thread * self._threads))
        barrier = threading.Barrier(self._threads)

        def work(index: int) -> None:
            for number in range(bursts):
                barrier.wait()
                first = (number * self._threads + index) * per_thread
                self._back_to_back(index, self._first + first, per_thread)
                barrier.wait()
                if index == 0:
                    self._catch_up()

        self._in_threads(work)

    def paced(self, seconds: float) -> None:
        calls = int(_RATE * seconds / self._threads)
        step = int(1e9 * self._threads / _RATE)
        start = time.monotonic_ns() + 10_000_000

        def work(index: int) -> None:
            due = start + step * index // self._threads
            first = self._first + index * calls
            for n in range(first, first + calls):
                if (rest := due - time.monotonic_ns()) > 0:
                    time.sleep(rest / 1e9)
                self._back_to_back(index, n, 1)
                due += step

        self._in_threads(work)

    def result(self) -> dict[str, Any]:
        times = sorted(spent for some in self._times for spent in some)
        return {
            "calls": len(times),
            "p50": percentile(times, 0.5) / 1e3,
            "p99": percentile(times, 0.99) / 1e3,
            "p999": percentile(times, 0.999) / 1e3,
            "max": times[-1] / 1e3,
            "cpu": sum(self._cpu) / len(times) / 1e3,
        }

    def _back_to_back(self, index: int, first: int, count: int) -> None:
        clock, log, keep = time.perf_counter_ns, self._contestant.log, self._times[index].append
        before = time.thread_time_ns()
        for n in range(first, first + count):
            text = session(n)
            start = clock()
            log(n, text)
            keep(clock() - start)
        self._cpu[index] += time.thread_time_ns() - before

    def _catch_up(self) -> None:
        """Let the client send its waiting entries, for at most two seconds."""
        end = time.monotonic() + 2
        time.sleep(0.02)
        while self._contestant.waiting() > _BURST // 10 and time.monotonic() < end:
            time.sleep(0.005)

    def _in_threads(self, work: Any) -> None:
        if self._threads == 1:  # the calls run in the app's main thread
            work(0)
            return
        threads = [threading.Thread(target=work, args=(index,)) for index in range(self._threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
