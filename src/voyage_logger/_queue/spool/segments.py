"""The data that the parts of a spool share, and the end of a segment.

A sealed segment is closed for writing. A segment is removed when all its entries are settled.

What must stay true: each entry of a segment is counted once, even if a signal handler logs and
drops or removes the same segment meanwhile.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from voyage_logger._base.levels import LANES

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._queue.memory import MemoryQueue
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.segment import Segment
    from voyage_logger._queue.spool.store import Store


class Segments:
    """The segments of one spool. The caller of each method holds the ledger's lock.

    Attributes:
        memory, ledger, store: The queue in memory, the counts, and the files of the spool.
        disk_lock: The worker holds `disk_lock` while it reads files without the ledger's lock. A
            thread that releases all files also holds `disk_lock`. Otherwise, the worker could read
            from a closed descriptor, which may belong to another file by then. A thread takes
            `disk_lock` before the ledger's lock.
        active: For each lane, the segment to which log calls write, or None.
        is_closed: True once the queue is closed. A closed queue writes no more entries.
        left: How many unsent entries `release` has left on the disk, added up over all calls.
    """

    def __init__(self, memory: MemoryQueue, store: Store, clock: Callable[[], float]) -> None:
        self.memory = memory
        self.ledger = memory.ledger
        self.store = store
        self.clock = clock
        self.disk_lock = threading.RLock()
        self.active: list[Segment | None] = [None] * len(LANES)
        self.is_closed = False
        self.left = 0

    def seal(self, segment: Segment) -> None:
        """Close a segment for writing, so that log calls write to another segment."""
        if self.active[segment.lane] is segment:
            self.active[segment.lane] = None
        segment.seal()

    def seal_all(self) -> None:
        """Close all segments for writing, so that log calls write to new segments."""
        for segment in filter(None, list(self.active)):
            self.seal(segment)
            if self.store.own is not None:
                self.remove_if_settled(self.store.own, segment)

    def remove_if_settled(self, owner_files: OwnerFiles, segment: Segment) -> bool:
        """Remove a segment if it is sealed and all its entries are settled.

        Returns:
            True if the segment was removed, now or earlier.
        """
        if segment.is_gone:
            return True
        if not segment.is_settled or self.active[segment.lane] is segment:
            return False
        # A signal handler that logs may have removed the segment since the first check.
        if not segment.is_gone:
            segment.is_gone = True
            self.store.size -= segment.size
            owner_files.remove(segment)
        return True

    def drop(self, owner_files: OwnerFiles, segment: Segment, reason: str) -> None:
        """Drop the waiting entries of a segment. If no entry is in flight, remove the segment."""
        self.seal(segment)
        ledger, loss = self.ledger, (reason, segment.lane)
        ledger.dropped[loss] += 0  # See `MemoryQueue._shed_to`.
        # The counts change in one run (see `counts.py`), because a signal handler that logs can
        # drop the same segment.
        count, freed = segment.entries - segment.taken_entries, segment.size - segment.taken
        segment.size, segment.entries = segment.taken, segment.taken_entries
        self.store.size -= freed
        ledger.spooled -= count
        ledger.dropped[loss] += count
        segment.cut()
        ledger.settled.notify_all()
        if not self.remove_if_settled(owner_files, segment):
            owner_files.shorten(segment)

    def drop_file(
        self, owner_files: OwnerFiles, segment: Segment, reason: str, *, is_left: bool
    ) -> None:
        """Drop the waiting entries of a segment, but do not change the file."""
        self.seal(segment)
        self.store.size -= segment.size
        self.ledger.drop_spooled((reason, segment.lane), segment.cut())
        owner_files.forget(segment, is_left=is_left)

    def release(self) -> None:
        """Close all files. Another process, or this process later, may take over the files."""
        own = self.store.own
        self.left += own.unread if own is not None else 0
        self.store.release()
