"""What the worker reads of a queue on the disk: whose turn it is, what is read, what boards.

It reads on in the segments that are next, and moves entries into flight; memory holds what is in
flight, and a piece of each segment that is being read.

What must stay true: each entry on the disk is in flight once; what cannot be read is given up, set
aside or kept as a dead letter, and told.
"""

from __future__ import annotations

import errno
from operator import attrgetter
from typing import TYPE_CHECKING

from voyage_logger._levels import CRITICAL, NOTICE_LANE
from voyage_logger._queue import SLICE
from voyage_logger._records import NEVER, RECORD_OVERHEAD, Record
from voyage_logger.spool._folder import SpoolUnusable
from voyage_logger.spool._lines import letter_of_line
from voyage_logger.spool._upkeep import TendedQueue

if TYPE_CHECKING:
    from voyage_logger.spool._segment import Segment
    from voyage_logger.spool._stream import Stream

UNREADABLE = "unreadable"
CORRUPT = "corrupt"

# Reasons why a file cannot be read that do not pass by themselves. A bad place on the disk is one;
# too many open files, of this process or of the system, is not.
_LASTING = {
    errno.EACCES,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
}
_FRESH_TURN = 4  # of so many requests, one carries the newest entries while older ones wait
_FRESH_TURN_AT_END = 2
_URGENT = slice(CRITICAL, NOTICE_LANE)  # lanes


class ReadingQueue(TendedQueue):
    """The half of `SpoolQueue` that gives entries to the worker; for the arguments see there."""

    _turn = 0  # how many requests were made while older entries wait

    def take(self, max_entries: int, max_bytes: int) -> list[Record]:
        with self.lock:
            if self._in_flight:
                return list(self._flight)
            stream, is_fresh = self._choose()
        while True:  # in slices, for log calls wait meanwhile
            self._fetch(stream, is_fresh=is_fresh)
            with self.lock:
                before = self._in_flight
                limit = min(max_entries, before + SLICE)
                is_at_end = self._board_from(stream, limit, max_bytes, is_fresh=is_fresh)
                if is_at_end or self._in_flight >= max_entries:
                    break
        if self._keeper.has_news:
            self._keeper.tell()
        with self.lock:
            return list(self._flight)

    def _choose(self) -> tuple[Stream | None, bool]:
        """Whose entries are next, and whether it is the turn of the newest of them.

        The oldest stream that has any; but now and then, while there is a backlog, what is
        written at present. So a new entry waits for three requests at the most; for one at the end,
        where there may be time for few; for none if it is urgent.
        """
        keeper = self._keeper
        backlog = [stream for stream in keeper.adopted if stream.ready]
        own = keeper.own
        is_behind = bool(backlog) or (own is not None and own.sealed_ready > 0)
        if is_behind:
            self._turn += 1
            of_turns = _FRESH_TURN_AT_END if self.is_ending else _FRESH_TURN
            is_fresh = self._turn % of_turns == 0 or (backlog and self._own_has_urgent())
            if is_fresh and self._own_has_fresh():
                return own, True
        return (backlog[0], False) if backlog else (own, False)

    def _own_has_fresh(self) -> bool:
        active = [segment for segment in self._active if segment is not None and segment.ready]
        return bool(active or self._queued)

    def _own_has_urgent(self) -> bool:
        # Not by `is_urgent`: the worker has dealt with that before it takes.
        return any(
            (segment is not None and segment.ready) or waiting
            for segment, waiting in list(zip(self._active, self._lanes, strict=True))[_URGENT]
        )

    def _heads(self, stream: Stream | None, *, is_fresh: bool) -> list[Segment]:
        """The segments to take from: of each lane the oldest, or the one being written."""
        if stream is None:
            return []
        if is_fresh:
            return [segment for segment in self._active if segment is not None and segment.ready]
        heads = []
        for lane in stream.lanes:
            # Of a copy, made in one call: a handler that logs may change the lane meanwhile.
            segment = next((segment for segment in tuple(lane) if segment.ready), None)
            if segment is not None:
                heads.append(segment)
        return heads

    def _fetch(self, stream: Stream | None, *, is_fresh: bool) -> None:
        """Reads on in the segments that are next; the reading itself without the lock."""
        with self.lock:
            heads = self._heads(stream, is_fresh=is_fresh)
            wanting = [(segment, segment.size) for segment in heads if segment.wants_lines()]
        for segment, end in wanting:
            self._read_on(stream, segment, end)

    def _read_on(self, stream: Stream | None, segment: Segment, end: int) -> None:
        try:
            with self._disk:
                lines, read_to = segment.fetch(self._keeper.folder, end)
            with self.lock:
                if not segment.keep(lines, read_to) and stream is not None:
                    self._recount(stream, segment)
        except (OSError, SpoolUnusable) as error:
            self._forsake(stream, segment, error)

    def _recount(self, stream: Stream, segment: Segment) -> None:
        """Counts a segment anew that others have changed, and writes nothing more to it."""
        if self._active[segment.lane] is segment:
            self._active[segment.lane] = None
            segment.seal()
        size, lines = segment.recount(self._keeper.folder)
        self._keeper.size += size
        if lines < 0:
            self._drop((CORRUPT, segment.lane), -lines)
        else:
            self._accepted += lines
            self._spooled += lines
        self._keeper.note(
            "spool changed", f"{segment.name} was changed by others: its lines are counted anew"
        )
        self._discard_if_settled(stream, segment)

    def _forsake(
        self, stream: Stream | None, segment: Segment, error: OSError | SpoolUnusable
    ) -> None:
        """Sets a segment aside that cannot be read now; gives it up if it never will be.

        The file stays where it is.
        """
        segment.stop_reading()
        with self.lock:
            if stream is None or segment.is_gone or not segment.unread:
                return
            is_removed = isinstance(error, FileNotFoundError)
            if is_removed and segment.is_open:
                self._rescue(stream, segment)
                return
            if isinstance(error, OSError) and error.errno not in _LASTING:
                segment.is_set_aside = True
                self._keeper.note_set_aside(segment, error)
                self._look_soon()
                return
            self._keeper.note_unreadable(segment, error)
            if self._active[segment.lane] is segment:
                self._active[segment.lane] = None
            self._keeper.size -= segment.size
            self._drop((UNREADABLE, segment.lane), segment.cut())
            stream.forget(segment, is_left=not is_removed)

    def _board_from(
        self, stream: Stream | None, max_entries: int, max_bytes: int, *, is_fresh: bool
    ) -> bool:
        """Moves entries into flight in the order of their calls.

        Returns:
            True if no more can board: there are none, or no room for the next.
        """
        is_own = stream is None or stream is self._keeper.own
        if self._in_flight and self._origins[0] is None:
            return self._board_from_memory(max_entries, max_bytes)
        room = max_bytes - (self._flight_bytes - self._in_flight * (RECORD_OVERHEAD - 1))
        while self._in_flight < max_entries:
            heads = self._heads(stream, is_fresh=is_fresh)
            oldest = min(heads, key=attrgetter("head"), default=None)
            in_memory = self._oldest_in_memory() if is_own else NEVER
            if oldest is None or in_memory < oldest.head:
                # A batch is either from the disk or from memory, for `abandon` treats them apart.
                return bool(self._in_flight) or self._board_from_memory(max_entries, max_bytes)
            following = min((s.head for s in heads if s is not oldest), default=NEVER)
            following = min(following, in_memory)
            while self._in_flight < max_entries and oldest.head <= following:
                line = oldest.peek()
                if line is None:
                    return False  # to be fetched first
                sequence, payload, end, corrupt = line
                if payload is None:
                    if oldest.taken != oldest.sent:
                        return True  # not before what is in flight is settled
                    self._pass_over(stream, oldest, corrupt)
                    break
                room -= len(payload) + 1
                if room < 0 and self._in_flight:
                    return True
                oldest.advance()
                self._flight.append((sequence if is_own else 0, oldest.lane, payload))
                self._origins.append((stream, oldest, end, 1 + len(corrupt)))  # type: ignore[arg-type]
                self._spooled -= 1
                self._in_flight += 1
                self._flight_bytes += len(payload) + RECORD_OVERHEAD
                self._leave_out(stream, oldest, corrupt)
                if not oldest.unread:
                    break
        return False

    def _board_from_memory(self, max_entries: int, max_bytes: int) -> bool:
        """The same for entries that the disk did not take."""
        before = self._in_flight
        self._board(max_entries, max_bytes)
        self._origins.extend([None] * (self._in_flight - before))
        return True

    def _pass_over(
        self, stream: Stream | None, segment: Segment, corrupt: tuple[bytes, ...]
    ) -> None:
        """Skips a piece of a segment in which no line can be read."""
        segment.advance()
        self._leave_out(stream, segment, corrupt)
        segment.settle(segment.taken, len(corrupt))
        if stream is not None:
            self._discard_if_settled(stream, segment)

    def _leave_out(
        self, stream: Stream | None, segment: Segment, corrupt: tuple[bytes, ...]
    ) -> None:
        """Counts lines that are none, and keeps them where a person can find them."""
        if not corrupt:
            return
        self._drop((CORRUPT, segment.lane), len(corrupt))
        letters = [letter_of_line(line, CORRUPT, "no entry") for line in corrupt if line.strip()]
        if stream is not None and letters and any(self._keeper.bury(stream, letters)):
            self._keeper.note(
                "spool corrupt",
                f"what is no entry in {segment.name} is kept in the dead-letter file",
            )
