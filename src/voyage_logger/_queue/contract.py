"""The contract of every queue: the methods that the worker and the pipeline call.

What must stay true: any thread may call each method. A signal handler or a `__del__` may also call
each method, even while its thread is inside another method of the queue. No method raises an error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from voyage_logger._queue.lanes import NEVER

if TYPE_CHECKING:
    from collections import Counter

    from voyage_logger._base.stats import Stats
    from voyage_logger._queue.counts import Ledger, Loss
    from voyage_logger._queue.flight import Flight
    from voyage_logger._queue.lanes import Record

# While a method holds the lock, it moves at most this many entries: log calls wait for the lock.
SLICE = 500


class Queue(ABC):
    """A queue of encoded entries that wait to be sent.

    Attributes:
        ledger: The counts of the queue, and the lock that guards the queue.
        lock, changed, settled: The lock and the two conditions of the ledger.
        flight: The entries in flight, which the worker has taken.
        is_durable: True if unsent entries stay on the disk for the next process.
        place: The path of the spool folder, or an empty string for a queue in memory.
        is_ending: True once the logger begins to close or the process begins to exit.
        kept: How many rejected entries, without the client's notices, are in dead-letter files.
    """

    is_durable = False
    place = ""
    is_ending = False
    kept = 0

    def __init__(self, ledger: Ledger, flight: Flight) -> None:
        self.ledger = ledger
        self.lock, self.changed, self.settled = ledger.lock, ledger.changed, ledger.settled
        self.flight = flight

    @abstractmethod
    def append(self, payload: bytes | bytearray, lane: int) -> int:
        """Accept an entry and return its sequence number. A full queue sheds its lowest lane."""

    def amend(self, lane: int, sequence: int, payload: bytearray, amended: bytes) -> bool:
        """Replace the bytes of an entry that still waits. Return False if nothing was replaced.

        `payload` must be the same object that was passed to `append`.
        """
        del lane, sequence, payload, amended
        return False

    def drop_new(self, lane: int, reason: str) -> None:
        """Count a new entry as accepted and as dropped, because it cannot be queued."""
        self.ledger.drop_new(lane, reason)

    def try_drop_new(self, lane: int, reason: str) -> None:
        """Call `drop_new`, but do nothing if another thread holds the lock.

        The other thread may never release the lock, so this method does not wait for the lock.
        """
        if self.lock.acquire(blocking=False):
            self.drop_new(lane, reason)
            self.lock.release()

    @property
    def is_urgent(self) -> bool:
        """True if an urgent (critical or ticket) entry has come since the last `clear_urgent`."""
        return self.ledger.is_urgent

    def clear_urgent(self) -> None:
        """Set `is_urgent` to False until the next urgent entry comes. The caller holds the lock."""
        self.ledger.is_urgent = False

    def wait_for_entries(self, count: int, time_limit: float | None) -> None:
        """Wait until `count` entries are queued, an urgent entry comes, or `changed` is notified.

        The wait takes at most `time_limit` seconds (None: no limit). The caller holds the lock.
        """
        self.ledger.wake_at = count
        self.changed.wait(time_limit)
        self.ledger.wake_at = NEVER

    @abstractmethod
    def take(self, max_entries: int, max_bytes: int) -> list[Record]:
        """Return all entries in flight. If no entry is in flight, first take the oldest entries.

        `max_bytes` limits the bytes of all entries as JSON, with one comma for each entry. The
        first entry is taken even if it is larger than `max_bytes`.
        """

    def settle(self, count: int, *, rejected: str = "", dropped: str = "", words: str = "") -> None:
        """Settle the oldest entries in flight. Without a reason, the entries count as delivered.

        Args:
            count: The number of entries to settle.
            rejected: Why the server rejected the entries.
            dropped: Why the client drops the entries.
            words: The text of the server's answer, which the dead-letter file will contain.
        """
        while count > 0:
            with self.lock:
                self._settle(min(count, SLICE), rejected, dropped, words)
                count -= SLICE
                self.settled.notify_all()

    def _settle(self, count: int, rejected: str, dropped: str, words: str) -> None:  # noqa: ARG002 - a queue on the disk uses `words`
        self.flight.settle(count, rejected, dropped)

    def replace_first(self, payload: bytes) -> None:
        """Replace the bytes of the oldest entry in flight by a shorter encoding of the entry."""
        with self.lock:
            self.flight.replace_first(payload)

    @property
    def maintenance_interval(self) -> float | None:
        """The most seconds between two calls of `maintain`, or None if no calls are needed."""
        return None

    def maintain(self) -> None:  # noqa: B027 - only a queue on the disk needs maintenance
        """Do the regular work for the files of a spool. The caller does not hold the lock."""

    def __len__(self) -> int:
        """Return the number of waiting entries. Entries in flight do not count."""
        return self.ledger.queued + self.ledger.spooled

    @abstractmethod
    def fill(self) -> float:
        """Return how full the queue is: 1 means that the entries or the bytes reach the limit."""

    @abstractmethod
    def oldest(self) -> int:
        """Return the sequence number of the oldest pending entry, or `NEVER` if none is pending.

        An adopted entry has the sequence number 0.
        """

    def is_pending(self, sequence: int) -> bool:
        """Return True if an entry of this process with a number up to `sequence` is pending."""
        return self.oldest() <= sequence

    @abstractmethod
    def pending_until(self, sequence: int) -> int:
        """Count the pending entries of this process that have a number up to `sequence`."""

    def newest(self) -> int:
        """Return the sequence number of the newest entry, or 0 before the first entry."""
        return self.ledger.sequence

    def stats(self) -> Stats:
        """Return all counts, read at one moment."""
        return self.ledger.stats()

    def losses(self) -> Counter[Loss]:
        """Return how many entries were rejected or dropped, for each reason and lane."""
        return self.ledger.losses()

    @abstractmethod
    def drop_all(self, reason: str) -> int:
        """Drop all entries that are not on the disk. Return the number of dropped entries."""

    @abstractmethod
    def close(self, reason: str) -> None:
        """Drop all entries that are not on the disk. Drop later entries, too."""

    def release(self) -> None:  # noqa: B027 - only a queue on the disk has files
        """Close all files and release their locks, because the process or the logger ends."""

    def release_in_child(self) -> None:  # noqa: B027 - only a queue on the disk has files
        """In a forked child, close the files of the parent. This method does not take the lock."""
