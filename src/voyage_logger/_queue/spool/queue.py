"""The queue on the disk writes each entry to a file before the log call returns.

What must stay true: when entries are settled, the `sent` file is written before another thread can
see the new counts. When the logger closes, unsent entries stay on the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._base.clock import real_clock
from voyage_logger._base.levels import NOTICE_LANE
from voyage_logger._queue.contract import Queue
from voyage_logger._queue.lanes import LAST, NEVER, head
from voyage_logger._queue.memory import MemoryQueue
from voyage_logger._queue.spool.caretaker import Caretaker
from voyage_logger._queue.spool.disk_failure import DiskFailure
from voyage_logger._queue.spool.lines import dead_letter_of
from voyage_logger._queue.spool.reader import Reader
from voyage_logger._queue.spool.segments import Segments
from voyage_logger._queue.spool.store import Store
from voyage_logger._queue.spool.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.stats import Stats
    from voyage_logger._queue.lanes import Record
    from voyage_logger._queue.spool.segment import Segment
    from voyage_logger._queue.spool.settings import SpoolSettings

_DISK_SECONDS = 1.0  # `release` waits at most this many seconds for `disk_lock`.


class SpoolQueue(Queue):
    """A queue on the disk. The next process can send the entries that this process has not sent.

    Args:
        max_entries: The largest number of entries that can wait in memory while the disk fails.
        max_bytes: The largest total size of the entries that wait in memory, in bytes.
        spool: The spool folder, its limits, and the destination of its entries.
        diagnostics: The `Diagnostics` object that reports problems with the disk to the user.
        clock: A function that returns the monotonic time in seconds.

    Attributes:
        looks: How many times the spool folder was checked.
    """

    is_durable = True

    def __init__(
        self,
        max_entries: int,
        max_bytes: int,
        spool: SpoolSettings,
        diagnostics: Diagnostics,
        clock: Callable[[], float] = real_clock(),  # noqa: B008 - see `_base/clock.py`
    ) -> None:
        self._memory = memory = MemoryQueue(max_entries, max_bytes)
        super().__init__(memory.ledger, memory.flight)
        self.place = str(spool.path)
        self._store = Store(spool, diagnostics)
        self._segments = segments = Segments(memory, self._store, clock)
        self._failure = failure = DiskFailure(segments)
        self._writer = Writer(segments, failure)
        self._reader = Reader(segments, failure)
        self._caretaker = Caretaker(segments, failure, self._writer)

    def append(self, payload: bytes | bytearray, lane: int) -> int:
        store = self._store
        with self.lock:
            sequence = self._writer.append(payload, lane)
        if store.has_news:
            store.tell()
        return sequence

    def take(self, max_entries: int, max_bytes: int) -> list[Record]:
        return self._reader.take(max_entries, max_bytes, is_ending=self.is_ending)

    @property
    def maintenance_interval(self) -> float:
        return self._failure.interval

    def maintain(self) -> None:
        self._caretaker.maintain()

    def maintain_every(self, seconds: float) -> None:
        """Set the usual time between two checks of the folder, in seconds."""
        with self.lock:
            self._failure.interval = self._failure.usual_interval = seconds

    @property
    def looks(self) -> int:
        return self._caretaker.looks

    def fill(self) -> float:
        """Return how full the queue in memory would be if all waiting entries were in memory."""
        with self.lock:
            size = self.ledger.queued_bytes + sum(
                segment.size - segment.taken
                for owner_files in self._store.all_owners()
                for segment in owner_files.segments()
            )
            return self._memory.fill_with(len(self), size)

    def stats(self) -> Stats:
        return self.ledger.stats(self._reader.origins)

    def oldest(self) -> int:
        """See `Queue.oldest`. This method ignores all segments that are set aside."""
        with self.lock:
            if any(owner_files.ready for owner_files in self._store.adopted):
                return 0
            own = self._store.own
            ready = NEVER if own is None else own.ready_head()
            return min(head(self.flight.records), ready, self._memory.oldest_queued())

    def is_pending(self, sequence: int) -> bool:
        with self.lock:
            numbers = (number for number, *_ in self.flight.records if number)
            own = self._store.own
            unread = NEVER if own is None else own.head()
            oldest = min(min(numbers, default=NEVER), unread, self._memory.oldest_queued())
            return oldest <= sequence

    def pending_until(self, sequence: int) -> int:
        count = self._memory.pending_until(sequence)
        with self.lock:
            count += self._segments.left
            count -= sum(not number for number, *_ in self.flight.records)
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

    def settle(self, count: int, *, rejected: str = "", dropped: str = "", words: str = "") -> None:
        super().settle(count, rejected=rejected, dropped=dropped, words=words)
        if self._store.has_news:
            self._store.tell()

    def _settle(self, count: int, rejected: str, dropped: str, words: str) -> None:
        """Settle entries. Record the settled entries on the disk before the lock is released.

        When no entry is pending, another thread can close the files or end the process. Without the
        record on the disk, the next process would then send the settled entries again.
        """
        origins, before = self._reader.origins, self.ledger.in_flight
        if rejected:
            self._keep(self.flight.records[:count], rejected, words)
        self.flight.settle(count, rejected, dropped)
        touched: list[Segment] = []
        for _ in range(min(before - self.ledger.in_flight, len(origins))):
            owner_files, segment, end, lines = origins.popleft()
            segment.settle(end, lines)
            touched.append(segment)
        if not touched:
            return
        segments = dict.fromkeys(touched)
        self._store.note_sent(owner_files, segments)
        for segment in segments:
            if self._segments.remove_if_settled(owner_files, segment) or not segment.unread:
                segment.stop_reading()
        if self._store.finish(owner_files) and self._caretaker.is_search_due:
            # Check the folder immediately: another dead owner's files may have enough room now.
            self._failure.look_at = self._segments.clock()

    def _keep(self, records: list[Record], reason: str, words: str) -> None:
        """Write rejected entries to the dead-letter file of their owner."""
        origins = self._reader.origins
        owner_files = origins[0][0] if origins else self._store.own
        if owner_files is not None:
            letters = [dead_letter_of(payload, reason, words) for *_, payload in records]
            are_kept = self._store.keep_dead_letters(owner_files, letters)
            self.kept += sum(
                is_kept and lane != NOTICE_LANE
                for is_kept, (_, lane, _) in zip(are_kept, records, strict=True)
            )

    def drop_all(self, reason: str) -> int:
        with self.lock:
            self._move_to_disk()
            return self._memory.drop_queued(reason)

    def _move_to_disk(self) -> None:
        """At the end, try to move all entries that are not on the disk to the disk."""
        self._caretaker.save_removed()
        self._reader.forget_removed()
        if not self._reader.origins:
            self._memory.return_flight()
        self._writer.move_to_disk()

    def close(self, reason: str) -> None:
        with self.lock:
            self.drop_all(reason)
            self._memory.drop_later(reason)
            self._segments.is_closed = True
        self.release()

    def release(self) -> None:
        if self.is_ending and not self._segments.is_closed and self.is_pending(LAST):
            return  # Keep the files open, because exit hooks can still call the logger.
        disk_lock = self._segments.disk_lock
        is_ours = disk_lock.acquire(timeout=_DISK_SECONDS)
        try:
            with self.lock:
                if self.is_ending and is_ours:
                    self._move_to_disk()  # Adopted entries might be in flight.
                self._segments.seal_all()
                if is_ours:  # If `disk_lock` is not free, the worker still uses the files.
                    self._segments.release()
        finally:
            if is_ours:
                disk_lock.release()

    def release_in_child(self) -> None:
        self._store.release_in_child()
