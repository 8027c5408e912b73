"""A queue whose entries are on the disk before the log call returns.

What log calls do stands in `_writing`, the care of the folder in `_upkeep`. Here is what the worker
does: it takes entries by reading on in the segments, and notes on the disk what is settled. Memory
holds what is in flight and no more.

What must stay true: each entry on the disk is in flight once; what is left at the end stays there.
"""

from __future__ import annotations

import errno
from collections import deque
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

from voyage_logger._levels import CRITICAL, NOTICE_LANE
from voyage_logger._queue import SLICE
from voyage_logger._records import NEVER, RECORD_OVERHEAD, Record
from voyage_logger.spool._folder import SpoolUnusable
from voyage_logger.spool._lines import letter_of, letter_of_line
from voyage_logger.spool._upkeep import TendedQueue

if TYPE_CHECKING:
    from voyage_logger.spool._segment import Segment
    from voyage_logger.spool._stream import Stream
    from voyage_logger.spool._writing import Origin

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
_DISK_SECONDS = 1.0  # how long the end waits for the worker's present read or write


class SpoolQueue(TendedQueue):
    """An `EntryQueue` that a killed process does not lose.

    Args:
        max_entries: How many entries may wait in memory while the disk fails.
        max_bytes: How much memory they may take.
        spool: Where and how to keep entries.
        diagnostics: Where trouble with the disk is told.
        clock: The monotonic clock, seconds.

    Thread-safe, and re-entrant, as `EntryQueue` is.
    """

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

    def settle(self, count: int, *, rejected: str = "", dropped: str = "", words: str = "") -> None:
        super().settle(count, rejected=rejected, dropped=dropped, words=words)
        if self._keeper.has_news:
            self._keeper.tell()

    def _settle(self, count: int, rejected: str, dropped: str, words: str) -> None:
        # With its note on the disk, all in one: a thread that waited for it may close the files, or
        # the process be killed, once nothing is pending, and nothing may then come twice.
        before = self._in_flight
        if rejected:
            ended = list(zip(islice(self._flight, count), self._origins))  # noqa: B905
            self._bury(ended, rejected, words)
        super()._settle(count, rejected, dropped, words)
        touched: dict[Segment, Stream] = {}
        # Those that `abandon` drops from memory have no origin.
        for _ in range(min(before - self._in_flight, len(self._origins))):
            origin = self._origins.popleft()
            if origin is not None:
                stream, segment, end, lines = origin
                segment.settle(end, lines)
                touched[segment] = stream
        for stream in dict.fromkeys(touched.values()):
            self._keeper.note_sent(stream, [s for s, of in touched.items() if of is stream])
        for segment, stream in touched.items():
            if self._discard_if_settled(stream, segment) or not segment.unread:
                segment.stop_reading()
            if stream is not self._keeper.own:
                self._keeper.finish(stream)

    def _bury(self, ended: list[tuple[Record, Origin | None]], reason: str, words: str) -> None:
        """Keeps rejected entries where a person can find them."""
        letters: dict[Stream, list[bytes]] = {}
        lanes: dict[Stream, list[int]] = {}
        for (_, lane, payload), origin in ended:
            stream = self._keeper.own if origin is None else origin[0]
            if stream is not None:
                letter = letter_of(payload, reason, words)
                letters.setdefault(stream, []).append(letter)
                lanes.setdefault(stream, []).append(lane)
        for stream, of_stream in letters.items():
            are_kept = self._keeper.bury(stream, of_stream)
            self.kept += sum(
                is_kept and lane != NOTICE_LANE
                for is_kept, lane in zip(are_kept, lanes[stream], strict=True)
            )

    # The end.

    def abandon(self, reason: str) -> int:
        """Drops what is in memory and finds no place on the disk; what is there, stays there."""
        with self.lock:
            if self._in_flight and self._origins[0] is None:
                self._return_to_memory()
            self._move_to_disk()
            from_disk, self._in_flight = self._in_flight, 0
            flight, self._flight = self._flight, deque()
            origins, self._origins = self._origins, deque()
            size, self._flight_bytes = self._flight_bytes, 0
            count = super().abandon(reason)
            self._flight, self._origins = flight, origins
            self._in_flight, self._flight_bytes = from_disk, size
            return count

    def _return_to_memory(self) -> None:
        """Puts a flight that came from memory back to where it was."""
        for record in reversed(self._flight):
            self._lanes[record[1]].appendleft(record)
        self._queued += self._in_flight
        self._queued_bytes += self._flight_bytes
        self._in_flight = self._flight_bytes = 0
        self._flight.clear()
        self._origins.clear()

    def close(self, reason: str) -> None:
        with self.lock:
            super().close(reason)
            self._is_shut = True
        self.let_go()

    def let_go(self) -> None:
        is_ours = self._disk.acquire(timeout=_DISK_SECONDS)
        try:
            with self.lock:
                self._seal_all()
                if is_ours:  # else the worker is stuck in the disk, and the files stay open
                    own = self._keeper.own
                    self._left += own.unread if own is not None else 0
                    self._keeper.let_go()
        finally:
            if is_ours:
                self._disk.release()

    def disown(self) -> None:
        self._keeper.disown()
