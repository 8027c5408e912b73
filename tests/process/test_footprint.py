"""Tests that an import, an idle worker and a log call need little work and few system calls.

- `import voyage_logger` does not load the HTTP client or any library that loads slowly.
  (`tests/budget/budget.toml` limits the number of instructions.)
- While nothing is queued, the worker sleeps and is never woken. If `spool_dir` is set, the worker
  lists the spool folder every 30 seconds.
- A log call makes the system call `getpid` to notice a fork. If `spool_dir` is set, a log call
  also makes one `write`. Only a few log calls make other system calls, for example to get memory,
  to open a file or to wake the worker.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import voyage_logger
from tests.budget import budget
from tests.support.loggers import Recorder, until
from tests.support.processes import python
from voyage_logger import VoyageLogger

SLOW = (
    *("requests", "urllib3", "http.client", "ssl", "email", "asyncio", "multiprocessing"),
    *("sqlite3", "logging.config", "concurrent.futures", "socket", "subprocess"),
    *("inspect", "dataclasses", "pathlib", "urllib.parse", "ipaddress", "pickle", "random", "uuid"),
)
WINDOW = 1.5  # Seconds; a worker that does not sleep would wake up much earlier.
SETTLED = 0.3  # Seconds; a thread without a wakeup in this time counts as asleep.
CALLS = 300

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="the system does not count wakeups and calls"
)


def _is_strace_allowed() -> bool:
    if (strace := shutil.which("strace")) is None:
        return False
    return subprocess.run([strace, "-o/dev/null", "true"], check=False).returncode == 0


needs_strace = pytest.mark.skipif(
    not _is_strace_allowed(), reason="strace is not installed, or not allowed to trace"
)


def test_import_is_cheap() -> None:
    """`import voyage_logger` loads no library that is slow to load."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import voyage_logger;"
        "print(*set(sys.argv[2:]) & set(sys.modules))"
    )
    source = str(Path(voyage_logger.__file__).parent.parent)
    # Without -S, Python would run the `.pth` files of site-packages, which can import modules.
    found = python("-I", "-S", "-c", code, source, *SLOW)
    assert (found.returncode, found.stdout.split()) == (0, [])


def wakeups(thread: threading.Thread) -> int:
    """Return how many times a thread has gone to sleep since the thread was started."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    match = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)
    assert match
    return int(match[1])


def idle_wakeups(thread: threading.Thread) -> int:
    """Wait until a thread sleeps, and return how many times it wakes up in `WINDOW` seconds."""
    deadline = time.monotonic() + 30
    before, now, pause = -1, wakeups(thread), threading.Event()
    while now != before:
        assert time.monotonic() < deadline, "the worker never sleeps"
        pause.wait(SETTLED)
        before, now = now, wakeups(thread)
    pause.wait(WINDOW)
    return wakeups(thread) - now


def worker_of(logger: VoyageLogger) -> threading.Thread:
    """Log one entry, wait until it is delivered, and return the thread of the worker."""
    before = set(threading.enumerate())
    logger.info("the first")
    (worker,) = set(threading.enumerate()) - before
    assert logger.flush()
    return worker


@needs_proc
def test_idle_worker_sleeps() -> None:
    """While nothing is queued, the thread of the worker sleeps."""
    with VoyageLogger("app", transport=Recorder(), flush_interval=0.1) as logger:
        assert idle_wakeups(worker_of(logger)) == 0


def test_idle_worker_waits_without_a_time_limit() -> None:
    """An idle worker waits without a time limit, so no timer wakes it."""

    def is_asleep_for_good() -> bool:
        frame = sys._current_frames().get(worker.ident or 0)
        if frame is None or frame.f_code is not threading.Condition.wait.__code__:
            return False
        return frame.f_locals["timeout"] is None

    with VoyageLogger("app", transport=Recorder(), flush_interval=0.1) as logger:
        worker = worker_of(logger)
        until(is_asleep_for_good)


@needs_proc
@pytest.mark.soak
def test_idle_worker_of_a_spool_sleeps_between_two_looks(tmp_path: Path) -> None:
    """If `spool_dir` is set, an idle worker wakes only every 30 seconds, to list the folder."""
    settings: dict[str, Any] = {"spool_dir": tmp_path, "flush_interval": 0.1}
    with VoyageLogger("app", transport=Recorder(), **settings) as logger:
        worker = worker_of(logger)
        # The worker can list the folder during one of these two measurements, but not during both.
        assert min(idle_wakeups(worker), idle_wakeups(worker)) == 0


def system_calls(tmp_path: Path, scenario: str, count: int) -> Counter[str]:
    """Count the system calls of all threads of a process that makes `count` log calls."""
    environment = {
        "PYTHONPATH": str(budget.SOURCE),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",  # otherwise the first run would write `.pyc` files
        "SCENARIO_DIR": str(tmp_path),
    }
    trace = tmp_path / f"{scenario}-{count}"
    strace = [shutil.which("strace") or "", "-f", "-o", str(trace)]
    program = [sys.executable, str(budget.HERE / "scenarios.py"), "run", scenario, str(count)]
    subprocess.run([*strace, *program], env=environment, check=True, timeout=120)
    return Counter(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))


@needs_strace
@pytest.mark.parametrize(
    ("scenario", "expected"),
    [("fields", {"getpid": 1}), ("filtered", {}), ("spool", {"getpid": 1, "write": 1})],
)
def test_log_call_asks_little_of_the_system(
    tmp_path: Path, scenario: str, expected: dict[str, int]
) -> None:
    """On average, a log call makes only the expected system calls."""
    for _ in range(3):  # in one attempt, the worker might make a rare system call
        once = system_calls(tmp_path, scenario, CALLS)
        twice = system_calls(tmp_path, scenario, 2 * CALLS)
        a_call = {name: round((twice[name] - once[name]) / CALLS, 1) for name in twice}
        found = {name: count for name, count in a_call.items() if count}
        if found == expected:
            break
    assert found == expected


@needs_proc
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("usual(make())", [0, 0]),
        ("usual(make(spool_dir=sys.argv[1]))", [0, CALLS]),
    ],
    ids=["memory", "spool"],
)
def test_log_call_reads_and_writes_nothing_else(
    tmp_path: Path, code: str, expected: list[int]
) -> None:
    """According to `/proc/self/io`, a log call reads nothing and writes only to the spool."""
    program = (
        "import os, re, sys\n"
        "from scenarios import make, usual\n"
        "def io():\n"
        "    text = open('/proc/self/io').read()\n"
        "    return [int(count) for count in re.findall(r'sysc[rw]: (\\d+)', text)]\n"
        f"call = {code}\n"
        "for _ in range(10): call()\n"
        "io(); first = io(); second = io()\n"  # the difference is the cost of one `io()` call
        f"for _ in range({CALLS}): call()\n"
        "third = io()\n"
        "print(*(c - b - (b - a) for a, b, c in zip(first, second, third)))\n"
        "sys.stdout.flush(); os._exit(0)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        env={"PYTHONPATH": f"{budget.SOURCE}{os.pathsep}{budget.HERE}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [int(count) for count in ran.stdout.split()] == expected
