"""The base class of all queues, with the methods that the worker and the pipeline call.

What must stay true: every thread can call every method. A signal handler or a `__del__` can also
call every method, even in the middle of another method of the queue. No method raises an error.
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

# A method moves at most this many entries, and then releases the lock for waiting log calls.
SLICE = 500


class Queue(ABC):
    """A queue of encoded entries that wait to be sent.

    Attributes:
        ledger: The counts of the queue, and the lock that guards the queue.
        lock, changed, settled: The lock and the two condition variables of the ledger.
        flight: The entries in flight. The worker has taken these entries and sends them.
        is_durable: True if unsent entries stay on the disk, so that the next process can send them.
        place: The path of the spool folder, or an empty string for a queue in memory.
        is_ending: True once the logger begins to close or the process begins to exit.
        kept: How many rejected entries were kept in dead-letter files (notices are not counted).
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
        """Accept an entry and return its sequence number.

        If the queue is full, entries of the lowest level are dropped to make room.
        """

    def amend(self, lane: int, sequence: int, payload: bytearray, amended: bytes) -> bool:
        """Try to replace the bytes of a waiting entry. Return True if the bytes were replaced.

        `payload` must be the same object that was passed to `append`.
        """
        del lane, sequence, payload, amended
        return False

    def drop_new(self, lane: int, reason: str) -> None:
        """If a new entry cannot be queued, count the entry as accepted and as dropped."""
        self.ledger.drop_new(lane, reason)

    def try_drop_new(self, lane: int, reason: str) -> None:
        """If no other thread holds the lock, call `drop_new`. Otherwise, do nothing.

        This method does not wait for the lock, because another thread might never release it.
        """
        if self.lock.acquire(blocking=False):
            self.drop_new(lane, reason)
            self.lock.release()

    @property
    def is_urgent(self) -> bool:
        """True if a critical or ticket entry was added after the last call of `clear_urgent`."""
        return self.ledger.is_urgent

    def clear_urgent(self) -> None:
        """Set `is_urgent` to False. The caller holds the lock."""
        self.ledger.is_urgent = False

    def wait_for_entries(self, count: int, time_limit: float | None) -> None:
        """Wait until `count` entries wait, an urgent entry waits, or a thread notifies `changed`.

        The method waits at most `time_limit` seconds (None: no limit). The caller holds the lock.
        """
        self.ledger.wake_at = count
        self.changed.wait(time_limit)
        self.ledger.wake_at = NEVER

    @abstractmethod
    def take(self, max_entries: int, max_bytes: int) -> list[Record]:
        """Return all entries in flight. If no entry is in flight, take the oldest waiting entries.

        `max_bytes` limits the size of all taken entries as JSON, including one comma for each
        entry. The oldest entry is taken even if it is larger than `max_bytes`.
        """

    def settle(self, count: int, *, rejected: str = "", dropped: str = "", words: str = "") -> None:
        """Settle the oldest entries in flight. By default, the entries count as delivered.

        Args:
            count: The number of entries to settle.
            rejected: The reason why the server rejected the entries.
            dropped: The reason why the client drops the entries.
            words: The text of the server's answer. A dead-letter file stores this text.
        """
        while count > 0:
            with self.lock:
                self._settle(min(count, SLICE), rejected, dropped, words)
                count -= SLICE
                self.settled.notify_all()

    def _settle(self, count: int, rejected: str, dropped: str, words: str) -> None:  # noqa: ARG002 - `SpoolQueue` uses `words`
        self.flight.settle(count, rejected, dropped)

    def replace_first(self, payload: bytes) -> None:
        """Replace the oldest entry in flight with a shorter encoding of the same entry."""
        with self.lock:
            self.flight.replace_first(payload)

    @property
    def maintenance_interval(self) -> float | None:
        """The worker calls `maintain` at least once in this number of seconds (None: never)."""
        return None

    def maintain(self) -> None:  # noqa: B027 - only a queue on the disk needs maintenance
        """Do the regular maintenance of the spool folder. The caller does not hold the lock."""

    def __len__(self) -> int:
        """Return the number of waiting entries. Entries in flight are not included."""
        return self.ledger.queued + self.ledger.spooled

    @abstractmethod
    def fill(self) -> float:
        """Return how full the queue is. The result 1 means that the queue has reached a limit."""

    @abstractmethod
    def oldest(self) -> int:
        """Return the sequence number of the oldest pending entry, or `NEVER` if nothing is pending.

        All adopted entries have the sequence number 0.
        """

    def is_pending(self, sequence: int) -> bool:
        """Return True if a pending entry of this process has a sequence number up to `sequence`."""
        return self.oldest() <= sequence

    @abstractmethod
    def pending_until(self, sequence: int) -> int:
        """Count this process's pending entries that have a sequence number up to `sequence`."""

    def newest(self) -> int:
        """Return the sequence number of the newest entry, or 0 before the first entry."""
        return self.ledger.sequence

    def stats(self) -> Stats:
        """Return a snapshot of all counts."""
        return self.ledger.stats()

    def losses(self) -> Counter[Loss]:
        """Return how many entries were rejected or dropped, for each reason and lane."""
        return self.ledger.losses()

    @abstractmethod
    def drop_all(self, reason: str) -> int:
        """Drop all entries that are not on the disk. Return the number of dropped entries."""

    @abstractmethod
    def close(self, reason: str) -> None:
        """Drop all entries that are not on the disk. From now on, drop each new entry."""

    def release(self) -> None:  # noqa: B027 - only a queue on the disk has files
        """When the logger or the process ends, close all files and release their locks."""

    def release_in_child(self) -> None:  # noqa: B027 - only a queue on the disk has files
        """In a forked child process, close the parent's files. This method takes no lock."""
