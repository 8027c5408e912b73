"""How many entries one process can deliver a second, and how much CPU and memory this takes.

The app logs as fast as possible in one thread. The harness pauses while a client's queue is half
full, so that no client must drop entries. After the last call, the harness flushes the client.
"""

from __future__ import annotations

import resource
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._bench import shifted
from benchmarks._report import Column, Report
from benchmarks._workload import session
from benchmarks.contestants import NOTHING

if TYPE_CHECKING:
    from benchmarks._bench import Bench, Result
    from benchmarks._child import Job
    from benchmarks._sink import Sink
    from benchmarks.contestants import Entrant
    from benchmarks.contestants._base import Contestant

ROUNDS = 3
_MIB = 1024 * 1024
_STEP = 100  # The number of calls between two checks of the client's queue.
WARM = 90_000_000  # The number of the first entry, which is logged before the clock starts.
_CEILING = (
    "The sink's ceiling, with ready bodies from a bare socket: {:,.0f} entries/s in bodies of "
    "1 MiB, {:,.0f} in bodies of 100 entries."
)
COLUMNS = (
    Column("entries/s", "rate", has_spread=True),
    Column("CPU s per 100,000", "cpu", 2, has_spread=True),
    Column("of it in the app's thread", "app_cpu", 2),
    Column("peak MiB over idle", "peak", 1, has_spread=True),
    Column("requests", "requests"),
    Column("bytes an entry", "entry_bytes"),
    Column("lost", "lost"),
    Column("doubled", "doubled"),
)


def run(bench: Bench) -> Report:
    """Return a report with one table."""
    entries = bench.entries or (2_000 if bench.is_quick else 30_000)
    report = Report("deliver", f"From the first call to the last entry stored, {entries:,} entries")
    entrants = [NOTHING, *bench.entrants]

    def one(entrant: Entrant) -> Result:
        bench.sink.reset()
        with bench.child("deliver", entrant, entries=entries) as child:
            child.hear()
            bench.sink.settle()
            before = bench.sink.count()
            child.go_on()
            found = child.hear()
            bench.sink.settle()
            child.go_on()
            child.end(30)
        return {**found, **stored(bench.sink, entries, found["start"], before)}

    results = bench.in_rounds(entrants, one)
    own = results.pop(NOTHING.name, None)
    for result in results.values():
        for key in ("cpu", "app_cpu"):
            shifted(result, (key,), own[key] if own is not None else 0.0)
    report.add("", bench.entrants, results, COLUMNS)
    large, small = ceiling(bench.sink), ceiling(bench.sink, body=43_000)
    report.notes += [
        "CPU is that of the whole process, user and system, without the harness's own.",
        _CEILING.format(large, small),
    ]
    return report


def stored(sink: Sink, entries: int, start: int, before: tuple[int, int]) -> Result:
    """Return the results for the entries that were logged after `start`."""
    found = sink.stored()
    arrivals = found.arrivals()
    warm = arrivals.pop(WARM, None)
    times = [times[0] for times in arrivals.values()]
    seconds = (max(times) - start) / 1e9 if times else None
    return {
        "rate": len(times) / seconds if seconds else None,
        "requests": found.posts - bool(warm and found.posts) if times else None,
        "entry_bytes": (found.wire_bytes - before[1]) / len(times) if times else None,
        "lost": entries - len(times),
        "doubled": sum(len(times) - 1 for times in arrivals.values()),
    }


def ceiling(sink: Sink, body: int = _MIB, total: int = 96 * _MIB) -> float:
    """Return how many entries of 430 bytes the sink receives in a second from a minimal client."""
    sink.reset()
    request = (
        b"POST /voyage/api/v1/logs/batch HTTP/1.1\r\nHost: sink\r\n"
        b"Content-Length: %d\r\n\r\n" % body + b"x" * body
    )
    count = total // body
    with socket.create_connection(("127.0.0.1", sink.port), 10) as connection:
        start = time.perf_counter()
        for _ in range(count):
            connection.sendall(request)
            connection.recv(4096)
        spent = time.perf_counter() - start
    sink.reset()
    return count * body / 430 / spent


def inside(job: Job) -> None:
    """Log all entries, and flush the client."""
    contestant = job.set_up()
    entries = job.options["entries"]
    contestant.log(0, session(WARM))
    contestant.flush(10)
    idle = begin_peak()
    job.say(ready=True)
    job.wait()
    cpu, app_cpu, start = time.process_time(), time.thread_time(), time.monotonic_ns()
    _log_all(contestant, entries)
    app_cpu = time.thread_time() - app_cpu
    contestant.flush(60)
    cpu = time.process_time() - cpu
    job.say(
        start=start,
        cpu=cpu / entries * 1e5,
        app_cpu=app_cpu / entries * 1e5,
        peak=(peak() - idle) / _MIB,
    )
    job.wait()


def _log_all(contestant: Contestant, entries: int) -> None:
    log, gate = contestant.log, contestant.gate
    end = time.monotonic() + 60
    for first in range(0, entries, _STEP):
        for n in range(first, min(first + _STEP, entries)):
            log(n, session(n))
        while contestant.waiting() > gate and time.monotonic() < end:
            time.sleep(0.001)


def begin_peak() -> int:
    """Reset the peak of the process's memory, and return the present memory, in bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # without a reset, `peak` returns the peak since the start of the process
        return peak()
    return resident()


def resident() -> int:
    """Return how much memory the process uses now, in bytes."""
    return _status("VmRSS")


def peak() -> int:
    """Return the peak of the process's memory since the call of `begin_peak`, in bytes."""
    try:
        return _status("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {name}")
