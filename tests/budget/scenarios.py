"""The scenarios whose costs are counted. `budget.py` runs each scenario in a separate process.

    python scenarios.py run SCENARIO N   make N calls and end, for a tool that counts from outside
    python scenarios.py count            count from inside, and print JSON

The counts must not depend on the clock, on chance, or on which of two threads is faster. Therefore
the worker waits while calls are counted, and all calls are made before the worker's costs are
counted. This file imports few modules, because each import takes fifty times as long with valgrind.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import voyage_logger
from voyage_logger import BaseTransport, Kind, Outcome, VoyageLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    Call = Callable[[], object]

BATCH = 100
WARM_UP = 256  # The number of log calls that only fill caches.
TRACED = 65  # The number of log calls whose opcodes and function calls are counted.
RETAINED = 1024  # The number of log calls whose memory is counted. A deque's block has 64 items.
BATCHES = 12
TIME_LIMIT = 200  # seconds; valgrind makes a program fifty times as slow

_PACKAGE = os.path.dirname(voyage_logger.__file__)  # noqa: PTH120 - pathlib is not imported


class Gate(BaseTransport):
    """A transport that makes the worker wait until a scenario opens the gate."""

    def __init__(self, on_send: Callable[[int], object] = int) -> None:
        self._on_send = on_send
        self.opened = threading.Event()

    def warm_up(self) -> None:
        self.opened.wait()

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        self._on_send(len(entries))
        body = b'{"logs":[' + b",".join(entries) + b"]}"
        return Outcome(Kind.DELIVERED, str(len(body)))


def make(transport: BaseTransport | None = None, **settings: Any) -> VoyageLogger:
    """Return a logger whose queue is so large that no entry is ever shed."""
    settings = {"max_queue_size": 10**6, "max_queue_bytes": 10**9, **settings}
    return VoyageLogger("app", transport=transport or Gate(), batch_size=BATCH, **settings)


def usual(logger: VoyageLogger) -> Call:
    """Return a function that logs an entry with the fields of the vendor's example."""

    def call() -> None:
        logger.info(
            "User login successful",
            event_name="login_success",
            event_flow_name="authentication",
            app_user_id="user_123",
            app_username="john_doe",
            tags=["a", "b"],
            meta_data={"ip": "192.168.1.1", "n": 4711},
        )

    return call


def fields() -> Call:
    """Return a log call with the usual fields, as the base for comparisons."""
    return usual(make())


def bare() -> Call:
    """Return a log call that has a message but no fields."""
    logger = make()
    return lambda: logger.info("User login successful")


def filtered() -> Call:
    """Return a log call whose level is below the logger's level."""
    return usual(make(level="warn"))


def bound() -> Call:
    """Return a log call with the usual fields, for a logger that has bound fields."""
    return usual(make().bind(session_id="s-1", meta_data={"region": "eu"}))


def journey() -> Call:
    """Return a log call with the usual fields, inside a journey that has two steps."""
    logger = make()
    flow = logger.journey("checkout").__enter__()
    flow.step("cart_opened")
    flow.step("card_charged")
    return usual(logger)


def spool() -> Call:
    """Return a log call with the usual fields, for a logger that has a spool."""
    return usual(make(spool_dir=f"{os.environ['SCENARIO_DIR']}/spool-{os.getpid()}"))


def redacted() -> Call:
    """Return a log call with a few fields, one of which is masked."""
    logger = make()
    return lambda: logger.info("Signed in", meta_data={"user": "john", "password": "hunter2"})


CALLS: dict[str, Callable[[], Call]] = {
    each.__name__: each for each in (fields, bare, filtered, bound, journey, spool, redacted)
}


def deliver(entries: int, on_send: Callable[[int], None]) -> None:
    """Queue entries, and then let the worker deliver them while no other thread runs."""
    gate = Gate(on_send)
    call = usual(make(gate))
    for _ in range(entries):
        call()
    gate.opened.set()
    threading.Event().wait(TIME_LIMIT)


def run(name: str, count: int) -> None:
    """Run a scenario, and end the process without exit hooks, so that the hooks are not counted."""
    if name == "worker":
        seen = 0

        def on_send(entries: int) -> None:
            nonlocal seen
            seen += entries
            if seen >= count:
                os._exit(0)

        deliver(int(os.environ["SCENARIO_ENTRIES"]), on_send)
        sys.exit("the worker has not delivered")
    gc.disable()  # a garbage collection at a random time would change the counts
    call = CALLS[name]()
    for _ in range(count):
        call()
    os._exit(0)


class Tally:
    """Counts the opcodes and calls of the package's own code, in each thread that uses the hooks.

    The code of libraries is not counted, because it differs between patch releases of Python.
    """

    def __init__(self) -> None:
        self.opcodes = self.calls = 0

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        """Count opcodes. This method is a hook for `sys.settrace`."""
        if event == "opcode":
            self.opcodes += 1
        elif event == "call":
            if not _is_own(frame):
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        return self.trace

    def profile(self, frame: FrameType, event: str, _: object) -> None:
        """Count calls. This method is a hook for `sys.setprofile`."""
        if event == "c_call":
            self.calls += _is_own(frame)
        elif event == "call":
            self.calls += _is_own(frame) or _is_own(frame.f_back)


def _is_own(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith(_PACKAGE)


def middle(counts: list[int]) -> int:
    return sorted(counts)[len(counts) // 2]


def counts_of(call: Call) -> dict[str, float]:
    """Return the median costs of a log call. Rare, expensive calls do not change the median."""
    for _ in range(WARM_UP):
        call()
    tally = Tally()
    opcodes, calls = [], []
    sys._getframe().f_trace_opcodes = True  # otherwise Python 3.12 traces no opcodes
    sys.settrace(tally.trace)
    for _ in range(TRACED):
        before = tally.opcodes
        call()
        opcodes.append(tally.opcodes - before)
    sys.settrace(None)
    sys.setprofile(tally.profile)
    for _ in range(TRACED):
        before = tally.calls
        call()
        calls.append(tally.calls - before)
    sys.setprofile(None)
    return {
        "opcodes": middle(opcodes),
        "calls": middle(calls),
        "blocks": retained_blocks(call),
    }


def retained_blocks(call: Call) -> float:
    """Return the number of memory blocks that a queued entry uses."""
    before = sys.getallocatedblocks()
    for _ in range(RETAINED):
        call()
    return round((sys.getallocatedblocks() - before) / RETAINED, 2)


def counts_of_worker() -> dict[str, float]:
    """Return the median costs of the worker for one entry, in batches of `BATCH` entries."""

    def count(install: Callable[[Any], None], hook: Any, look: Callable[[], int]) -> float:
        marks: list[int] = []
        done = threading.Event()

        def on_send(_: int) -> None:
            marks.append(look())
            if len(marks) == BATCHES:
                done.set()

        install(hook)
        threading.Thread(
            target=deliver, args=(BATCHES * BATCH, on_send), daemon=True, name="no hook"
        ).start()
        if not done.wait(30):
            sys.exit("the worker has not delivered")
        install(None)
        steps = [after - before for before, after in pairwise(marks)]
        return middle(steps) / BATCH

    tally = Tally()
    return {
        "opcodes": count(threading.settrace, _in_worker(tally.trace), lambda: tally.opcodes),
        "calls": count(threading.setprofile, _in_worker(tally.profile), lambda: tally.calls),
    }


def _in_worker(hook: Callable[[FrameType, str, object], Any]) -> Any:
    def begin(frame: FrameType, event: str, argument: object) -> Any:
        if threading.current_thread().name != "voyage-logger":
            return None
        return hook(frame, event, argument)

    return begin


def overhead() -> float:
    """Return the bytes of memory that a queued entry uses in addition to its JSON."""
    import tracemalloc  # noqa: PLC0415 - `run` does not need `tracemalloc`

    gc.disable()
    logger = make()
    call = usual(logger)
    tracemalloc.start()
    for _ in range(WARM_UP):
        call()
    before, own = tracemalloc.get_traced_memory()[0], payload(logger)
    for _ in range(RETAINED):
        call()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return (taken - (payload(logger) - own)) / RETAINED


def payload(logger: VoyageLogger) -> int:
    """Return the size of the JSON of all queued entries, in bytes."""
    from voyage_logger._queue.lanes import RECORD_OVERHEAD  # noqa: PLC0415 - not for `run`

    stats = logger.stats()
    return stats.pending_bytes - stats.pending * RECORD_OVERHEAD


def count_all() -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the counts of each scenario."""
    gc.disable()
    for name, scenario in CALLS.items():
        yield name, counts_of(scenario())
    yield "worker", counts_of_worker()


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(sys.argv[2], int(sys.argv[3]))
    # The overhead is measured first: later, reused tuples would seem to need no memory.
    found = {"overhead": overhead(), "counts": dict(count_all())}
    print(json.dumps({"python": "{}.{}".format(*sys.version_info), **found}))
    sys.stdout.flush()
    os._exit(0)
