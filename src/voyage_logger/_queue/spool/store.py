"""The store manages all files that a queue writes or has taken over, and the state of the disk."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING

from voyage_logger._queue.spool.adoption import description
from voyage_logger._queue.spool.file_names import lock_name, new_owner
from voyage_logger._queue.spool.folder import (
    Folder,
    SpoolUnusable,
    release_locks_in_child,
    rewrite,
    unlock,
    words_of,
)
from voyage_logger._queue.spool.owner import OwnerFiles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._queue.spool.open_file import OpenFile
    from voyage_logger._queue.spool.segment import Segment
    from voyage_logger._queue.spool.settings import SpoolSettings

_LARGEST_SEGMENT = 4 << 20
_SMALLEST_SEGMENT = 64 << 10
_SEGMENTS = 32  # The size limit of a segment is `max_bytes` / 32, at least 64 KiB, at most 4 MiB.
_ATTEMPTS = 5


class Store:
    """The files of one `SpoolQueue` and the state of its disk. The queue's lock guards all fields.

    Attributes:
        own: The files that this logger writes, or None before the first entry.
        adopted: The files of dead owners that this process has taken over, oldest owner first.
        size: The total size of all segments in `own` and in `adopted`, in bytes.
        is_failing: True while the disk fails and new entries wait in memory.
        segment_bytes: The size limit of a segment that has more than one line, in bytes.
    """

    def __init__(self, settings: SpoolSettings, diagnostics: Diagnostics) -> None:
        self.settings = settings
        self._diagnostics = diagnostics
        self._folder: Folder | None = None
        self._news: deque[tuple[str, str]] = deque()
        self._told: dict[str, str] = {}  # maps each file or owner to the last report about it
        self.own: OwnerFiles | None = None
        self.adopted: list[OwnerFiles] = []
        self.size = 0
        self.is_failing = False
        self._is_told = False  # True if the failure of the disk was reported.
        by_share = settings.max_bytes // _SEGMENTS
        self.segment_bytes = max(_SMALLEST_SEGMENT, min(_LARGEST_SEGMENT, by_share))
        self._dead_bytes = settings.max_bytes // 8

    def all_owners(self) -> list[OwnerFiles]:
        """Return the files of all owners, oldest owner first."""
        return [*self.adopted, *([self.own] if self.own is not None else [])]

    @property
    def folder(self) -> Folder:
        """The spool folder, which is opened when it is used for the first time."""
        folder = self._folder  # Another thread can release the files during this call.
        if folder is None:
            folder = self._folder = Folder(self.settings.path)
        return folder

    def open_own(self) -> OwnerFiles:
        """Return the files that this logger writes. The first call creates the files."""
        attempts = 0
        while self.own is None:
            if attempts == _ATTEMPTS:
                raise SpoolUnusable("its locks do not work")
            attempts += 1
            owner = new_owner()
            lock = self._make_lock(lock_name(owner))
            if lock is not None:
                owner_files = OwnerFiles(self.folder, owner, lock)
                # A signal handler might have set `self.own` in the meantime. The next statement has
                # no call and no jump, so a signal handler cannot interrupt the statement.
                self.own = (self.own, owner_files)[self.own is None]
                if self.own is not owner_files:
                    owner_files.finish()
        return self.own

    def _make_lock(self, name: str) -> OpenFile | None:
        """Create a lock file. Return None if another process has locked or removed the new file.

        The destination is written to the lock file before any entry is written. If the destination
        were missing, another process could send the entries to a wrong server.
        """
        lock = self.folder.lock(name, is_new=True)
        if lock is not None:
            try:
                rewrite(lock, description(self.settings.destination))
            except OSError:
                with contextlib.suppress(OSError):
                    self.folder.remove(name)
                unlock(lock)
                raise
        return lock

    def fail(self, error: OSError | SpoolUnusable) -> None:
        """Remember that the disk fails, and report the failure once."""
        self.is_failing = True
        if not self._is_told:
            self._is_told = True
            self.note("spool", f"{words_of(error)}: entries wait in memory only")

    def note_works(self) -> None:
        """If a failure of the disk was reported, report that the disk works again."""
        if self._is_told:
            self._is_told = False
            self.note("spool works", "it works again")

    def is_removed(self) -> bool:
        """Return True if the folder was removed or moved."""
        return self._folder is not None and self._folder.is_removed()

    def relock(self) -> None:
        """If a lock file was removed, or if the app has closed the file, lock the file again."""
        for owner_files in self.all_owners():
            if owner_files.is_linked():
                continue
            try:
                lock = self._lock_again(lock_name(owner_files.owner))
            except (OSError, SpoolUnusable) as error:
                self.fail(error)
                continue
            if lock is not None:  # If `lock` is None, another process now has the lock.
                owner_files.relock(lock)
                self.note("spool lock", "a lock was lost, and the lock file is locked again")

    def _lock_again(self, name: str) -> OpenFile | None:
        try:
            return self._make_lock(name)
        except FileExistsError:  # The file still exists, but the app has closed its descriptor.
            return self.folder.lock(name)

    def note_unreadable(self, name: str, error: OSError | SpoolUnusable) -> None:
        """Report once that a segment cannot be read."""
        self.note_once("spool unreadable", name, f"cannot be read: {words_of(error)}")

    def note_once(self, cause: str, what: str, words: str) -> None:
        """Report a problem only once, even if each check of the folder finds the problem again."""
        if self._told.get(what) != words:
            self._told[what] = words
            self.note(cause, f"{what} {words}")

    def note_set_aside(self, segment: Segment, error: OSError) -> None:
        """Report once that a segment cannot be read now and is set aside."""
        if not segment.is_told:
            segment.is_told = True
            words = f"{segment.name} cannot be read now: {words_of(error)}; it is set aside"
            self.note("spool set aside", words)

    def adopt(self, owner_files: OwnerFiles) -> None:
        """Add the files of a dead owner to the files of this logger.

        The adopted files are already on the disk, so no entry is dropped to make room for them. If
        the spool exceeds its limit now, the limit is raised until the adopted entries are sent.
        """
        owner_files.is_extra = self.size + owner_files.size > self.bound
        self.adopted.append(owner_files)
        self.adopted.sort(key=lambda owner_files: owner_files.owner)
        self.size += owner_files.size

    def finish(self, owner_files: OwnerFiles) -> bool:
        """If all entries of a dead owner are settled, remove the owner's files and return True."""
        is_done = owner_files in self.adopted and owner_files.finish()
        if is_done:
            self.adopted.remove(owner_files)
        return is_done

    def release(self) -> None:
        """Close all files and release their locks. Files with unsent entries stay in the folder."""
        for owner_files in self.all_owners():
            if self.is_removed():
                owner_files.close()  # The folder is gone, so its files cannot be removed.
            elif not owner_files.finish():
                owner_files.catch_up()
                owner_files.close()
        self._forget()

    def release_in_child(self) -> None:
        """In a forked child process, close all files. The parent process keeps its locks."""
        for owner_files in self.all_owners():
            owner_files.release_in_child()
        release_locks_in_child()
        self._forget()

    def _forget(self) -> None:
        self.own = None
        self.adopted = []
        self.size = 0
        self._folder = None

    def note(self, cause: str, message: str) -> None:
        """Store a message that `tell` reports later, when the lock is free."""
        self._news.append((cause, f"spool {self.settings.path}: {message}"))

    def tell(self) -> None:
        """Report all stored messages. The caller does not hold the lock."""
        while self._news:
            self._diagnostics.say(*self._news.popleft())

    @property
    def has_news(self) -> bool:
        """True if a stored message is not reported yet."""
        return bool(self._news)

    @property
    def bound(self) -> int:
        """The current limit for the total size of all segments, in bytes."""
        extra = sum(owner_files.size for owner_files in self.adopted if owner_files.is_extra)
        return self.settings.max_bytes + extra

    def note_sent(self, owner_files: OwnerFiles, segments: Iterable[Segment]) -> None:
        """Write to the `sent` file how many bytes of each segment are settled."""
        try:
            owner_files.note_sent(segments)
        except OSError as error:
            words = f"delivered entries cannot be noted on the disk ({words_of(error)}): "
            self.note("spool journal", words + "after a crash they would be sent again")

    def keep_dead_letters(self, owner_files: OwnerFiles, letters: list[bytes]) -> list[bool]:
        """Append letters to the dead-letter file. Return which letters were kept."""
        try:
            are_kept = owner_files.keep_dead_letters(letters, self._dead_bytes)
            if not all(are_kept):
                self.note("spool dead letters", "the dead-letter file is full")
        except OSError as error:
            self.note("spool dead letters", f"dead letters cannot be kept ({words_of(error)})")
            return [False] * len(letters)
        return are_kept
