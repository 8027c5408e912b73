"""The ledger contains the counts, the lock and the condition variables of one queue.

What must stay true whenever a thread takes the lock:
`accepted == delivered + rejected + dropped + pending`. In this formula, `pending` is
`queued + spooled + in_flight`.

A signal handler or a `__del__` can interrupt a method of the queue and call the logger. The lock is
re-entrant, so this log call does not wait for the interrupted method. CPython starts a signal
handler or a `__del__` only at a call, at a memory allocation or at a jump. In CPython 3.11 and
later, a signal handler cannot start at a forward jump. Therefore a queue changes all counts of one
step in a *run*. A run is a sequence of statements that has no call and no jump. One call directly
after the run moves the entries. A run can be the body of an `if`: if the condition is true, Python
enters the body without a jump. A run cannot call methods, so the counts are public attributes.
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

# A loss is a pair (reason, lane). Rejected and dropped entries are counted for each pair.
Loss = tuple[str, int]

_LOOKS = 10  # `stats` reads the counts at most this many times.


class Ledger:
    """The lock, the condition variables and the counts of one queue.

    Attributes:
        lock: The lock guards the ledger and all other parts of the queue. Always write `with lock`,
            not `with changed`: a condition variable takes the lock in Python code. If a signal
            handler raises an exception in this code, the lock is never released.
        changed: The condition variable on which the worker waits for new entries.
        settled: On this condition variable, `flush()` and the exit hook wait for settled entries.
        wake_at: A log call wakes the worker when at least this many entries wait.
        is_urgent: True if a critical or ticket entry was added after the last `clear_urgent`.
        sequence: The sequence number of the newest entry, or 0 before the first entry.
        accepted, delivered: The number of accepted entries and the number of delivered entries.
        rejected, dropped: How many entries were rejected or dropped, for each reason and lane.
        adopted: The number of accepted entries that were adopted from dead processes.
        queued, queued_bytes: How many entries wait in memory, and how many bytes they use.
        spooled: The number of entries that wait on the disk.
        in_flight, flight_bytes: How many entries are in flight, and how many bytes they use.
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
        """Wake the worker if the new entry is urgent, or if at least `wake_at` entries wait."""
        is_urgent = lane < NOTICE_LANE and lane >= CRITICAL and not self.is_urgent
        if is_urgent:
            self.is_urgent = True
        if is_urgent or self.queued + self.spooled >= self.wake_at:
            self.wake_at = NEVER  # The worker sets `wake_at` again before it waits.
            self.changed.notify()

    def drop_new(self, lane: int, reason: str) -> None:
        """If a new entry cannot be queued, count the entry as accepted and as dropped."""
        loss = (reason, lane)
        with self.lock:
            self.dropped[loss] += 0  # A comment in `MemoryQueue._shed_to` explains this statement.
            self.accepted += 1
            self.dropped[loss] += 1

    def drop_spooled(self, loss: Loss, count: int) -> None:
        """Count `count` spooled entries as dropped. The caller holds the lock."""
        self.dropped[loss] += 0  # A comment in `MemoryQueue._shed_to` explains this statement.
        self.spooled -= count
        if count:
            self.dropped[loss] += count
            self.settled.notify_all()

    def adopt(self, count: int) -> None:
        """Count `count` entries of a dead process as adopted. The caller holds the lock."""
        self.accepted += count
        self.adopted += count
        self.spooled += count
        self.changed.notify()

    def stats(self, in_flight_from_disk: Sized = ()) -> Stats:
        """Return a snapshot of all counts. Entries `in_flight_from_disk` also count as spooled."""
        with self.lock:
            for _ in range(_LOOKS):
                accepted = self.accepted
                stats = self._read(in_flight_from_disk)
                if self.accepted == accepted:  # No signal handler has logged an entry.
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
    """For each reason, return how many entries were lost in all lanes together."""
    counts: Counter[str] = Counter()
    for (reason, _), count in losses.items():
        counts[reason] += count
    return dict(+counts)  # The `+` removes counts of zero, which `_shed_to` can add.
