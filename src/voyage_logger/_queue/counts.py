"""The ledger: the counts of one queue, with the lock and the conditions of the queue.

What must stay true whenever a thread takes the lock:
`accepted == delivered + rejected + dropped + pending`. Here, `pending` is the sum
`queued + spooled + in_flight`.

A signal handler or a `__del__` can log while its own thread is inside a method of the queue. The
lock is re-entrant, so a log call never waits for its own thread. CPython starts signal handlers and
`__del__` only at a call, at an allocation and at a jump (in CPython 3.11 and later, only at a jump
backward). Therefore a queue changes all counts of one step in a *run*. A run is a sequence of
statements without a call and without a jump. Directly after the run, one call moves the entries. A
run may be the body of an `if`, because there is no jump between a true condition and the body. A
run cannot call a method of the ledger, so the counts are public attributes.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from voyage_logger._base.levels import CRITICAL, NOTICE_LANE
from voyage_logger._base.stats import Stats
from voyage_logger._queue.lanes import NEVER

if TYPE_CHECKING:
    from collections.abc import Sized

# Rejected and dropped entries are counted for each pair (reason, lane).
Loss = tuple[str, int]

_LOOKS = 10  # the most attempts to read the counts while signal handlers change them


class Ledger:
    """The lock, the conditions and the counts of one queue.

    Attributes:
        lock: The lock guards the ledger and all other parts of the queue. Never take the lock
            through a condition: a signal handler could raise an exception in the Python code of the
            condition, and the lock would never be released.
        changed: The worker waits on this condition for new entries.
        settled: `flush()` and the end of the program wait on this condition for settled entries.
        wake_at: A log call wakes the worker when this many entries are queued.
        is_urgent: True if an urgent (critical or ticket) entry has come since `clear_urgent`.
        sequence: The sequence number of the newest entry, or 0 before the first entry.
        accepted, delivered: The number of accepted entries and the number of delivered entries.
        rejected, dropped: The numbers of rejected and of dropped entries, by reason and lane.
        adopted: How many of the accepted entries were adopted from dead processes.
        queued, queued_bytes: The number of entries in memory, and the bytes of memory they use.
        spooled: The number of entries that wait on the disk.
        in_flight, flight_bytes: The number of entries in flight, and the bytes of memory they use.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.settled = threading.Condition(self.lock)
        self.wake_at = NEVER
        self.is_urgent = False
        self.sequence = self.accepted = self.delivered = self.adopted = 0
        self.rejected: defaultdict[Loss, int] = defaultdict(int)
        self.dropped: defaultdict[Loss, int] = defaultdict(int)
        self.queued = self.queued_bytes = self.spooled = 0
        self.in_flight = self.flight_bytes = 0

    def wake(self, lane: int) -> None:
        """Wake the worker if the new entry is urgent, or if enough entries are queued."""
        is_urgent = lane < NOTICE_LANE and lane >= CRITICAL and not self.is_urgent
        if is_urgent:
            self.is_urgent = True
        if is_urgent or self.queued + self.spooled >= self.wake_at:
            self.wake_at = NEVER  # The worker sets `wake_at` before its next wait.
            self.changed.notify()

    def drop_new(self, lane: int, reason: str) -> None:
        """Count a new entry as accepted and as dropped, because it cannot be queued."""
        loss = (reason, lane)
        with self.lock:
            self.dropped[loss] += 0  # See `MemoryQueue._shed_to`.
            self.accepted += 1
            self.dropped[loss] += 1

    def drop_spooled(self, loss: Loss, count: int) -> None:
        """Move `count` entries from `spooled` to `dropped`. The caller holds the lock."""
        self.dropped[loss] += 0  # See `MemoryQueue._shed_to`.
        self.spooled -= count
        if count:
            self.dropped[loss] += count
            self.settled.notify_all()

    def adopt(self, count: int) -> None:
        """Add `count` entries of a dead process to the counts. The caller holds the lock."""
        self.accepted += count
        self.adopted += count
        self.spooled += count
        self.changed.notify()

    def stats(self, in_flight_from_disk: Sized = ()) -> Stats:
        """Return all counts, read at one moment. `in_flight_from_disk` also counts as spooled."""
        with self.lock:
            for _ in range(_LOOKS):
                accepted = self.accepted
                stats = self._read(in_flight_from_disk)
                if self.accepted == accepted:  # No signal handler has logged meanwhile.
                    break
            return stats

    def _read(self, in_flight_from_disk: Sized) -> Stats:
        rejected, dropped = dict(self.rejected), dict(self.dropped)
        return Stats(
            accepted=self.accepted,
            delivered=self.delivered,
            rejected=sum(rejected.values()),
            dropped=sum(dropped.values()),
            pending=self.queued + self.spooled + self.in_flight,
            rejected_by=by_reason(rejected),
            dropped_by=by_reason(dropped),
            pending_bytes=self.queued_bytes + self.flight_bytes,
            spooled=self.spooled + len(in_flight_from_disk),
            adopted=self.adopted,
        )

    def losses(self) -> Counter[Loss]:
        """Return how many entries were rejected or dropped, for each reason and lane."""
        with self.lock:
            return Counter(self.rejected) + Counter(self.dropped)


def by_reason(losses: dict[Loss, int]) -> dict[str, int]:
    """Return how many entries were lost for each reason, in all lanes together."""
    counts: Counter[str] = Counter()
    for (reason, _), count in losses.items():
        counts[reason] += count
    return dict(+counts)  # The `+` removes the zeros that `MemoryQueue._shed_to` may add.
