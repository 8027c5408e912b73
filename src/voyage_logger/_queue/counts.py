"""The counts of one queue. They stand in a ledger, with the lock of the queue and its conditions.

What must stay true, whenever another thread can look:
`accepted == delivered + rejected + dropped + pending`; pending is `queued + spooled + in_flight`.

A signal handler or a `__del__` can log while its own thread is inside a method of the queue. The
lock is re-entrant, so this log call does not wait. CPython runs such code only at a call, at an
allocation, at a jump backward and, in 3.10, at any jump. Therefore a queue changes all counts of
one step in a *run*: statements without a call and without a jump, directly before the one call that
moves the entries. The body of an `if` follows its test without a jump. A run cannot call a method
of the ledger, so the counts are public attributes.
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

# (reason, lane) of rejected or dropped entries.
Loss = tuple[str, int]

_LOOKS = 10  # attempts to read the counts before a disturbed reading is accepted


class Ledger:
    """The lock, the conditions and the counts of one queue.

    Attributes:
        lock: It guards the ledger and all parts of the queue. Take the lock itself, never through a
            condition: conditions run Python code, and an exception of a signal handler in that code
            would leave the lock held for good.
        changed: The worker waits on this condition for entries.
        settled: Flush and exit wait on this condition for fewer pending entries.
        wake_at: The worker is woken when this many entries are queued.
        is_urgent: True if a critical or ticket entry has come since the last `clear_urgent`.
        sequence: The sequence number of the newest entry; 0 if there never was one.
        accepted, delivered: Numbers of entries.
        rejected, dropped: Numbers of entries, by reason and lane.
        adopted: How many of the accepted entries were adopted.
        queued, queued_bytes: The entries that wait in memory, and their memory in bytes.
        spooled: The number of entries that wait on the disk.
        in_flight, flight_bytes: The entries in flight, and their memory in bytes.
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
            self.wake_at = NEVER  # The worker sets the number again when it waits again.
            self.changed.notify()

    def drop_new(self, lane: int, reason: str) -> None:
        """Count an entry that no queue takes as accepted and dropped."""
        loss = (reason, lane)
        with self.lock:
            self.dropped[loss] += 0  # See `MemoryQueue._shed_to`.
            self.accepted += 1
            self.dropped[loss] += 1

    def drop_spooled(self, loss: Loss, count: int) -> None:
        """Count entries that wait on the disk as dropped. The caller holds the lock."""
        self.dropped[loss] += 0  # See `MemoryQueue._shed_to`.
        self.spooled -= count
        if count:
            self.dropped[loss] += count
            self.settled.notify_all()

    def adopt(self, count: int) -> None:
        """Count entries that a dead process has left on the disk. The caller holds the lock."""
        self.accepted += count
        self.adopted += count
        self.spooled += count
        self.changed.notify()

    def stats(self, in_flight_from_disk: Sized = ()) -> Stats:
        """Return all counts of one moment; `in_flight_from_disk` are entries of the disk."""
        with self.lock:
            for _ in range(_LOOKS):
                accepted = self.accepted
                stats = self._read(in_flight_from_disk)
                if self.accepted == accepted:  # No handler has logged in between.
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
        """Return the numbers of rejected and dropped entries, by reason and lane."""
        with self.lock:
            return Counter(self.rejected) + Counter(self.dropped)


def by_reason(losses: dict[Loss, int]) -> dict[str, int]:
    """Return the numbers of lost entries by reason, added up over all lanes."""
    counts: Counter[str] = Counter()
    for (reason, _), count in losses.items():
        counts[reason] += count
    return dict(+counts)  # The `+` removes zeros, which `MemoryQueue._shed_to` can leave.
