"""The queue in memory. The queue limits the number of waiting entries and their bytes.

Each level has a lane of waiting entries, so that a full queue can shed the lowest level first.
Sequence numbers keep the order of the log calls across the lanes.

What must stay true: the counts of the ledger agree with the entries in the lanes and in flight.
`counts.py` explains the runs of statements that no signal handler can interrupt.
"""

from __future__ import annotations

from collections import deque
from itertools import repeat, starmap
from typing import TYPE_CHECKING

from voyage_logger._base.levels import CRITICAL, LANES
from voyage_logger._queue.contract import SLICE, Queue
from voyage_logger._queue.counts import Ledger
from voyage_logger._queue.flight import Flight
from voyage_logger._queue.lanes import NEVER, RECORD_OVERHEAD, fitting, head, run_of, size_of

if TYPE_CHECKING:
    from voyage_logger._queue.lanes import Record

_SHORTEST_RUN = 16  # the number of entries that `take_more` reads at first


class MemoryQueue(Queue):
    """A queue of encoded entries in memory.

    Args:
        max_entries: The largest number of entries that may wait.
        max_bytes: The most bytes of memory that the waiting entries may use. Each entry uses the
            bytes of its JSON and `RECORD_OVERHEAD` more bytes.

    A `SpoolQueue` has a `MemoryQueue` for entries that cannot be written to the disk. The methods
    below `fill` are for the `SpoolQueue`. The caller of each of these methods holds the lock.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        ledger = Ledger()
        super().__init__(ledger, Flight(ledger))
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._shed_reason = "queue_full"
        self._lanes: tuple[deque[Record], ...] = tuple(deque() for _ in LANES)
        self._changes = 0  # the number of changes of the lanes, except by `append`

    def append(self, payload: bytes | bytearray, lane: int) -> int:
        ledger = self.ledger
        size = len(payload) + RECORD_OVERHEAD
        with ledger.lock:
            ledger.sequence = sequence = ledger.sequence + 1
            record = (sequence, lane, payload)
            ledger.accepted += 1
            ledger.queued = queued = ledger.queued + 1
            ledger.queued_bytes = queued_bytes = ledger.queued_bytes + size
            self._lanes[lane].append(record)
            if queued > self._max_entries or queued_bytes > self._max_bytes:
                self._shed()
            if lane >= CRITICAL or queued >= ledger.wake_at:
                ledger.wake(lane)
        return sequence

    def amend(self, lane: int, sequence: int, payload: bytearray, amended: bytes) -> bool:
        ledger = self.ledger
        growth = len(amended) - len(payload)
        with ledger.lock:
            # Entries leave a lane in order. If a later entry is first now, this entry has left.
            if head(self._lanes[lane]) > sequence:
                return False
            self._changes += 1
            payload[:] = amended
            ledger.queued_bytes += growth
            if ledger.queued_bytes > self._max_bytes:
                self._shed()
        return True

    def take(self, max_entries: int, max_bytes: int) -> list[Record]:
        ledger = self.ledger
        with ledger.lock:
            if ledger.in_flight:
                return list(self.flight.records)
        while True:
            with ledger.lock:
                limit = min(max_entries, ledger.in_flight + SLICE)
                self.take_more(limit, max_bytes)
                if ledger.in_flight < limit or limit == max_entries:
                    return list(self.flight.records)

    def drop_all(self, reason: str) -> int:
        with self.lock:
            count = self.ledger.in_flight
            self.settle(count, dropped=reason)
            return count + self.drop_queued(reason)

    def close(self, reason: str) -> None:
        with self.lock:
            self.drop_later(reason)
            self.drop_all(reason)

    def oldest(self) -> int:
        with self.lock:
            return min(head(self.flight.records), self.oldest_queued())

    def pending_until(self, sequence: int) -> int:
        with self.lock:
            lanes = [list(lane) for lane in (self.flight.records, *self._lanes)]
        return sum(record[0] <= sequence for lane in lanes for record in lane)

    def fill(self) -> float:
        with self.lock:
            return self.fill_with(self.ledger.queued, self.ledger.queued_bytes)

    def fill_with(self, entries: int, size: int) -> float:
        """Return how full the queue would be with `entries` entries of `size` bytes."""
        return max(entries / (self._max_entries or 1), size / self._max_bytes)

    def oldest_queued(self) -> int:
        """Return the sequence number of the oldest waiting entry, or `NEVER` if no entry waits."""
        return min(map(head, self._lanes))

    def has_queued(self, lanes: slice) -> bool:
        """Return True if an entry waits in one of the given lanes."""
        return any(self._lanes[lanes])

    def oldest_lane(self) -> deque[Record] | None:
        """Return the lane with the oldest entry, or None if no entry waits."""
        return min((lane for lane in self._lanes if lane), key=head, default=None)

    def remove_first(self, lane: deque[Record]) -> None:
        """Remove the first entry of a lane, after it was written to the disk or dropped."""
        _, _, payload = lane.popleft()
        size = len(payload) + RECORD_OVERHEAD
        self._changes += 1
        self.ledger.queued -= 1
        self.ledger.queued_bytes -= size

    def put_first(self, lane: int, records: list[Record]) -> None:
        """Put entries from the disk at the head of a lane. A full queue then sheds entries."""
        ledger, put = self.ledger, self._lanes[lane].extendleft
        count, size, newest_first = len(records), size_of(records), records[::-1]
        self._changes += 1
        ledger.queued += count
        ledger.queued_bytes += size
        put(newest_first)
        self._shed()

    def return_flight(self) -> None:
        """Put all entries in flight back at the heads of their lanes in memory."""
        ledger, records = self.ledger, self.flight.records
        for record in reversed(records):
            self._lanes[record[1]].appendleft(record)
        self._changes += 1
        ledger.queued += ledger.in_flight
        ledger.queued_bytes += ledger.flight_bytes
        ledger.in_flight = ledger.flight_bytes = 0
        records.clear()

    def drop_queued(self, reason: str) -> int:
        """Drop all waiting entries, and return the number of dropped entries."""
        count = self.ledger.queued
        self._shed_to(0, 0, reason)
        self.settled.notify_all()
        return count

    def drop_later(self, reason: str) -> None:
        """From now on, drop each new entry at once."""
        self._max_entries = 0
        self._shed_reason = reason

    def _shed(self) -> None:
        self._shed_to(self._max_entries, self._max_bytes, self._shed_reason)

    def _shed_to(self, max_entries: int, max_bytes: int, reason: str) -> None:
        """Drop entries, the lowest lane first, until the queue is within both limits."""
        ledger = self.ledger
        for lane in self._lanes:
            drop_first = lane.popleft
            while ledger.queued > max_entries or ledger.queued_bytes > max_bytes:
                changes = self._changes
                try:
                    _, number, payload = lane[0]
                except IndexError:
                    break
                size = len(payload) + RECORD_OVERHEAD
                loss = (reason, number)
                # The lookup `dropped[loss]` needs more stack than the statements below. If the
                # stack has no room for the lookup, the error comes before any count changes.
                ledger.dropped[loss] += 0
                # A signal handler may have shed or changed the entry since `changes` was read.
                if self._changes == changes:
                    self._changes += 1
                    ledger.queued -= 1
                    ledger.queued_bytes -= size
                    ledger.dropped[loss] += 1
                    drop_first()

    def take_more(self, max_entries: int, max_bytes: int) -> None:
        """Move the oldest waiting entries into flight, in the order of their log calls."""
        ledger, flight, longest = self.ledger, self.flight, _SHORTEST_RUN
        while (wanted := max_entries - ledger.in_flight) > 0:
            changes = self._changes
            lane, run, is_whole = run_of(self._lanes, min(longest, wanted))
            if head(lane) == NEVER:
                return
            # If another lane has an older entry, a long read of this lane is wasted. Therefore the
            # next read is longer only if all entries of this read come next.
            longest = longest * 2 if is_whole else _SHORTEST_RUN
            fit = fitting(run, flight.room(max_bytes)) or int(not ledger.in_flight)
            moved = run[:fit]
            count, size = len(moved), size_of(moved)
            moving, put = starmap(lane.popleft, repeat((), count)), flight.records.extend
            # A signal handler may have shed or changed entries of `run` since `changes` was read.
            if self._changes == changes:
                self._changes += 1
                ledger.queued -= count
                ledger.queued_bytes -= size
                ledger.in_flight += count
                ledger.flight_bytes += size
                put(moving)
                if fit < len(run):
                    return
