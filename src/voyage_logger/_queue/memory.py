"""The queue in memory limits how many entries wait and how many bytes the waiting entries use.

Each level has its own lane of waiting entries. A full queue can therefore drop entries of the
lowest level first. The queue sends the entries of all lanes in the order of their sequence numbers.

What must stay true: the counts in the ledger match the entries in the lanes and in flight.
`counts.py` explains which sequences of statements a signal handler cannot interrupt.
"""

from __future__ import annotations

from collections import deque
from itertools import repeat, starmap
from typing import TYPE_CHECKING

from voyage_logger._base.levels import CRITICAL, LANES
from voyage_logger._base.stats import QUEUE_FULL
from voyage_logger._queue.contract import SLICE, Queue
from voyage_logger._queue.counts import Ledger
from voyage_logger._queue.flight import Flight
from voyage_logger._queue.lanes import NEVER, RECORD_OVERHEAD, fitting, head, run_of, size_of

if TYPE_CHECKING:
    from voyage_logger._queue.lanes import Record

_SHORTEST_RUN = 16  # the number of entries that `take_more` reads in its first step


class MemoryQueue(Queue):
    """A queue of encoded entries in memory.

    Args:
        max_entries: The largest number of entries that can wait at the same time.
        max_bytes: The largest total size of the waiting entries, in bytes of memory. The size of an
            entry is the size of its JSON text plus `RECORD_OVERHEAD` bytes.

    A `SpoolQueue` contains a `MemoryQueue` for entries that cannot be written to the disk. The
    methods below `fill` do not take the lock: their callers hold it.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        ledger = Ledger()
        super().__init__(ledger, Flight(ledger))
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._shed_reason = QUEUE_FULL
        self._lanes: tuple[deque[Record], ...] = tuple(deque() for _ in LANES)
        self._changes = 0  # how many times the lanes were changed (calls of `append` do not count)

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
            # If the lane now starts with a newer entry, the entry to replace has left the lane.
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
        """Return how full the queue would be if `entries` entries waited and used `size` bytes."""
        return max(entries / (self._max_entries or 1), size / self._max_bytes)

    def oldest_queued(self) -> int:
        """Return the sequence number of the oldest waiting entry, or `NEVER` if no entry waits."""
        return min(map(head, self._lanes))

    def has_queued(self, lanes: slice) -> bool:
        """Return True if an entry waits in one of the given lanes."""
        return any(self._lanes[lanes])

    def oldest_record(self) -> Record | None:
        """Return the oldest waiting entry, or None if no entry waits."""
        try:
            return min(self._lanes, key=head)[0]
        except IndexError:
            return None

    def move_first(self, record: Record, dropped: str = "") -> bool:
        """Move the first entry of a lane to the disk, or drop it for the reason `dropped`.

        An entry that is not dropped counts as spooled, and the caller must write it to the disk.
        Return False and do nothing if a signal handler has removed the entry in the meantime.
        """
        ledger, changes = self.ledger, self._changes
        sequence, number, payload = record
        lane, loss = self._lanes[number], (dropped, number)
        size, drop_first = len(payload) + RECORD_OVERHEAD, lane.popleft
        lost = int(bool(dropped))
        spooled = 1 - lost
        ledger.dropped[loss] += 0  # See `_shed_to`.
        if head(lane) == sequence and self._changes == changes:
            self._changes += 1
            ledger.queued -= 1
            ledger.queued_bytes -= size
            ledger.spooled += spooled
            ledger.dropped[loss] += lost
            drop_first()
            return True
        return False

    def put_first(self, lane: int, records: list[Record]) -> None:
        """Put entries from the disk at the start of a lane. If the queue is full, drop entries."""
        ledger, put = self.ledger, self._lanes[lane].extendleft
        count, size, newest_first = len(records), size_of(records), records[::-1]
        self._changes += 1
        ledger.queued += count
        ledger.queued_bytes += size
        put(newest_first)
        self._shed()

    def return_flight(self) -> None:
        """Put each entry in flight back at the start of its lane."""
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
        """From now on, drop each new entry immediately."""
        self._max_entries = 0
        self._shed_reason = reason

    def _shed(self) -> None:
        self._shed_to(self._max_entries, self._max_bytes, self._shed_reason)

    def _shed_to(self, max_entries: int, max_bytes: int, reason: str) -> None:
        """Drop entries of the lowest lanes until the queue is within both limits."""
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
                # This lookup needs more stack space than the statements below. If the stack is
                # nearly full, Python raises an error here, before any count has changed.
                ledger.dropped[loss] += 0
                # `_changes` is different if a signal handler has changed the lanes in the meantime.
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
            # If all entries that were read can be taken, the next step reads twice as many entries.
            # If the next entry is in another lane, a longer read of this lane would be useless.
            longest = longest * 2 if is_whole else _SHORTEST_RUN
            fit = fitting(run, flight.room(max_bytes)) or int(not ledger.in_flight)
            moved = run[:fit]
            count, size = len(moved), size_of(moved)
            moving, put = starmap(lane.popleft, repeat((), count)), flight.records.extend
            # `_changes` is different if a signal handler has changed the lanes in the meantime.
            if self._changes == changes:
                self._changes += 1
                ledger.queued -= count
                ledger.queued_bytes -= size
                ledger.in_flight += count
                ledger.flight_bytes += size
                put(moving)
                if fit < len(run):
                    return
