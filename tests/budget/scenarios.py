"""What the budget counts: a few ways to log, each run in a process of its own by `budget.py`.

    python scenarios.py run SCENARIO N   does N calls and ends: for a tool that counts from outside
    python scenarios.py count            counts from inside, and prints JSON

What must stay true: nothing here depends on the clock, on chance, or on which of two threads is
quicker. The worker's thread is parked while calls are counted, and the calls are made beforehand
while the worker is. Few imports: valgrind pays fifty times for each.
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
WARM_UP = 256  # calls before any is counted: caches and free lists are then as they stay
TRACED = 65
RETAINED = 1024  # a multiple of a deque's 64 slots a block
BATCHES = 12
TIME_LIMIT = 200  # seconds; under valgrind all takes fifty times as long

_PACKAGE = os.path.dirname(voyage_logger.__file__)  # noqa: PTH120 - see above


class Gate(BaseTransport):
    """Takes all that it is given, after it has been opened; until then the worker is parked."""

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
    """A logger whose queue is never so full that it behaves otherwise than at the first entry."""
    settings = {"max_queue_size": 10**6, "max_queue_bytes": 10**9, **settings}
    return VoyageLogger("app", transport=transport or Gate(), batch_size=BATCH, **settings)


def usual(logger: VoyageLogger) -> Call:
    """A call with the fields of the vendor's own example."""

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
    """The usual fields: the figure that all others are read beside."""
    return usual(make())


def bare() -> Call:
    """A message and nothing else."""
    logger = make()
    return lambda: logger.info("User login successful")


def filtered() -> Call:
    """A call below the logger's level."""
    return usual(make(level="warn"))


def bound() -> Call:
    """The usual fields beside bound ones."""
    return usual(make().bind(session_id="s-1", meta_data={"region": "eu"}))


def journey() -> Call:
    """The usual fields inside a journey of two steps."""
    logger = make()
    flow = logger.journey("checkout").__enter__()
    flow.step("cart_opened")
    flow.step("card_charged")
    return usual(logger)


def spool() -> Call:
    """The usual fields, appended to a file."""
    return usual(make(spool_dir=f"{os.environ['SCENARIO_DIR']}/spool-{os.getpid()}"))


def redacted() -> Call:
    """Few fields, one of them to be masked."""
    logger = make()
    return lambda: logger.info("Signed in", meta_data={"user": "john", "password": "hunter2"})


CALLS: dict[str, Callable[[], Call]] = {
    each.__name__: each for each in (fields, bare, filtered, bound, journey, spool, redacted)
}


def deliver(entries: int, on_send: Callable[[int], None]) -> None:
    """The worker's part alone: that many entries wait when it is let go, and nobody watches it."""
    gate = Gate(on_send)
    call = usual(make(gate))
    for _ in range(entries):
        call()
    gate.opened.set()
    threading.Event().wait(TIME_LIMIT)


def run(name: str, count: int) -> None:
    """Does what is to be counted and ends the process at once, so that the end costs nothing."""
    if name == "worker":
        seen = 0

        def on_send(entries: int) -> None:
            nonlocal seen
            seen += entries
            if seen >= count:
                os._exit(0)

        deliver(int(os.environ["SCENARIO_ENTRIES"]), on_send)
        sys.exit("the worker has not delivered")
    gc.disable()  # when it runs depends on what else the process holds
    call = CALLS[name]()
    for _ in range(count):
        call()
    os._exit(0)


class Tally:
    """Counts what the package itself executes, in every thread that has the hooks.

    What library code does further down is left out: it differs between patch releases of Python.
    """

    def __init__(self) -> None:
        self.opcodes = self.calls = 0

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        """For `sys.settrace`."""
        if event == "opcode":
            self.opcodes += 1
        elif event == "call":
            if not _is_own(frame):
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        return self.trace

    def profile(self, frame: FrameType, event: str, _: object) -> None:
        """For `sys.setprofile`."""
        if event == "c_call":
            self.calls += _is_own(frame)
        elif event == "call":
            self.calls += _is_own(frame) or _is_own(frame.f_back)


def _is_own(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith(_PACKAGE)


def middle(counts: list[int]) -> int:
    return sorted(counts)[len(counts) // 2]


def counts_of(call: Call) -> dict[str, float]:
    """What one call of the steady kind costs; the odd one that starts a second or file does not."""
    for _ in range(WARM_UP):
        call()
    tally = Tally()
    opcodes, calls = [], []
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for it when the hook is set
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
    """Blocks of memory that an entry takes for as long as it waits."""
    before = sys.getallocatedblocks()
    for _ in range(RETAINED):
        call()
    return round((sys.getallocatedblocks() - before) / RETAINED, 2)


def counts_of_worker() -> dict[str, float]:
    """The same for the worker, per entry, in batches of `BATCH`."""

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
    """Bytes of memory that a waiting entry takes beside its JSON."""
    import tracemalloc  # noqa: PLC0415 - see the top

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
    """The bytes of JSON that wait."""
    from voyage_logger._queue.lanes import RECORD_OVERHEAD  # noqa: PLC0415 - not for those who run

    stats = logger.stats()
    return stats.pending_bytes - stats.pending * RECORD_OVERHEAD


def count_all() -> Iterator[tuple[str, dict[str, float]]]:
    """All counts that are taken from inside."""
    gc.disable()
    for name, scenario in CALLS.items():
        yield name, counts_of(scenario())
    yield "worker", counts_of_worker()


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(sys.argv[2], int(sys.argv[3]))
    # The overhead first: tuples that others have given back would seem to cost nothing.
    found = {"overhead": overhead(), "counts": dict(count_all())}
    print(json.dumps({"python": "{}.{}".format(*sys.version_info), **found}))
    sys.stdout.flush()
    os._exit(0)
