"""A queue whose entries are on the disk before the log call returns.

What log calls do stands in `_writing`, the care of the folder in `_upkeep`, how the worker takes
entries in `_reading`. Here is how they end: noted on the disk as settled, buried, or left there.

What must stay true: what is settled is noted before anybody can see it; what is left stays there.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from voyage_logger._base.levels import NOTICE_LANE
from voyage_logger._queue.lanes import LAST
from voyage_logger._queue.spool.lines import dead_letter_of
from voyage_logger._queue.spool.reader import ReadingQueue

if TYPE_CHECKING:
    from voyage_logger._queue.lanes import Record
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.segment import Segment
    from voyage_logger._queue.spool.writer import Origin

_DISK_SECONDS = 1.0  # how long the end waits for the worker's present read or write


class SpoolQueue(ReadingQueue):
    """An `MemoryQueue` that a killed process does not lose.

    Args:
        max_entries: How many entries may wait in memory while the disk fails.
        max_bytes: How much memory they may take.
        spool: Where and how to keep entries.
        diagnostics: Where trouble with the disk is told.
        clock: The monotonic clock, seconds.

    Thread-safe, and re-entrant, as `MemoryQueue` is.
    """

    def settle(self, count: int, *, rejected: str = "", dropped: str = "", words: str = "") -> None:
        super().settle(count, rejected=rejected, dropped=dropped, words=words)
        if self._store.has_news:
            self._store.tell()

    def _settle(self, count: int, rejected: str, dropped: str, words: str) -> None:
        # With its note on the disk, all in one: a thread that waited for it may close the files, or
        # the process be killed, once nothing is pending, and nothing may then come twice.
        before = self._in_flight
        if rejected:
            ended = list(zip(islice(self._flight, count), self._origins))  # noqa: B905
            self._keep_dead_letters(ended, rejected, words)
        super()._settle(count, rejected, dropped, words)
        touched: dict[Segment, OwnerFiles] = {}
        # Those that `drop_all` drops from memory have no origin.
        for _ in range(min(before - self._in_flight, len(self._origins))):
            origin = self._origins.popleft()
            if origin is not None:
                owner_files, segment, end, lines = origin
                segment.settle(end, lines)
                touched[segment] = owner_files
        for owner_files in dict.fromkeys(touched.values()):
            self._store.note_sent(
                owner_files, [s for s, of in touched.items() if of is owner_files]
            )
        for segment, owner_files in touched.items():
            if self._discard_if_settled(owner_files, segment) or not segment.unread:
                segment.stop_reading()
            if self._store.finish(owner_files) and self._store.has_left:
                self._maintain_at = self._clock()  # there is a place for the next one

    def _keep_dead_letters(
        self, ended: list[tuple[Record, Origin | None]], reason: str, words: str
    ) -> None:
        """Keeps rejected entries where a person can find them."""
        letters: dict[OwnerFiles, list[bytes]] = {}
        lanes: dict[OwnerFiles, list[int]] = {}
        for (_, lane, payload), origin in ended:
            owner_files = self._store.own if origin is None else origin[0]
            if owner_files is not None:
                letter = dead_letter_of(payload, reason, words)
                letters.setdefault(owner_files, []).append(letter)
                lanes.setdefault(owner_files, []).append(lane)
        for owner_files, of_owner in letters.items():
            are_kept = self._store.keep_dead_letters(owner_files, of_owner)
            self.kept += sum(
                is_kept and lane != NOTICE_LANE
                for is_kept, lane in zip(are_kept, lanes[owner_files], strict=True)
            )

    # The end.

    def drop_all(self, reason: str) -> int:
        """Drops what is in memory and finds no place on the disk; what is there, stays there."""
        with self.lock:
            if self._in_flight and self._origins[0] is None:
                self._return_to_memory()
            self._move_to_disk()
            from_disk, self._in_flight = self._in_flight, 0
            flight, self._flight = self._flight, deque()
            origins, self._origins = self._origins, deque()
            size, self._flight_bytes = self._flight_bytes, 0
            count = super().drop_all(reason)
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
        self.release()

    def release(self) -> None:
        if self.is_ending and not self._is_shut and self.is_pending(LAST):
            return  # to the process's end: an exit hook's entries find room in the files there are
        is_ours = self._disk.acquire(timeout=_DISK_SECONDS)
        try:
            with self.lock:
                self._seal_all()
                if is_ours:  # else the worker is stuck in the disk, and the files stay open
                    own = self._store.own
                    self._left += own.unread if own is not None else 0
                    self._store.release()
        finally:
            if is_ours:
                self._disk.release()

    def release_in_child(self) -> None:
        self._store.release_in_child()
