"""The writer: what log calls do with a spool. It writes entries to segments and makes room.

An entry is in a file before the log call returns. While the disk fails, entries wait in memory: a
log call meets a broken disk once, and later calls do not try it.

What must stay true: entries on the disk are dropped only for lack of room, the lowest level first.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from voyage_logger._base.levels import CRITICAL
from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool.folder import SpoolUnusable
from voyage_logger._queue.spool.lines import line_of, lines_in

if TYPE_CHECKING:
    from voyage_logger._queue.spool.disk_failure import DiskFailure
    from voyage_logger._queue.spool.segment import Segment
    from voyage_logger._queue.spool.segments import Segments

FULL = "spool_full"


class Writer:
    """The part of a `SpoolQueue` that writes. The callers of all methods hold the ledger's lock."""

    def __init__(self, segments: Segments, failure: DiskFailure) -> None:
        self._segments, self._failure = segments, failure
        self._memory, self._ledger = segments.memory, segments.ledger
        self._store, self._active = segments.store, segments.active
        self._clock = segments.clock
        self._bound = segments.store.settings.max_bytes  # the most bytes on the disk

    def append(self, payload: bytes | bytearray, lane: int) -> int:
        """Write an entry, or queue it in memory, or drop it; and return its sequence number."""
        store, ledger = self._store, self._ledger
        line = line_of(ledger.sequence + 1, payload)
        size, now, write = len(line), self._clock(), os.write
        segment = self._active[lane]
        if (
            segment is None
            or segment.size + size > store.segment_bytes
            or store.size + size > self._bound
        ):
            segment = self._segment_for(lane, size)
            if segment is None:
                return self._append_elsewhere(payload, lane, size)
        # The line is counted in one run (see `counts.py`) before the write, so a handler that logs
        # finds all of the line or nothing. Therefore this repeats the statements of
        # `Segment.write`, and chooses `head` without an `if`, whose other side would be a jump.
        before, first = segment.size, segment.head
        ledger.sequence = sequence = ledger.sequence + 1
        ledger.accepted += 1
        ledger.spooled += 1
        store.size += size
        segment.size = before + size
        segment.entries += 1
        segment.head = (first, sequence)[first == NEVER]
        segment.last = sequence
        segment.written_at = now
        try:
            if write(segment.descriptor, line) == size:  # type: ignore[arg-type]
                if lane >= CRITICAL or ledger.queued + ledger.spooled >= ledger.wake_at:
                    ledger.wake(lane)
                return sequence
            error: OSError | None = OSError(errno.ENOSPC, "the disk is full")
        except OSError as failure:
            error = failure
        except TypeError:  # No descriptor: a handler has logged and sealed the segment.
            error = None
        if segment.size < before + size:  # A handler has logged and dropped the line.
            return sequence
        self._undo(segment, size, before, error)
        return self._memory.append(payload, lane)

    def _append_elsewhere(self, payload: bytes | bytearray, lane: int, size: int) -> int:
        """Queue an entry in memory, or drop it if all entries on the disk are worth more."""
        if not self._is_outranked(size):
            return self._memory.append(payload, lane)
        self._ledger.sequence = sequence = self._ledger.sequence + 1
        self._ledger.drop_new(lane, FULL)
        return sequence

    def _undo(self, segment: Segment, size: int, before: int, error: OSError | None) -> None:
        """Uncount a line whose write has failed, and remove its bytes from the file."""
        self._ledger.accepted -= 1  # The number stays used: a handler can have used later ones.
        self._ledger.spooled -= 1
        self._store.size -= size
        self._take_back(segment, size, before)
        if error is not None:
            self._failure.begin(error)

    def _take_back(self, segment: Segment, size: int, before: int) -> None:
        """Undo a write of `size` bytes to a segment that had `before` bytes."""
        was_sealed = not segment.is_open
        if was_sealed and not segment.is_gone:  # A handler has logged and sealed the segment.
            with contextlib.suppress(OSError, SpoolUnusable):
                segment.reopen(self._store.folder.open(segment.name))
        lost = segment.take_back(size, before)
        if was_sealed:
            segment.seal()
        lost_size = len(lost)  # `size -= len(lost)` would forget a log call of a handler.
        self._store.size -= lost_size
        lines, _ = lines_in(lost, 0, needs_check=False)
        entries = [(sequence, payload) for sequence, payload, *_ in lines if payload is not None]
        self._failure.queue_in_memory(segment.lane, entries)

    def _segment_for(self, lane: int, size: int) -> Segment | None:
        """Return a segment with room for a line; None if the entry has to wait in memory."""
        store = self._store
        if self._segments.is_closed or store.is_failing:
            return None
        try:
            owner_files = store.open_own()
            segment = self._active[lane]
            if segment is not None and segment.size + size > store.segment_bytes:
                self._segments.seal(segment)
                self._segments.remove_if_settled(owner_files, segment)
            self._shed(lane, size)
            if store.size + size > self._bound:
                return None
            if self._active[lane] is None:
                self._active[lane] = owner_files.open_segment(lane)
        except (OSError, SpoolUnusable) as error:
            self._failure.begin(error)
        return self._active[lane]

    # Room on the disk.

    def update_bound(self) -> None:
        """Allow as many bytes as the settings and the adopted files allow now."""
        self._bound = self._store.bound

    def _is_outranked(self, size: int) -> bool:
        """Return True if a line has no room because all entries on the disk are worth more."""
        store = self._store
        if store.size + size <= self._bound or store.is_failing or self._segments.is_closed:
            return False
        return any(owner_files.unread for owner_files in store.all_owners())

    def _shed(self, lane: int, size: int) -> None:
        """Drop the lowest levels on the disk, oldest first, until a line of a lane has room."""
        store = self._store
        if store.size + size > self._bound:
            self._remove_settled()
        for lower in range(lane + 1):
            for owner_files in store.all_owners():
                for segment in list(owner_files.lanes[lower]):
                    if store.size + size <= self._bound:
                        return
                    self._segments.drop(owner_files, segment, FULL)

    def _remove_settled(self) -> None:
        """Remove active segments of which all entries are settled, because no entry is lost."""
        for lane, segment in enumerate(self._active):
            if segment is not None and segment.is_settled and self._store.own is not None:
                self._active[lane] = None
                self._segments.remove_if_settled(self._store.own, segment)

    # Entries that wait in memory.

    def move_to_disk(self) -> None:
        """Move the entries in memory to the disk, in their order, if the disk works again."""
        store, memory = self._store, self._memory
        if self._segments.is_closed or not store.is_failing:
            return
        store.is_failing = False
        while not store.is_failing and (lane := memory.oldest_lane()) is not None:
            sequence, number, payload = lane[0]
            line = line_of(sequence, payload)
            segment = self._segment_for(number, len(line))
            if segment is not None:
                if not self._move(segment, line, sequence):
                    return
            elif self._is_outranked(len(line)):
                self._ledger.dropped[FULL, number] += 1
                self._ledger.settled.notify_all()
            else:
                store.is_failing = True  # Entries in flight take all the room.
                return
            memory.remove_first(lane)
        if not store.is_failing:
            try:
                store.open_own()
            except (OSError, SpoolUnusable) as error:
                self._failure.begin(error)
            else:
                self._failure.end()

    def _move(self, segment: Segment, line: bytes, sequence: int) -> bool:
        """Write the line of an entry that waits in memory; return False if the disk fails."""
        before, size = segment.size, len(line)
        try:
            segment.write(line, sequence, self._clock())
        except OSError as error:
            # A handler can have logged and dropped the line.
            if segment.size >= before + size:
                self._take_back(segment, size, before)
                self._failure.begin(error)
                return False
        self._ledger.spooled += 1
        self._store.size += size
        return True
