"""The care of a queue on the disk, from time to time, by the worker.

It moves what had to stay in memory to the disk once that works again, takes over what dead
processes have left, saves what can be saved when somebody removes files, and lets entries expire.

What must stay true: no entry is in two places; whatever the disk does, nothing here raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._queue.lanes import RECORD_OVERHEAD, head
from voyage_logger._queue.spool.folder import SpoolUnusable
from voyage_logger._queue.spool.lines import line_of
from voyage_logger._queue.spool.writer import FULL, WritingQueue

if TYPE_CHECKING:
    from collections import deque

    from voyage_logger._queue.lanes import Record
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.segment import Segment

EXPIRED = "expired"
DELETED = "spool_deleted"

_REMOVED = "files in use were removed"
_GONE = "the folder was removed, or moved away"


class TendedQueue(WritingQueue):
    """The half of `SpoolQueue` that looks after the folder; for the arguments see there.

    Attributes:
        looks: How many looks at the folder have come to their end.
    """

    looks = 0

    def maintain(self) -> None:
        if self._clock() < self._maintain_at:
            return
        with self._looking:
            self._look()

    def _look(self) -> None:
        with self._disk, self.lock:
            self._maintain_at = self._clock() + self.maintenance_interval
            if self._is_shut:
                return
            self._notice_removal()
            self._expire()
            self._try_again()
            if self._store.is_failing:
                self._move_to_disk()
            for owner_files in self._store.all_owners():
                owner_files.catch_up()
                self._store.finish(owner_files)  # of which nothing was sent, but all given up
            self._max_spooled = self._store.bound
        for owner_files in self._store.take_over_dead():
            if not self._take_over(owner_files):
                break
        self.looks += 1
        if self._store.has_news:
            self._store.tell()

    def _move_to_disk(self) -> None:
        """Moves the entries in memory to the disk, in their order, if it works again."""
        store = self._store
        if self._is_shut or not store.is_failing:
            return
        store.is_failing = False
        while not store.is_failing and (lane := self._oldest_lane()) is not None:
            sequence, number, payload = lane[0]
            line = line_of(sequence, payload)
            segment = self._segment_for(number, len(line))
            if segment is not None:
                before = segment.size
                try:
                    segment.write(line, sequence, self._clock())
                except OSError as error:
                    # Unless a handler has logged since, and had it given up.
                    if segment.size >= before + len(line):
                        self._take_back(segment, len(line), before)
                        self._fail(error)
                        return
                self._spooled += 1
                store.size += len(line)
            elif self._is_outranked(len(line)):
                self._dropped[FULL, number] += 1
                self.settled.notify_all()
            else:
                store.is_failing = True  # what is in flight takes all the room
                return
            lane.popleft()
            self._queued -= 1
            self._queued_bytes -= len(payload) + RECORD_OVERHEAD
        if not store.is_failing and self._can_open():
            self._recover()

    def _can_open(self) -> bool:
        try:
            self._store.open_own()
        except (OSError, SpoolUnusable) as error:
            self._fail(error)
            return False
        return True

    def _oldest_lane(self) -> deque[Record] | None:
        return min((lane for lane in self._lanes if lane), key=head, default=None)

    def _notice_removal(self) -> None:
        """Saves what can be saved if somebody has removed files that are in use."""
        store = self._store
        is_removed = store.is_removed()
        for owner_files in store.all_owners():
            for segment in list(owner_files.segments()):
                # One rescue may have brought others with it: see `_save_removed`.
                if not segment.is_gone and (is_removed or not segment.is_linked()):
                    self._rescue(owner_files, segment, _GONE if is_removed else _REMOVED)
                elif segment.is_open and not segment.is_ours():
                    # The number is, or will be, another file's. What went into that one will be
                    # missing in this one, and counts when it is read.
                    self._retire(segment)
                    self._discard_if_settled(owner_files, segment)
        if is_removed:
            self.release()
            self._fail(SpoolUnusable(_GONE))
        else:
            store.relock()

    def _save_removed(self) -> None:
        own = self._store.own
        if own is None:
            return
        # All of them now: whoever calls this ends the writing to those that are left.
        is_removed = self._store.is_removed()
        for segment in list(own.segments()):
            if segment.is_open and (is_removed or not segment.is_linked()):
                self._rescue(own, segment, _GONE if is_removed else _REMOVED)

    def _rescue(self, owner_files: OwnerFiles, segment: Segment, why: str = _REMOVED) -> None:
        """Takes what can still be read of a removed file into memory."""
        rescued = segment.read_untaken()
        size = segment.size
        lost = segment.cut() - len(rescued)
        self._retire(segment)
        self._store.size -= size
        owner_files.forget(segment)
        self._remember(segment.lane, rescued)
        self._drop((DELETED, segment.lane), lost)
        self._store.note("spool removed", why)
        self._fail(SpoolUnusable(why))

    def _expire(self) -> None:
        """Gives up segments to which nothing was written for too long."""
        max_age = self._store.settings.max_age
        if max_age is None:
            return
        oldest = self._clock() - max_age
        for owner_files in self._store.all_owners():
            for segment in list(owner_files.segments()):
                if segment.unread and segment.written_at < oldest:
                    self._give_up(owner_files, segment, EXPIRED)

    def _try_again(self) -> None:
        """Has those segments read that could not be read before."""
        for owner_files in self._store.all_owners():
            for segment in owner_files.segments():
                segment.is_set_aside = False
        if not self._store.is_failing:
            self.maintenance_interval = self._look_seconds

    def _take_over(self, owner_files: OwnerFiles) -> bool:
        """Counts what a dead owner has left; False if nothing more is sent from here."""
        with self.lock:
            if self._is_shut:
                owner_files.close()
                return False
            count = owner_files.unread
            self._store.adopt(owner_files)
            self._max_spooled = self._store.bound
            self._accepted += count
            self._adopted += count
            self._spooled += count
            self._expire()  # before any of it is taken
            self.changed.notify()
            return True
