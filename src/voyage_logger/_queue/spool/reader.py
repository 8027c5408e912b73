"""The reader reads entries from the disk and gives the entries to the worker.

The reader reads each segment piece by piece and moves the entries into flight. The memory use stays
small, because only one piece of each segment is in memory at the same time.

What must stay true: the reader moves each entry into flight only once. If an entry cannot be read,
the user gets a report, and the reader sets the segment aside, drops the entry, or keeps the entry
in the dead-letter file.
"""

from __future__ import annotations

import errno
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING

from voyage_logger._base.stats import CORRUPT, SPOOL_DELETED, UNREADABLE
from voyage_logger._queue.contract import SLICE
from voyage_logger._queue.lanes import NEVER, RECORD_OVERHEAD
from voyage_logger._queue.spool.folder import SpoolUnusable, is_lasting
from voyage_logger._queue.spool.lines import dead_letter_of_line
from voyage_logger._queue.spool.turns import Turns, heads_of

if TYPE_CHECKING:
    from voyage_logger._queue.lanes import Record
    from voyage_logger._queue.spool.disk_failure import DiskFailure
    from voyage_logger._queue.spool.lines import Line
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.segment import Segment
    from voyage_logger._queue.spool.segments import Segments

    # An origin says where an entry is on the disk: the owner's files, the segment, and the position
    # where the entry's line ends. The last item says how many lines are settled with the entry.
    Origin = tuple[OwnerFiles, Segment, int, int]


class Reader:
    """Gives the entries of a `SpoolQueue` to the worker.

    Attributes:
        origins: Where each entry in flight is on the disk. All entries in flight either come
            from the files of one owner, or come from memory. If they come from memory, `origins`
            is empty, and `drop_all` can drop them.
    """

    def __init__(self, segments: Segments, failure: DiskFailure) -> None:
        self._segments, self._failure = segments, failure
        self._memory, self._flight = segments.memory, segments.memory.flight
        self._ledger, self._store = segments.ledger, segments.store
        self._turns = Turns(segments)
        self.origins: deque[Origin] = deque()
        self._being_read: set[Segment] = set()

    def take(self, max_entries: int, max_bytes: int, *, is_ending: bool) -> list[Record]:
        """See `Queue.take`. If `is_ending` is true, new entries are taken more often than usual."""
        ledger = self._ledger
        with ledger.lock:
            if ledger.in_flight:
                return list(self._flight.records)
            owner_files, after = self._turns.choose(max_entries, max_bytes, is_ending=is_ending)
            self._stop_reading_others()
        idle = 0  # `idle` counts successive rounds that read nothing and take nothing.
        while True:  # Each round takes at most `SLICE` entries, so that log calls can get the lock.
            has_read = self._read(owner_files, after)
            with ledger.lock:
                before = ledger.in_flight
                limit = min(max_entries, before + SLICE)
                is_at_end = self._take_from(owner_files, limit, max_bytes, after)
                if is_at_end or ledger.in_flight >= max_entries:
                    break
                idle = 0 if has_read or ledger.in_flight > before else idle + 1
                if idle > 1:  # The first idle round might have skipped corrupt lines.
                    self._set_aside(heads_of(owner_files, after))
                    break
        if self._store.has_news:
            self._store.tell()
        with ledger.lock:
            return list(self._flight.records)

    def forget_removed(self) -> None:
        """If the files of all entries in flight are gone, treat the entries as entries from memory.

        `drop_all` can then write the entries to new files. The caller holds the lock.
        """
        if all(segment.is_gone for _, segment, *_ in self.origins):
            self.origins.clear()

    def _stop_reading_others(self) -> None:
        """For segments that the next requests do not need, close the files and free the memory."""
        next_ones = self._turns.next_segments()
        for segment in self._being_read - next_ones:
            segment.forget_lines()
        self._being_read &= next_ones

    def _read(self, owner_files: OwnerFiles | None, after: int) -> bool:
        """Read a piece of the first segment in each lane. Return False if there is no piece.

        The caller does not hold the lock, because a read can take long.
        """
        if owner_files is None:
            return False
        with self._ledger.lock:
            heads = heads_of(owner_files, after)
            wanting = [(segment, segment.size) for segment in heads if segment.wants_lines()]
        for segment, end in wanting:
            self._being_read.add(segment)
            try:
                with self._segments.disk_lock:
                    lines, read_to = segment.fetch(self._store.folder, end)
                with self._ledger.lock:
                    if not segment.keep(lines, read_to):
                        self._recount(owner_files, segment)
            except (OSError, SpoolUnusable) as error:
                self._handle(owner_files, segment, error)
        return bool(wanting)

    def _recount(self, owner_files: OwnerFiles, segment: Segment) -> None:
        """Count the lines of a segment again, because another program has changed the file."""
        self._segments.seal(segment)
        size, lines = segment.recount(self._store.folder)
        self._store.size += size
        if lines < 0:
            self._ledger.drop_spooled((CORRUPT, segment.lane), -lines)
        else:
            self._ledger.accepted += lines
            self._ledger.spooled += lines
        self._store.note(
            "spool changed", f"{segment.name} was changed by others: its lines are counted anew"
        )
        self._segments.remove_if_settled(owner_files, segment)

    def _handle(
        self, owner_files: OwnerFiles, segment: Segment, error: OSError | SpoolUnusable
    ) -> None:
        """Handle a failed read of a segment.

        If a later read might succeed, set the segment aside. If no read can succeed, drop the
        entries. If a file was removed while it was open for writing, move its entries to memory.
        """
        segment.stop_reading()
        with self._ledger.lock:
            if segment.is_gone or not segment.unread:
                return
            is_removed = isinstance(error, FileNotFoundError)
            if is_removed and segment.is_open:
                self._failure.save(owner_files, segment)
            elif isinstance(error, OSError) and not is_lasting(error):
                segment.is_set_aside = True
                self._store.note_set_aside(segment, error)
                self._failure.look_soon()
            else:
                self._store.note_unreadable(segment.name, error)
                reason = SPOOL_DELETED if is_removed else UNREADABLE
                self._segments.drop_file(owner_files, segment, reason, is_left=not is_removed)

    def _set_aside(self, segments: list[Segment]) -> None:
        """If a segment contains fewer entries than its count says, set the segment aside."""
        for segment in segments:
            if segment.peek() is None and not segment.wants_lines():
                segment.is_set_aside = True
                self._store.note_set_aside(segment, OSError(errno.EIO, "its counts are wrong"))
        self._failure.look_soon()

    def _take_from(
        self, owner_files: OwnerFiles | None, max_entries: int, max_bytes: int, after: int
    ) -> bool:
        """Move the next entries into flight. Return False if the caller should read more lines."""
        ledger, memory = self._ledger, self._memory
        is_own = owner_files is None or owner_files is self._store.own
        is_from_memory = ledger.in_flight > 0 and not self.origins
        while ledger.in_flight < max_entries:
            heads = heads_of(owner_files, after)
            oldest = min(heads, key=attrgetter("head"), default=None)
            in_memory = memory.oldest_queued() if is_own else NEVER
            if is_from_memory or oldest is None or owner_files is None or in_memory < oldest.head:
                if not self.origins:
                    memory.take_more(max_entries, max_bytes)
                return True
            following = min((each.head for each in heads if each is not oldest), default=NEVER)
            following = min(following, in_memory)
            is_at_end = self._take_run(owner_files, oldest, following, max_entries, max_bytes)
            if is_at_end is not None:
                return is_at_end
        return False

    def _take_run(
        self,
        owner_files: OwnerFiles,
        segment: Segment,
        following: int,
        max_entries: int,
        max_bytes: int,
    ) -> bool | None:
        """Move entries of one segment into flight, up to the sequence number `following`.

        Return True if no more entries can be taken now, False if the caller should read more lines
        of the segment, or None if the next entry might be in another segment.
        """
        ledger, room = self._ledger, self._flight.room(max_bytes)
        while ledger.in_flight < max_entries and segment.head <= following and segment.unread:
            line = segment.peek()
            if line is None:
                return False
            _, payload, _, corrupt = line
            if payload is None:
                if segment.taken != segment.sent:
                    return True  # Corrupt lines must wait until the entries in flight are settled.
                self._skip(owner_files, segment, corrupt)
                return None
            room -= len(payload) + 1
            if room < 0 and ledger.in_flight:
                return True
            self._take_line(owner_files, segment, line, payload)
        return None

    def _take_line(
        self, owner_files: OwnerFiles, segment: Segment, line: Line, payload: bytes
    ) -> None:
        sequence, _, end, corrupt = line
        ledger, is_own = self._ledger, owner_files is self._store.own
        segment.advance()
        self.origins.append((owner_files, segment, end, 1 + len(corrupt)))
        self._flight.records.append((sequence if is_own else 0, segment.lane, payload))
        size = len(payload) + RECORD_OVERHEAD
        ledger.spooled -= 1
        ledger.in_flight += 1
        ledger.flight_bytes += size
        self._drop_corrupt(owner_files, segment, corrupt)

    def _skip(self, owner_files: OwnerFiles, segment: Segment, corrupt: tuple[bytes, ...]) -> None:
        """Skip the next lines of a segment, because all these lines are corrupt."""
        segment.advance()
        self._drop_corrupt(owner_files, segment, corrupt)
        segment.settle(segment.taken, len(corrupt))
        self._segments.remove_if_settled(owner_files, segment)

    def _drop_corrupt(
        self, owner_files: OwnerFiles, segment: Segment, corrupt: tuple[bytes, ...]
    ) -> None:
        """Count corrupt lines as dropped, and keep their text in the dead-letter file."""
        if not corrupt:
            return
        self._ledger.drop_spooled((CORRUPT, segment.lane), len(corrupt))
        letters = [
            dead_letter_of_line(line, CORRUPT, "no entry") for line in corrupt if line.strip()
        ]
        if letters and any(self._store.keep_dead_letters(owner_files, letters)):
            self._store.note(
                "spool corrupt", f"a corrupt line of {segment.name} is kept in the dead-letter file"
            )
