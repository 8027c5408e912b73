"""If the disk is full or fails, new entries wait in memory until the disk works again.

If the folder was removed, the disk counts as failing. The entries of all open files are then read
and moved to memory.

What must stay true: each waiting entry is counted exactly once, either on the disk or in memory. A
log call never raises a disk error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._base.stats import SPOOL_DELETED
from voyage_logger._queue.spool.folder import SpoolUnusable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voyage_logger._queue.lanes import Record
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.segment import Segment
    from voyage_logger._queue.spool.segments import Segments

FOLDER_REMOVED = "the folder was removed, or moved away"

_SECONDS = 30.0  # The worker waits this many seconds between two checks of the folder.
_SECONDS_WHILE_FAILING = 1.0  # While the disk fails, the worker waits only this many seconds.


class DiskFailure:
    """Handles disk failures of one spool. The caller of each method holds the ledger's lock.

    Attributes:
        interval: How many seconds the worker waits between two checks of the folder.
        usual_interval: The value of `interval` while the disk works.
        look_at: The time of the next check, in seconds of the monotonic clock.
    """

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._ledger, self._store = segments.ledger, segments.store
        self.interval = self.usual_interval = _SECONDS
        self.look_at = segments.clock()

    def begin(self, error: OSError | SpoolUnusable) -> None:
        """Queue new entries in memory until the caretaker finds that the disk works again."""
        self._store.fail(error)
        own = self._store.own
        is_removed = self._store.is_removed()
        for segment in list(own.segments()) if own is not None else ():
            # The entries of a removed file can be read only through its open descriptor.
            if own is not None and segment.is_open and (is_removed or not segment.is_linked()):
                self.save(own, segment)
        self._segments.seal_all()
        self.look_soon()

    def end(self) -> None:
        """Make log calls write to the disk again."""
        self._store.is_failing = False
        self.interval = self.usual_interval
        self.confirm_end()

    def confirm_end(self) -> None:
        """If an entry was written after the failure, report that the disk works again.

        `begin` has sealed all segments, so an open segment with entries is newer than the failure.
        """
        if any(segment.entries for segment in filter(None, self._segments.active)):
            self._store.note_works()

    def save(self, owner_files: OwnerFiles, segment: Segment) -> None:
        """Read the entries of a removed file and queue them in memory. Drop unreadable entries."""
        why = FOLDER_REMOVED if self._store.is_removed() else "files in use were removed"
        saved = segment.read_untaken()
        size = segment.size
        lost = segment.cut() - len(saved)
        self._segments.seal(segment)
        self._store.size -= size
        owner_files.forget(segment)
        self.queue_in_memory(segment.lane, saved)
        self._ledger.drop_spooled((SPOOL_DELETED, segment.lane), lost)
        self._store.note("spool removed", why)
        self.begin(SpoolUnusable(why))

    def queue_in_memory(self, lane: int, entries: Iterable[tuple[int, bytes | bytearray]]) -> None:
        """Move entries to memory, because their lines on the disk are lost."""
        records: list[Record] = [(sequence, lane, payload) for sequence, payload in entries]
        count = len(records)
        self._ledger.spooled -= count
        self._segments.memory.put_first(lane, records)

    def look_soon(self) -> None:
        """Make the worker check the folder soon."""
        self.interval = min(_SECONDS_WHILE_FAILING, self.usual_interval)
        self.look_at = self._segments.clock() + self.interval
        self._ledger.changed.notify()
