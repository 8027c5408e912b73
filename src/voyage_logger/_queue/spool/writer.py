"""The writer writes new entries to segments. If the spool is full, the writer drops entries.

Each entry is written to a file before its log call returns. After a failed write, new entries wait
in memory. The writer uses the disk again when the caretaker has found that the disk works.

What must stay true: the writer drops entries only if the spool is full. Entries of the lowest level
are dropped first.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from voyage_logger._base.levels import CRITICAL
from voyage_logger._base.stats import SPOOL_FULL
from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool.folder import SpoolUnusable
from voyage_logger._queue.spool.lines import line_of, lines_in

if TYPE_CHECKING:
    from voyage_logger._queue.lanes import Record
    from voyage_logger._queue.spool.disk_failure import DiskFailure
    from voyage_logger._queue.spool.segment import Segment
    from voyage_logger._queue.spool.segments import Segments


class Writer:
    """Writes entries to the disk. The caller of each method holds the ledger's lock."""

    def __init__(self, segments: Segments, failure: DiskFailure) -> None:
        self._segments, self._failure = segments, failure
        self._memory, self._ledger = segments.memory, segments.ledger
        self._store, self._active = segments.store, segments.active
        self._clock = segments.clock
        self._bound = segments.store.settings.max_bytes  # the size limit of all segments in total

    def append(self, payload: bytes | bytearray, lane: int) -> int:
        """Write an entry to the disk, queue it in memory, or drop it. Return a sequence number."""
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
        # The next statements are one run (see `counts.py`), so a signal handler sees either only
        # old counts or only new counts. A run has no call and no jump. Therefore this run
        # repeats the statements of `Segment.write`, and chooses `head` without an `if`.
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
        except TypeError:  # A signal handler has sealed the segment, so the descriptor is None.
            error = None
        if segment.size < before + size:  # A signal handler has dropped the line.
            return sequence
        self._undo(segment, size, before, error)
        return self._memory.append(payload, lane)

    def _append_elsewhere(self, payload: bytes | bytearray, lane: int, size: int) -> int:
        """Drop the entry if higher levels fill the spool. Otherwise, queue the entry in memory."""
        if not self._is_outranked(size):
            return self._memory.append(payload, lane)
        self._ledger.sequence = sequence = self._ledger.sequence + 1
        self._ledger.drop_new(lane, SPOOL_FULL)
        return sequence

    def _undo(self, segment: Segment, size: int, before: int, error: OSError | None) -> None:
        """After a failed write, correct the counts, and remove the line from the file."""
        # Do not decrease `sequence`: a signal handler might have used the next number already.
        self._ledger.accepted -= 1
        self._ledger.spooled -= 1
        self._store.size -= size
        self._take_back(segment, size, before)
        if error is not None:
            self._failure.begin(error)

    def _take_back(self, segment: Segment, size: int, before: int) -> None:
        """Undo a failed write of `size` bytes. The segment had `before` bytes before the write."""
        was_sealed = not segment.is_open
        if was_sealed and not segment.is_gone:  # A signal handler has sealed the segment.
            with contextlib.suppress(OSError, SpoolUnusable):
                segment.reopen(self._store.folder.open(segment.name))
        lost = segment.take_back(size, before)
        if was_sealed:
            segment.seal()
        lost_size = len(lost)  # A signal handler can change `_store.size` during the call of `len`.
        self._store.size -= lost_size
        lines, _ = lines_in(lost, 0, needs_check=False)
        entries = [(sequence, payload) for sequence, payload, *_ in lines if payload is not None]
        self._failure.queue_in_memory(segment.lane, entries)

    def _segment_for(self, lane: int, size: int) -> Segment | None:
        """Return a segment that has room for `size` bytes, or None if no line can be written."""
        store = self._store
        if self._segments.is_closed or store.is_failing:
            return None
        try:
            owner_files = store.open_own()
            segment = self._active[lane]
            if segment is not None and segment.size + size > store.segment_bytes:
                self._segments.retire(segment)
            self._shed(lane, size)
            if store.size + size > self._bound:
                return None
            if self._active[lane] is None:
                self._active[lane] = owner_files.open_segment(lane)
        except (OSError, SpoolUnusable) as error:
            self._failure.begin(error)
        return self._active[lane]

    def update_bound(self) -> None:
        """Update the limit on the total size of all segments. Adopted files can raise the limit."""
        self._bound = self._store.bound

    def _is_outranked(self, size: int) -> bool:
        """Return True if entries of higher levels leave no room for a line of `size` bytes."""
        store = self._store
        if store.size + size <= self._bound or store.is_failing or self._segments.is_closed:
            return False
        return any(owner_files.unread for owner_files in store.all_owners())

    def _shed(self, lane: int, size: int) -> None:
        """Make room for `size` bytes: drop entries of the lanes up to `lane`, lowest lane first."""
        store = self._store
        if store.size + size > self._bound:
            self._remove_settled()
        for lower in range(lane + 1):
            for owner_files in store.all_owners():
                for segment in list(owner_files.lanes[lower]):
                    if store.size + size <= self._bound:
                        return
                    self._segments.drop(owner_files, segment, SPOOL_FULL)

    def _remove_settled(self) -> None:
        """To make room, remove active segments that contain only settled entries."""
        for segment in filter(None, list(self._active)):
            if segment.is_settled:
                self._segments.retire(segment)

    def move_to_disk(self) -> None:
        """If the disk works again, move all entries from memory to the disk, oldest first."""
        store, memory = self._store, self._memory
        if self._segments.is_closed or not store.is_failing:
            return
        store.is_failing = False
        while not store.is_failing and (record := memory.oldest_record()) is not None:
            sequence, number, payload = record
            line = line_of(sequence, payload)
            segment = self._segment_for(number, len(line))
            if segment is not None:
                self._move(record, segment, line)
            elif self._is_outranked(len(line)):
                if memory.move_first(record, dropped=SPOOL_FULL):
                    self._ledger.settled.notify_all()
            else:
                store.is_failing = True  # The disk fails, or entries in flight fill the spool.
        if not store.is_failing:
            try:
                store.open_own()
            except (OSError, SpoolUnusable) as error:
                self._failure.begin(error)
            else:
                self._failure.end()

    def _move(self, record: Record, segment: Segment, line: bytes) -> None:
        """Write the oldest waiting entry to a segment. If the entry is already gone, do nothing.

        As in `append`, all counts change before the write. A failed write is undone.
        """
        if not self._memory.move_first(record):
            return
        sequence, lane, payload = record
        before, size = segment.size, len(line)
        self._store.size += size
        try:
            segment.write(line, sequence, self._clock())
        except (OSError, TypeError) as error:  # `TypeError`: see `append`.
            if segment.size < before + size:  # A signal handler has dropped the line.
                return
            self._store.size -= size
            self._take_back(segment, size, before)
            self._failure.queue_in_memory(lane, [(sequence, payload)])
            if isinstance(error, OSError):
                self._failure.begin(error)
