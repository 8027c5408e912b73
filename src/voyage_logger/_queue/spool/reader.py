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

from voyage_logger._base.levels import CRITICAL, NOTICE_LANE
from voyage_logger._queue.lanes import NEVER, RECORD_OVERHEAD, Record
from voyage_logger._queue.memory import SLICE
from voyage_logger._queue.spool.caretaker import DELETED, TendedQueue
from voyage_logger._queue.spool.folder import SpoolUnusable, is_lasting
from voyage_logger._queue.spool.lines import dead_letter_of_line

if TYPE_CHECKING:
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.segment import Segment

UNREADABLE = "unreadable"
CORRUPT = "corrupt"

_FRESH_TURN = 4  # of so many requests, one carries new entries while older ones wait
_FRESH_TURN_AT_END = 2
_ALL, _URGENT = slice(None), slice(CRITICAL, NOTICE_LANE)  # lanes


class ReadingQueue(TendedQueue):
    """The half of `SpoolQueue` that gives entries to the worker; for the arguments see there."""

    _mark = 0  # own entries with a later number are new; those up to it are part of a backlog
    _turn = 0  # requests since one of new entries, while there is a backlog
    _urgent_turns = 0  # requests in a row that were of new entries for something urgent

    def take(self, max_entries: int, max_bytes: int) -> list[Record]:
        with self.lock:
            if self._in_flight:
                return list(self._flight)
            owner_files, after = self._choose(max_entries, max_bytes)
            self._put_down()
        idle = 0  # rounds in which nothing was read and nothing boarded
        while True:  # in slices, for log calls wait meanwhile
            has_read = self._fetch(owner_files, after)
            with self.lock:
                before = self._in_flight
                limit = min(max_entries, before + SLICE)
                is_at_end = self._board_from(owner_files, limit, max_bytes, after)
                if is_at_end or self._in_flight >= max_entries:
                    break
                idle = 0 if has_read or self._in_flight > before else idle + 1
                if idle > 1:  # in the first one, a piece without an entry may have been passed over
                    self._set_aside(self._heads(owner_files, after))
                    break
        if self._store.has_news:
            self._store.tell()
        with self.lock:
            return list(self._flight)

    # Whose turn it is.

    def _choose(self, max_entries: int, max_bytes: int) -> tuple[OwnerFiles | None, int]:
        """Whose entries are next, and after which number.

        Those of the oldest stream that has any; but now and then, while there is a backlog, new
        ones, in their order. So a new entry waits for three requests at the most, as long as one
        has room for what comes during four; for one at the end, where there may be time for few;
        for none if it is urgent, unless such ones come all the time.
        """
        own = self._store.own
        if not self._turn and not self.is_ending:
            self._mark_backlog(_FRESH_TURN - 1, max_entries, max_bytes)
        backlog = self._backlog()
        if backlog is None:
            self._turn = self._urgent_turns = 0
            return own, 0
        self._turn += 1
        is_due = self._turn >= (_FRESH_TURN_AT_END if self.is_ending else _FRESH_TURN)
        is_urgent = self._urgent_turns < _FRESH_TURN - 1 and self._has_new(_URGENT)
        if (is_due or is_urgent) and self._has_new():
            self._urgent_turns = 0 if is_due else self._urgent_turns + 1
            self._turn = 0
            return own, self._mark
        self._urgent_turns = 0
        if is_due and self.is_ending and own is not None and own.ready:
            self._turn = 0
            return own, 0
        return backlog, 0

    def _backlog(self) -> OwnerFiles | None:
        """The stream whose entries were there before the new ones, if there is any."""
        owner_files = next(
            (owner_files for owner_files in self._store.adopted if owner_files.ready), None
        )
        own = self._store.own
        if owner_files is not None or own is None:
            return owner_files
        has_old = any(segment.ready and segment.last <= self._mark for segment in own.segments())
        return own if has_old else None

    def _has_new(self, lanes: slice = _ALL) -> bool:
        return any(self._lanes[lanes]) or bool(self._new(lanes))

    def _new(self, lanes: slice = _ALL) -> list[Segment]:
        """The segments of new entries."""
        own = self._store.own
        return [
            segment
            for lane in (own.lanes[lanes] if own is not None else ())
            for segment in tuple(lane)
            if segment.ready and segment.last > self._mark
        ]

    def _mark_backlog(self, requests: int, max_entries: int, max_bytes: int) -> None:
        """Makes a backlog of new entries that fill a file, and more than so many requests.

        What comes from now on, after an outage perhaps, has files of its own, and overtakes it.
        Fewer keep their order: they are not worth it.
        """
        new = self._new()
        count = sum(segment.ready for segment in new)
        size = sum(segment.size - segment.taken for segment in new)
        is_more = count > requests * max_entries or size > requests * max_bytes
        if not is_more or all(segment.is_open for segment in new):
            return
        self._mark = self._sequence
        for segment in new:
            self._retire(segment)

    def _put_down(self) -> None:
        """Ends the reading of segments that are not next; else each held a file and memory."""
        next_ones = {*self._heads(self._store.own, self._mark), *self._heads(self._backlog(), 0)}
        for segment in self._being_read - next_ones:
            segment.forget_lines()
        self._being_read &= next_ones

    def _heads(self, owner_files: OwnerFiles | None, after: int) -> list[Segment]:
        """The segments to take from: of each lane the first with an entry after that number."""
        heads = []
        for lane in owner_files.lanes if owner_files is not None else ():
            # Of a copy, made in one call: a handler that logs may change the lane meanwhile.
            segment = next((each for each in tuple(lane) if each.ready and each.last > after), None)
            if segment is not None:
                heads.append(segment)
        return heads

    # What is read, and boards.

    def _fetch(self, owner_files: OwnerFiles | None, after: int) -> bool:
        """Reads on in the segments that are next; the reading itself without the lock.

        Returns:
            Whether there was any to read on in.
        """
        with self.lock:
            heads = self._heads(owner_files, after)
            wanting = [(segment, segment.size) for segment in heads if segment.wants_lines()]
        for segment, end in wanting:
            self._read_on(owner_files, segment, end)
        return bool(wanting)

    def _set_aside(self, segments: list[Segment]) -> None:
        """Leaves alone, until the next look, what counts as waiting and is not there to be had."""
        for segment in segments:
            if segment.peek() is None and not segment.wants_lines():
                segment.is_set_aside = True
                self._store.note_set_aside(segment, OSError(errno.EIO, "its counts are wrong"))
        self._look_soon()

    def _read_on(self, owner_files: OwnerFiles | None, segment: Segment, end: int) -> None:
        self._being_read.add(segment)
        try:
            with self._disk:
                lines, read_to = segment.fetch(self._store.folder, end)
            with self.lock:
                if not segment.keep(lines, read_to) and owner_files is not None:
                    self._recount(owner_files, segment)
        except (OSError, SpoolUnusable) as error:
            self._forsake(owner_files, segment, error)

    def _recount(self, owner_files: OwnerFiles, segment: Segment) -> None:
        """Counts a segment anew that others have changed, and writes nothing more to it."""
        self._retire(segment)
        size, lines = segment.recount(self._store.folder)
        self._store.size += size
        if lines < 0:
            self._drop((CORRUPT, segment.lane), -lines)
        else:
            self._accepted += lines
            self._spooled += lines
        self._store.note(
            "spool changed", f"{segment.name} was changed by others: its lines are counted anew"
        )
        self._discard_if_settled(owner_files, segment)

    def _forsake(
        self, owner_files: OwnerFiles | None, segment: Segment, error: OSError | SpoolUnusable
    ) -> None:
        """Sets a segment aside that cannot be read now; gives it up if it never will be.

        The file stays where it is.
        """
        segment.stop_reading()
        with self.lock:
            if owner_files is None or segment.is_gone or not segment.unread:
                return
            is_removed = isinstance(error, FileNotFoundError)
            if is_removed and segment.is_open:
                self._rescue(owner_files, segment)
                return
            if isinstance(error, OSError) and not is_lasting(error):
                segment.is_set_aside = True
                self._store.note_set_aside(segment, error)
                self._look_soon()
                return
            self._store.note_unreadable(segment.name, error)
            self._retire(segment)
            self._store.size -= segment.size
            reason = DELETED if is_removed else UNREADABLE
            self._drop((reason, segment.lane), segment.cut())
            owner_files.forget(segment, is_left=not is_removed)

    def _board_from(
        self, owner_files: OwnerFiles | None, max_entries: int, max_bytes: int, after: int
    ) -> bool:
        """Moves entries into flight in the order of their calls.

        Returns:
            True if no more can board: there are none, or no room for the next.
        """
        is_own = owner_files is None or owner_files is self._store.own
        if self._in_flight and self._origins[0] is None:
            return self._board_from_memory(max_entries, max_bytes)
        room = max_bytes - (self._flight_bytes - self._in_flight * (RECORD_OVERHEAD - 1))
        while self._in_flight < max_entries:
            heads = self._heads(owner_files, after)
            oldest = min(heads, key=attrgetter("head"), default=None)
            in_memory = self._oldest_in_memory() if is_own else NEVER
            if oldest is None or in_memory < oldest.head:
                # A batch is either from the disk or from memory, for `drop_all` treats them apart.
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
                    self._pass_over(owner_files, oldest, corrupt)
                    break
                room -= len(payload) + 1
                if room < 0 and self._in_flight:
                    return True
                oldest.advance()
                self._flight.append((sequence if is_own else 0, oldest.lane, payload))
                self._origins.append((owner_files, oldest, end, 1 + len(corrupt)))  # type: ignore[arg-type]
                self._spooled -= 1
                self._in_flight += 1
                self._flight_bytes += len(payload) + RECORD_OVERHEAD
                self._leave_out(owner_files, oldest, corrupt)
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
        self, owner_files: OwnerFiles | None, segment: Segment, corrupt: tuple[bytes, ...]
    ) -> None:
        """Skips a piece of a segment in which no line can be read."""
        segment.advance()
        self._leave_out(owner_files, segment, corrupt)
        segment.settle(segment.taken, len(corrupt))
        if owner_files is not None:
            self._discard_if_settled(owner_files, segment)

    def _leave_out(
        self, owner_files: OwnerFiles | None, segment: Segment, corrupt: tuple[bytes, ...]
    ) -> None:
        """Counts lines that are none, and keeps them where a person can find them."""
        if not corrupt:
            return
        self._drop((CORRUPT, segment.lane), len(corrupt))
        letters = [
            dead_letter_of_line(line, CORRUPT, "no entry") for line in corrupt if line.strip()
        ]
        if (
            owner_files is not None
            and letters
            and any(self._store.keep_dead_letters(owner_files, letters))
        ):
            self._store.note(
                "spool corrupt",
                f"a corrupt line of {segment.name} is kept in the dead-letter file",
            )
