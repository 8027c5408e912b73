"""What log calls meet of a queue on the disk: it writes, makes room, and counts.

An entry is appended to a segment of its lane before the call returns. While the disk fails, entries
stay in the memory of the queue below, under its bounds: so a log call meets a broken disk once.

What must stay true, beside the promises of `MemoryQueue`: what is on the disk is given up only for
want of room or for its age, lowest level first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from voyage_logger._base.clock import real_clock
from voyage_logger._base.frozen import replace
from voyage_logger._base.levels import CRITICAL, LANES
from voyage_logger._queue.lanes import NEVER, head, size_of
from voyage_logger._queue.memory import MemoryQueue
from voyage_logger._queue.spool.folder import SpoolUnusable
from voyage_logger._queue.spool.lines import line_of, lines_in
from voyage_logger._queue.spool.segment import Segment
from voyage_logger._queue.spool.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.stats import Stats
    from voyage_logger._queue.lanes import Loss, Record
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.settings import SpoolSettings

FULL = "spool_full"

_LOOK_SECONDS = 30.0  # between two looks at the folder
_FAILING_SECONDS = 1.0  # the same, while the disk fails

# Where a record in flight comes from: the stream, its segment, where the line ends, how many lines.
Origin = tuple["OwnerFiles", Segment, int, int]


class WritingQueue(MemoryQueue):
    """The half of `SpoolQueue` that log calls meet; for the arguments see there."""

    is_durable = True
    maintenance_interval: float

    def __init__(
        self,
        max_entries: int,
        max_bytes: int,
        spool: SpoolSettings,
        diagnostics: Diagnostics,
        clock: Callable[[], float] = real_clock(),  # noqa: B008 - see `_clock`
    ) -> None:
        super().__init__(max_entries, max_bytes)
        self._clock = clock
        self._max_spooled = spool.max_bytes
        self.place = str(spool.path)
        self._look_seconds = self.maintenance_interval = _LOOK_SECONDS
        # Held by the worker while it reads or writes without `lock`, and by who closes files: else
        # a descriptor could be another file's by the time it is used. Taken before `lock`.
        self._disk = threading.RLock()
        # One look at the folder at a time: two would share its cursor, and miss or repeat names.
        self._looking = threading.RLock()
        # All below is guarded by the lock.
        self._store = Store(spool, diagnostics)
        self._spooled = 0  # entries on the disk that are not taken
        self._adopted = 0  # entries that were taken over, so far
        self._left = 0  # own entries in files that were let go
        self._origins: deque[Origin | None] = deque()  # of the flight; None for one from memory
        self._active: list[Segment | None] = [None] * len(LANES)
        self._being_read: set[Segment] = set()  # the worker's
        self._is_shut = False
        self._maintain_at = clock()

    def append(self, payload: bytes | bytearray, lane: int) -> int:
        store = self._store
        with self.lock:
            line = line_of(self._sequence + 1, payload)
            size = len(line)
            segment = self._active[lane]
            if (
                segment is None
                or segment.size + size > store.segment_bytes
                or store.size + size > self._max_spooled
            ):
                segment = self._segment_for(lane, size)
            if segment is None and self._is_outranked(size):
                self._sequence = sequence = self._sequence + 1
                self.drop_new(lane, FULL)
            elif segment is None or not self._write(segment, line):
                sequence = super().append(payload, lane)
            else:
                sequence = self._sequence
                if lane >= CRITICAL or len(self) >= self.wake_at:
                    self._wake(lane)
        if store.has_news:
            store.tell()
        return sequence

    def maintain_every(self, seconds: float) -> None:
        with self.lock:
            self._look_seconds = self.maintenance_interval = seconds

    def amend(self, lane: int, sequence: int, payload: bytearray, amended: bytes) -> bool:
        """Never: a line on the disk stays as it is, and what is in memory may come from there."""
        del lane, sequence, payload, amended
        return False

    # How much waits.

    def __len__(self) -> int:
        return self._queued + self._spooled

    def fill(self) -> float:
        """How much waits, as a share of what would fill the memory: there is no hurry before."""
        with self.lock:
            waiting = sum(
                segment.size - segment.taken
                for owner_files in self._store.all_owners()
                for segment in owner_files.segments()
            )
            by_entries = len(self) / (self._max_entries or 1)
            return max(by_entries, (waiting + self._queued_bytes) / self._max_bytes)

    def _snapshot(self) -> Stats:
        stats = super()._snapshot()
        spooled = self._spooled + sum(origin is not None for origin in self._origins)
        return replace(
            stats,
            pending=stats.pending + self._spooled,
            spooled=spooled,
            adopted=self._adopted,
        )

    def oldest(self) -> int:
        """As the worker needs it: 0 if anything adopted is pending; without what is set aside."""
        with self.lock:
            if any(owner_files.ready for owner_files in self._store.adopted):
                return 0
            flight = head(self._flight)
            own = self._store.own
            ready = NEVER if own is None else own.ready_head()
            return min(flight, ready, self._oldest_in_memory())

    def is_pending(self, sequence: int) -> bool:
        """True if an entry of this process up to that number is still pending."""
        with self.lock:
            flight = min((number for number, *_ in self._flight if number), default=NEVER)
            own = self._store.own
            unread = NEVER if own is None else own.head()
            return min(flight, unread, self._oldest_in_memory()) <= sequence

    def pending_until(self, sequence: int) -> int:
        count = super().pending_until(sequence)
        with self.lock:
            count += self._left
            count -= sum(not number for number, *_ in self._flight)
            own = self._store.own
            segments = list(own.segments()) if own is not None else []
            count += sum(segment.unread for segment in segments if segment.last <= sequence)
            partly = [
                (segment, segment.taken, segment.size)
                for segment in segments
                if segment.unread and segment.head <= sequence < segment.last
            ]
        return count + sum(
            segment.count_until(self._store.folder, sequence, begin, end)
            for segment, begin, end in partly
        )

    def _oldest_in_memory(self) -> int:
        return min(map(head, self._lanes))

    # Writing.

    def _write(self, segment: Segment, line: bytes) -> bool:
        """Appends a line and counts it; False if the disk fails."""
        size, now, write = len(line), self._clock(), os.write
        is_sealed = False
        # Counted first, without a call and (for CPython 3.10) a jump: where it lets a handler in,
        # right after the write, all is done, and before that nothing. So these are the statements
        # of `Segment.write`, once more, and not a call of it.
        before, first = segment.size, segment.head
        self._sequence = sequence = self._sequence + 1
        self._accepted += 1
        self._spooled += 1
        self._store.size += size
        segment.size = before + size
        segment.entries += 1
        segment.head = (first, sequence)[first == NEVER]
        segment.last = sequence
        segment.written_at = now
        try:
            if write(segment.descriptor, line) == size:  # type: ignore[arg-type]
                return True
            error = OSError(errno.ENOSPC, "the disk is full")
        except OSError as failure:
            error = failure
        except TypeError:  # no descriptor: sealed by what a handler has logged since it was chosen
            is_sealed, error = True, OSError()
        if segment.size < before + size:  # a handler has logged since, and had it given up
            return True
        self._accepted -= 1  # the number stays used: a nested call may have a later one
        self._spooled -= 1
        self._store.size -= size
        self._take_back(segment, size, before)
        if not is_sealed:
            self._fail(error)
        return False

    def _take_back(self, segment: Segment, size: int, before: int) -> None:
        """Undoes a write of so many bytes to a segment that had so many before."""
        was_ended = not segment.is_open
        if was_ended and not segment.is_gone:  # by what a handler has logged since
            with contextlib.suppress(OSError, SpoolUnusable):
                segment.reopen(self._store.folder.open(segment.name))
        lost = segment.take_back(size, before)
        if was_ended:
            segment.seal()
        self._store.size -= len(lost)
        lines, _ = lines_in(lost, 0, needs_check=False)
        entries = [(sequence, payload) for sequence, payload, *_ in lines if payload is not None]
        self._remember(segment.lane, entries)

    def _remember(self, lane: int, entries: list[tuple[int, bytes]]) -> None:
        """Takes entries of the disk, which lose their place there, into memory."""
        records: list[Record] = [(sequence, lane, payload) for sequence, payload in entries]
        self._lanes[lane].extendleft(reversed(records))
        self._spooled -= len(records)
        self._queued += len(records)
        self._queued_bytes += size_of(records)
        self._shed()

    def _segment_for(self, lane: int, size: int) -> Segment | None:
        """A segment of the lane with room for a line; None if the entry has to stay in memory."""
        store = self._store
        if self._is_shut or store.is_failing:
            return None
        try:
            owner_files = store.open_own()
            self._seal_full(owner_files, lane, size)
            self._shed_spooled(lane, size)
            if store.size + size > self._max_spooled:
                return None
            if self._active[lane] is None:
                self._active[lane] = owner_files.open_segment(lane)
        except (OSError, SpoolUnusable) as error:
            self._fail(error)
        return self._active[lane]

    def _seal_full(self, owner_files: OwnerFiles, lane: int, size: int) -> None:
        segment = self._active[lane]
        if segment is not None and segment.size + size > self._store.segment_bytes:
            self._retire(segment)
            self._discard_if_settled(owner_files, segment)

    def _retire(self, segment: Segment) -> None:
        """Has log calls write to another segment."""
        if self._active[segment.lane] is segment:
            self._active[segment.lane] = None
        segment.seal()

    def _fail(self, error: OSError | SpoolUnusable) -> None:
        """Turns to memory until `maintain` finds the disk working."""
        self._store.fail(error)
        self._save_removed()  # the open descriptors are the last way to what was removed
        self._seal_all()
        self._look_soon()

    def _look_soon(self) -> None:
        """Has the worker look at the folder sooner than it meant to."""
        self.maintenance_interval = min(_FAILING_SECONDS, self._look_seconds)
        self._maintain_at = self._clock() + self.maintenance_interval
        self.changed.notify()

    def _recover(self) -> None:
        """Turns to the disk again."""
        self._store.recover()
        self.maintenance_interval = self._look_seconds

    def _save_removed(self) -> None:
        """Saves what files hold that somebody has removed: see `TendedQueue`."""

    def _seal_all(self) -> None:
        for segment in filter(None, list(self._active)):
            self._retire(segment)
            if self._store.own is not None:
                self._discard_if_settled(self._store.own, segment)

    # Making room.

    def _is_outranked(self, size: int) -> bool:
        """True if a line that has no place is the first to go: all that waits is worth more."""
        store = self._store
        is_full = store.size + size > self._max_spooled
        is_in_use = not store.is_failing and not self._is_shut
        return (
            is_full and is_in_use and any(owner_files.unread for owner_files in store.all_owners())
        )

    def _shed_spooled(self, lane: int, size: int) -> None:
        """Gives up the lowest level on the disk, oldest first, until a line of a lane has room."""
        if self._store.size + size > self._max_spooled:
            self._discard_settled()
        for lower in range(lane + 1):
            for owner_files in self._store.all_owners():
                for segment in list(owner_files.lanes[lower]):
                    if self._store.size + size <= self._max_spooled:
                        return
                    self._give_up(owner_files, segment, FULL)

    def _discard_settled(self) -> None:
        """Removes what is delivered of the segments being written: that costs nothing."""
        for lane, segment in enumerate(self._active):
            if segment is not None and segment.is_settled and self._store.own is not None:
                self._active[lane] = None
                self._discard_if_settled(self._store.own, segment)

    def _give_up(self, owner_files: OwnerFiles, segment: Segment, reason: str) -> None:
        """Drops what is not taken of a segment, and the file if nothing of it is in flight."""
        self._retire(segment)
        loss = (reason, segment.lane)
        self._dropped[loss] += 0  # a look for a key takes stack, of which this may be the end
        # Without a call or a jump (see `_queue`): a handler that logs may give up the same segment.
        count, freed = segment.entries - segment.taken_entries, segment.size - segment.taken
        segment.size, segment.entries = segment.taken, segment.taken_entries
        self._store.size -= freed
        self._spooled -= count
        self._dropped[loss] += count
        segment.cut()
        self.settled.notify_all()
        if not self._discard_if_settled(owner_files, segment):
            owner_files.shorten(segment)

    def _drop(self, loss: Loss, count: int) -> None:
        """Counts entries on the disk that will not be sent."""
        self._dropped[loss] += 0  # see `_give_up`
        self._spooled -= count
        if count:
            self._dropped[loss] += count
            self.settled.notify_all()

    def _discard_if_settled(self, owner_files: OwnerFiles, segment: Segment) -> bool:
        """Removes a segment that nothing is left of and nothing is written to."""
        if segment.is_gone:
            return True
        if not segment.is_settled or self._active[segment.lane] is segment:
            return False
        # Once, though a handler that logs may have come here for it since the look above.
        is_first = not segment.is_gone
        segment.is_gone = True
        self._store.size -= segment.size * is_first
        if is_first:
            owner_files.remove(segment)
        return True
