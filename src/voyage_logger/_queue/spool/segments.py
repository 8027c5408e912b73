"""This module contains the shared data of a spool, and seals, drops and removes segments.

Log calls cannot write to a sealed segment. A segment is removed when all its entries are settled.

What must stay true: each entry of a segment is counted exactly once, even if a signal handler
interrupts a method and drops or removes the same segment.
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
        disk_lock: The worker holds `disk_lock`, but not the ledger's lock, while it reads files. A
            thread that closes all files also holds `disk_lock`. Otherwise, the worker could use a
            descriptor that is closed or that belongs to another file. A thread that needs
            `disk_lock` and the ledger's lock takes `disk_lock` first, or does not wait for
            `disk_lock`.
        active: For each lane, the segment to which log calls write, or None.
        is_closed: True after the queue was closed. A closed queue writes no entries to the disk.
        left: The total number of this logger's unsent entries that `release` has left on the disk.
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
        """Seal a segment: close its descriptor, so that log calls write to another segment."""
        if self.active[segment.lane] is segment:
            self.active[segment.lane] = None
        own = self.store.own
        if own is not None:
            own.seal(segment)
        else:
            segment.seal()

    def seal_all(self) -> None:
        """Seal all segments: close their descriptors, so that log calls write to new segments."""
        for segment in filter(None, list(self.active)):
            self.retire(segment)

    def retire(self, segment: Segment) -> None:
        """Seal a segment of this logger, and remove it if all its entries are settled."""
        self.seal(segment)
        if self.store.own is not None:
            self.remove_if_settled(self.store.own, segment)

    def remove_if_settled(self, owner_files: OwnerFiles, segment: Segment) -> bool:
        """Remove a sealed segment if all its entries are settled. Return True if it is removed."""
        if segment.is_gone:
            return True
        if not segment.is_settled or self.active[segment.lane] is segment:
            return False
        # A signal handler might have removed the segment after the first check.
        if not segment.is_gone:
            segment.is_gone = True
            self.store.size -= segment.size
            owner_files.remove(segment)
        return True

    def drop(self, owner_files: OwnerFiles, segment: Segment, reason: str) -> None:
        """Drop a segment's waiting entries. Remove the segment if it has no entries in flight."""
        self.seal(segment)
        ledger, loss = self.ledger, (reason, segment.lane)
        ledger.dropped[loss] += 0  # A comment in `MemoryQueue._shed_to` explains this statement.
        # The next statements are one run (see `counts.py`), because a signal handler can drop the
        # same segment.
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
        """Drop the waiting entries of a segment, but do not change its file."""
        self.seal(segment)
        self.store.size -= segment.size
        self.ledger.drop_spooled((reason, segment.lane), segment.cut())
        owner_files.forget(segment, is_left=is_left)

    def release(self) -> None:
        """Close all files and release their locks, so that any logger can take over the files."""
        own = self.store.own
        self.left += own.unread if own is not None else 0
        self.store.release()
