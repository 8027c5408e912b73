"""The caretaker does the regular maintenance of a spool. The worker calls the caretaker.

When the disk works again after a failure, the caretaker moves entries from memory to the disk. The
caretaker adopts entries of dead processes, saves entries from removed files, and drops old entries.

What must stay true: no entry waits both in memory and on the disk. No method raises a disk error.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from voyage_logger._base.stats import EXPIRED
from voyage_logger._queue.spool.dead_owners import DeadOwners
from voyage_logger._queue.spool.disk_failure import FOLDER_REMOVED
from voyage_logger._queue.spool.folder import SpoolUnusable

if TYPE_CHECKING:
    from voyage_logger._queue.spool.disk_failure import DiskFailure
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.segments import Segments
    from voyage_logger._queue.spool.writer import Writer


class Caretaker:
    """Maintains the spool folder of a `SpoolQueue`.

    Attributes:
        looks: How many times the spool folder was checked.
    """

    def __init__(self, segments: Segments, failure: DiskFailure, writer: Writer) -> None:
        self._segments, self._failure = segments, failure
        self._ledger, self._store = segments.ledger, segments.store
        self._clock = segments.clock
        self._writer = writer
        self._dead_owners = DeadOwners(segments.store)
        self.looks = 0
        # Only one thread at a time lists the folder: two threads would share one read position.
        self._looking = threading.RLock()

    def maintain(self) -> None:
        """Check the folder if a check is due."""
        segments, failure = self._segments, self._failure
        if self._clock() < failure.look_at:
            return
        with self._looking:
            with segments.disk_lock, self._ledger.lock:
                failure.look_at = self._clock() + failure.interval
                if segments.is_closed:
                    return
                self._check_own()
            for owner_files in self._dead_owners.take_over_all():
                if not self._adopt(owner_files):
                    break
            self.looks += 1
            if self._store.has_news:
                self._store.tell()

    @property
    def is_search_due(self) -> bool:
        """True if the files of more dead owners can be taken over before the next regular check."""
        return self._dead_owners.is_search_due

    def save_removed(self) -> None:
        """At the end of the process, save entries whose files were removed since the last check.

        The caller holds the ledger's lock. If the worker has `disk_lock`, it is checking the files
        itself, or the disk hangs.
        """
        disk_lock = self._segments.disk_lock
        if self._store.all_owners() and disk_lock.acquire(blocking=False):
            try:
                self._check_removal()
            finally:
                disk_lock.release()

    def _check_own(self) -> None:
        """Maintain the files that this process writes or has taken over."""
        store = self._store
        self._check_removal()
        self._expire()
        self._try_again()
        if store.is_failing:
            self._writer.move_to_disk()
        else:
            self._failure.confirm_end()
        for owner_files in store.all_owners():
            owner_files.catch_up()
            store.finish(owner_files)  # Remove the files if all their entries were dropped.
        self._writer.update_bound()

    def _check_removal(self) -> None:
        """If files in use were removed, save as many of their entries as possible."""
        store, segments = self._store, self._segments
        is_removed = store.is_removed()
        for owner_files in store.all_owners():
            for segment in list(owner_files.segments()):
                # `is_gone` is true if an earlier call of `save` has already saved this segment.
                if not segment.is_gone and (is_removed or not segment.is_linked()):
                    self._failure.save(owner_files, segment)
                elif segment.is_open and not segment.is_ours():
                    # The app has closed the descriptor, and another file might now have its number.
                    # Lines that log calls have written to a wrong file count as dropped.
                    segments.seal(segment)
                    segments.remove_if_settled(owner_files, segment)
        if is_removed:
            # New files must not be written to the old folder, even if entries are pending at exit.
            segments.seal_all()
            segments.release()
            self._failure.begin(SpoolUnusable(FOLDER_REMOVED))
        else:
            store.relock()

    def _expire(self) -> None:
        """Drop the entries of segments that were last written more than `max_age` seconds ago."""
        max_age = self._store.settings.max_age
        if max_age is None:
            return
        oldest = self._clock() - max_age
        for owner_files in self._store.all_owners():
            for segment in list(owner_files.segments()):
                if segment.unread and segment.written_at < oldest:
                    self._segments.drop(owner_files, segment, EXPIRED)

    def _try_again(self) -> None:
        """Let the reader try again to read the segments that were set aside."""
        for owner_files in self._store.all_owners():
            for segment in owner_files.segments():
                segment.is_set_aside = False
        if not self._store.is_failing:
            self._failure.interval = self._failure.usual_interval

    def _adopt(self, owner_files: OwnerFiles) -> bool:
        """Adopt the entries of a dead process. Return False if the queue is closed."""
        with self._ledger.lock:
            if self._segments.is_closed:
                owner_files.close()
                return False
            count = owner_files.unread
            self._store.adopt(owner_files)
            self._writer.update_bound()
            self._ledger.adopt(count)
            self._expire()  # Drop expired entries before the worker can take them.
            return True
