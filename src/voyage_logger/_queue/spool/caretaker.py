"""The caretaker: what the worker does for a spool from time to time.

It moves entries from memory to the disk once the disk works again, adopts entries of dead
processes, saves entries of files that somebody removes, and drops entries that are too old.

What must stay true: no entry is in two places, and no error of the disk is raised.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from voyage_logger._queue.spool.disk_failure import FOLDER_REMOVED
from voyage_logger._queue.spool.folder import SpoolUnusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._queue.spool.disk_failure import DiskFailure
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.segments import Segments
    from voyage_logger._queue.spool.writer import Writer

EXPIRED = "expired"


class Caretaker:
    """The part of a `SpoolQueue` that maintains the folder.

    Attributes:
        looks: How many looks at the folder have ended.
    """

    def __init__(self, segments: Segments, failure: DiskFailure, writer: Writer) -> None:
        self._segments, self._failure = segments, failure
        self._ledger, self._store = segments.ledger, segments.store
        self._clock = segments.clock
        self._writer = writer
        self.looks = 0
        # Two looks at once would share the cursor of the folder, and miss or repeat names.
        self._looking = threading.RLock()

    def maintain(self, release: Callable[[], None]) -> None:
        """Look at the folder if it is time; `release` releases all files if they were removed."""
        segments, failure = self._segments, self._failure
        if self._clock() < failure.look_at:
            return
        with self._looking:
            with segments.disk_lock, self._ledger.lock:
                failure.look_at = self._clock() + failure.interval
                if segments.is_closed:
                    return
                self._check_own(release)
            for owner_files in self._store.take_over_dead():
                if not self._adopt(owner_files):
                    break
            self.looks += 1
            if self._store.has_news:
                self._store.tell()

    def _check_own(self, release: Callable[[], None]) -> None:
        """Do what is due for the files that this process has."""
        store = self._store
        self._check_removal(release)
        self._expire()
        self._try_again()
        if store.is_failing:
            self._writer.move_to_disk()
        for owner_files in store.all_owners():
            owner_files.catch_up()
            store.finish(owner_files)  # All entries can have been dropped, and none sent.
        self._writer.update_bound()

    def _check_removal(self, release: Callable[[], None]) -> None:
        """Save what can be saved if somebody has removed files that are in use."""
        store, segments = self._store, self._segments
        is_removed = store.is_removed()
        for owner_files in store.all_owners():
            for segment in list(owner_files.segments()):
                # One call of `save` can have saved other segments: see `DiskFailure.begin`.
                if not segment.is_gone and (is_removed or not segment.is_linked()):
                    self._failure.save(owner_files, segment)
                elif segment.is_open and not segment.is_ours():
                    # The app has closed the descriptor, and the number can become another file's.
                    # Lines that went into that file are counted as missing when this one is read.
                    segments.seal(segment)
                    segments.remove_if_settled(owner_files, segment)
        if is_removed:
            release()
            self._failure.begin(SpoolUnusable(FOLDER_REMOVED))
        else:
            store.relock()

    def _expire(self) -> None:
        """Drop segments to which nothing was written for too long."""
        max_age = self._store.settings.max_age
        if max_age is None:
            return
        oldest = self._clock() - max_age
        for owner_files in self._store.all_owners():
            for segment in list(owner_files.segments()):
                if segment.unread and segment.written_at < oldest:
                    self._segments.drop(owner_files, segment, EXPIRED)

    def _try_again(self) -> None:
        """Allow the reader to read segments that were set aside."""
        for owner_files in self._store.all_owners():
            for segment in owner_files.segments():
                segment.is_set_aside = False
        if not self._store.is_failing:
            self._failure.interval = self._failure.usual_interval

    def _adopt(self, owner_files: OwnerFiles) -> bool:
        """Count the entries of a dead process; return False if the queue is closed."""
        with self._ledger.lock:
            if self._segments.is_closed:
                owner_files.close()
                return False
            count = owner_files.unread
            self._store.adopt(owner_files)
            self._writer.update_bound()
            self._ledger.adopt(count)
            self._expire()  # before an entry is taken
            return True
