"""The contract: what the worker and the pipeline may ask of any queue.

What must stay true: each method can be called from any thread, and from a signal handler or a
`__del__` that runs inside another method of the queue. No method raises.
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

SLICE = 500  # The most entries that are moved in one go, because log calls wait for the lock.


class Queue(ABC):
    """A queue of encoded entries that wait to be sent.

    Attributes:
        ledger: The counts, and the lock that guards the queue.
        lock, changed, settled: The lock and the conditions of the ledger.
        flight: The entries in flight.
        is_durable: True if entries that are not sent stay on the disk for the next process.
        place: The folder of entries on the disk, or "".
        is_ending: The pipeline sets this to True once the time that is left is limited.
        kept: How many rejected entries, without notices, are in dead-letter files.
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
        """Accept an entry, shed the lowest lane if the queue is full, return the new number."""

    def amend(self, lane: int, sequence: int, payload: bytearray, amended: bytes) -> bool:
        """Replace the bytes of an entry, if it still waits and the queue can replace bytes.

        `payload` is the very object that was appended. Returns False if nothing was replaced.
        """
        del lane, sequence, payload, amended
        return False

    def drop_new(self, lane: int, reason: str) -> None:
        """Count an entry that cannot be queued as accepted and dropped."""
        self.ledger.drop_new(lane, reason)

    def try_drop_new(self, lane: int, reason: str) -> None:
        """Count a dropped entry, unless another thread holds the lock and may never release it."""
        if self.lock.acquire(blocking=False):
            self.drop_new(lane, reason)
            self.lock.release()

    @property
    def is_urgent(self) -> bool:
        """True if a critical or ticket entry has come since the last `clear_urgent`."""
        return self.ledger.is_urgent

    def clear_urgent(self) -> None:
        """Begin to wait for the next urgent entry. The caller holds the lock."""
        self.ledger.is_urgent = False

    def wait_for_entries(self, count: int, time_limit: float | None) -> None:
        """Wait for `count` queued entries, an urgent entry, or a notification of `changed`.

        `time_limit` is the most seconds to wait, or None. The caller holds the lock.
        """
        self.ledger.wake_at = count
        self.changed.wait(time_limit)
        self.ledger.wake_at = NEVER

    @abstractmethod
    def take(self, max_entries: int, max_bytes: int) -> list[Record]:
        """Take the oldest entries, unless entries are in flight; return all entries in flight.

        `max_bytes` counts JSON and a comma for each entry. The first entry is taken even if it is
        larger.
        """

    def settle(self, count: int, *, rejected: str = "", dropped: str = "", words: str = "") -> None:
        """Settle the oldest entries in flight: delivered, unless a reason is given.

        Args:
            count: How many entries.
            rejected: Why the server rejected the entries.
            dropped: Why the client drops the entries.
            words: The answer of the server, for the dead-letter file.
        """
        while count > 0:
            with self.lock:
                self._settle(min(count, SLICE), rejected, dropped, words)
                count -= SLICE
                self.settled.notify_all()

    def _settle(self, count: int, rejected: str, dropped: str, words: str) -> None:  # noqa: ARG002 - a queue on the disk keeps the words
        self.flight.settle(count, rejected, dropped)

    def replace_first(self, payload: bytes) -> None:
        """Replace the encoding of the oldest entry in flight by a shorter one."""
        with self.lock:
            self.flight.replace_first(payload)

    @property
    def maintenance_interval(self) -> float | None:
        """The most seconds between two calls of `maintain`; None if the queue needs none."""
        return None

    def maintain(self) -> None:  # noqa: B027 - only a queue on the disk does this
        """Do what is due from time to time. The worker calls this without the lock."""

    def __len__(self) -> int:
        """Return how many entries wait; entries in flight do not count."""
        return self.ledger.queued + self.ledger.spooled

    @abstractmethod
    def fill(self) -> float:
        """Return how full the queue is, by entries or by bytes: 1 is full."""

    @abstractmethod
    def oldest(self) -> int:
        """Return the number of the oldest pending entry: 0 if adopted, `NEVER` if there is none."""

    def is_pending(self, sequence: int) -> bool:
        """Return True if an entry of this process up to a sequence number is pending."""
        return self.oldest() <= sequence

    @abstractmethod
    def pending_until(self, sequence: int) -> int:
        """Return how many entries of this process up to a sequence number are pending."""

    def newest(self) -> int:
        """Return the sequence number of the newest entry, 0 if there never was one."""
        return self.ledger.sequence

    def stats(self) -> Stats:
        """Return all counts of one moment."""
        return self.ledger.stats()

    def losses(self) -> Counter[Loss]:
        """Return the numbers of rejected and dropped entries, by reason and lane."""
        return self.ledger.losses()

    @abstractmethod
    def drop_all(self, reason: str) -> int:
        """Drop all entries that are not on the disk, and return how many those were."""

    @abstractmethod
    def close(self, reason: str) -> None:
        """Drop all entries that are not on the disk, also those that are appended later."""

    def release(self) -> None:  # noqa: B027 - only a queue on the disk does this
        """Release files and locks at the end of the process or of the logger."""

    def release_in_child(self) -> None:  # noqa: B027 - only a queue on the disk does this
        """Close the files of the parent in a forked child. This takes no lock."""
