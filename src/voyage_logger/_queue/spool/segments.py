"""What the parts of a spool share, and how a segment ends: it is sealed, settled, dropped, removed.

What must stay true: each entry of a segment is counted once, however the segment ends, and even if
a signal handler that logs ends the same segment meanwhile.
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
    """The segments of one spool. The callers of all methods hold the ledger's lock.

    Attributes:
        memory, ledger, store: The other things that the parts share.
        disk_lock: A thread holds this lock while it closes files, and the worker holds it while it
            uses files without the ledger's lock. Without it, the worker could use the number of a
            closed descriptor, which can belong to another file. It is taken before the ledger's
            lock.
        active: For each lane the segment that log calls write to, or None.
        is_closed: True once the queue is closed: nothing more is written.
        left: How many entries of this process were on the disk when the files were released.
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
        """Make log calls write to another segment."""
        if self.active[segment.lane] is segment:
            self.active[segment.lane] = None
        segment.seal()

    def seal_all(self) -> None:
        """Make log calls write to new segments only."""
        for segment in filter(None, list(self.active)):
            self.seal(segment)
            if self.store.own is not None:
                self.remove_if_settled(self.store.own, segment)

    def remove_if_settled(self, owner_files: OwnerFiles, segment: Segment) -> bool:
        """Remove a sealed segment of which all entries are settled.

        Returns:
            True if the segment is gone.
        """
        if segment.is_gone:
            return True
        if not segment.is_settled or self.active[segment.lane] is segment:
            return False
        # A handler that logs can have removed the segment since the first check.
        if not segment.is_gone:
            segment.is_gone = True
            self.store.size -= segment.size
            owner_files.remove(segment)
        return True

    def drop(self, owner_files: OwnerFiles, segment: Segment, reason: str) -> None:
        """Drop the entries of a segment that are not taken, and remove the file if it can go."""
        self.seal(segment)
        ledger, loss = self.ledger, (reason, segment.lane)
        ledger.dropped[loss] += 0  # See `MemoryQueue._shed_to`.
        # All of this is one run (see `counts.py`): a handler that logs can drop the same segment.
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
        """Drop the entries of a segment that are not taken, and leave the file as it is."""
        self.seal(segment)
        self.store.size -= segment.size
        self.ledger.drop_spooled((reason, segment.lane), segment.cut())
        owner_files.forget(segment, is_left=is_left)

    def release(self) -> None:
        """Close all files, and leave their entries for other processes or a later call."""
        own = self.store.own
        self.left += own.unread if own is not None else 0
        self.store.release()
