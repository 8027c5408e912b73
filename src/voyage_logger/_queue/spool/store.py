"""What one logger has on the disk: its own stream, those it has adopted, and the state of the disk.

Guarded by the queue's lock, but for what is marked as the worker's.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from typing import TYPE_CHECKING

from voyage_logger._queue.spool.adoption import (
    MeantForAnother,
    NoRoom,
    description,
    oddities,
    owners,
    take_over,
    waiting_elsewhere,
)
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
    from collections.abc import Iterable, Iterator

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._queue.spool.folder import OpenFile
    from voyage_logger._queue.spool.segment import Segment
    from voyage_logger._queue.spool.settings import SpoolSettings

_LARGEST_SEGMENT = 4 << 20  # bytes
_SMALLEST_SEGMENT = 64 << 10
_SEGMENTS = 32  # in a full spool, at the least
_ATTEMPTS = 5
_MOST_ADOPTED = 8  # streams at a time: others may take the rest


class Store:
    """The disk side of one `SpoolQueue`.

    Args:
        settings: Where and how to keep entries.
        diagnostics: Where trouble with the disk is told.

    Attributes:
        own: The stream that this logger writes, or None until it does.
        adopted: Streams of dead owners, oldest first.
        size: The bytes of all their segments.
        is_short: True if there was no room to take over what else dead owners have left.
        has_left: True if there was no room, or too much at a time, to look at all owners.
        is_failing: True while entries stay in memory.
        segment_bytes: Where a segment ends and the next begins.
    """

    def __init__(self, settings: SpoolSettings, diagnostics: Diagnostics) -> None:
        self.settings = settings
        self._diagnostics = diagnostics
        self._folder: Folder | None = None
        self._news: deque[tuple[str, str]] = deque()
        self._told: dict[str, str] = {}  # of what cannot be read or taken over
        self.own: OwnerFiles | None = None
        self.adopted: list[OwnerFiles] = []
        self.size = 0
        self.is_short = self.has_left = False
        self.is_failing = False
        self._is_told = False  # that it is
        by_share = settings.max_bytes // _SEGMENTS
        self.segment_bytes = max(_SMALLEST_SEGMENT, min(_LARGEST_SEGMENT, by_share))
        self._dead_bytes = settings.max_bytes // 8

    def all_owners(self) -> list[OwnerFiles]:
        """All streams, oldest first."""
        return [*self.adopted, *([self.own] if self.own is not None else [])]

    @property
    def folder(self) -> Folder:
        """The open folder.

        Raises:
            SpoolUnusable: It is not to be had.
        """
        if self._folder is None:
            self._folder = Folder(self.settings.path)
        return self._folder

    def open_own(self) -> OwnerFiles:
        """The stream to write to.

        Raises:
            SpoolUnusable: The folder is not to be had, or has no locks.
            OSError: A file cannot be made.
        """
        for _ in range(_ATTEMPTS):
            if self.own is not None:
                return self.own
            owner = new_owner()
            lock = self.folder.lock(lock_name(owner), is_new=True)
            # None: another process has seen the file before it was locked, and has removed it.
            if lock is not None:
                owner_files = OwnerFiles(self.folder, owner, lock)
                # First: entries of which nobody knows where they are sent would go anywhere.
                try:
                    owner_files.describe(description(self.settings.destination))
                except OSError:
                    owner_files.finish()
                    raise
                # Without a call and (for CPython 3.10) a jump: where a handler can come that logs,
                # and so makes a stream of its own, this one is either not yet or already seen.
                self.own = (self.own, owner_files)[self.own is None]
                if self.own is not owner_files:
                    owner_files.finish()
        if self.own is None:
            raise SpoolUnusable("its locks do not work")
        return self.own

    # The state of the disk.

    def fail(self, error: OSError | SpoolUnusable) -> None:
        """Notes that the disk does not take entries."""
        self.is_failing = True
        if not self._is_told:
            self._is_told = True
            self.note("spool", f"{words_of(error)}: entries are kept in memory only")

    def recover(self) -> None:
        """Notes that the disk takes entries again."""
        self.is_failing = False
        if self._is_told:
            self._is_told = False
            self.note("spool works", "it works again")

    def is_removed(self) -> bool:
        """True if somebody has removed the folder, or moved it away."""
        return self._folder is not None and self._folder.is_removed()

    def relock(self) -> None:
        """Makes the lock files anew that somebody has removed, before others miss them."""
        for owner_files in self.all_owners():
            if owner_files.is_linked():
                continue
            try:
                lock = self._lock_again(lock_name(owner_files.owner))
                if lock is None:
                    continue
                owner_files.relock(lock)
            except (OSError, SpoolUnusable) as error:
                self.fail(error)
            else:
                self.note("spool lock", "a lock was lost with its file, and is taken anew")

    def _lock_again(self, name: str) -> OpenFile | None:
        try:
            lock = self.folder.lock(name, is_new=True)
        except FileExistsError:  # the app has closed the file, which says what it did
            return self.folder.lock(name)
        if lock is not None:
            try:
                rewrite(lock, description(self.settings.destination))
            except OSError:
                self.folder.remove(name)
                unlock(lock)
                raise
        return lock

    def note_unreadable(self, name: str, error: OSError | SpoolUnusable) -> None:
        """Notes, once, that a segment cannot be read."""
        self._note_once("spool unreadable", name, f"cannot be read: {words_of(error)}")

    def _note_once(self, cause: str, what: str, words: str) -> None:
        """Notes what each look at the folder would find again."""
        if self._told.get(what) != words:
            self._told[what] = words
            self.note(cause, f"{what} {words}")

    def note_set_aside(self, segment: Segment, error: OSError) -> None:
        """Notes, once, that a segment cannot be read now."""
        if not segment.is_told:
            segment.is_told = True
            self.note(
                "spool set aside",
                f"{segment.name} cannot be read now: {words_of(error)}; it is tried again",
            )

    def adopt(self, owner_files: OwnerFiles) -> None:
        """Counts a stream of a dead owner among its own.

        It is on the disk already: where it finds no room, nothing is given up to make any.
        """
        owner_files.is_extra = self.size + owner_files.size > self.bound
        self.adopted.append(owner_files)
        self.adopted.sort(key=lambda owner_files: owner_files.owner)
        self.size += owner_files.size

    def finish(self, owner_files: OwnerFiles) -> bool:
        """Removes the files of an adopted stream, if nothing is left of it; True if it has."""
        is_done = owner_files in self.adopted and owner_files.finish()
        if is_done:
            self.adopted.remove(owner_files)
        return is_done

    def release(self) -> None:
        """Removes what has done its service, and leaves the rest to whoever takes it next."""
        for owner_files in self.all_owners():
            if self.is_removed():
                owner_files.close()  # there is nothing to remove or to note
            elif not owner_files.finish():
                owner_files.catch_up()
                owner_files.close()
        self._forget()

    def release_in_child(self) -> None:
        """Closes everything, in a forked child, and leaves the files and locks to the parent."""
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
        """Notes a line for people, who are told once the lock is free."""
        self._news.append((cause, f"spool {self.settings.path}: {message}"))

    def tell(self) -> None:
        """Says what was noted; without the lock."""
        while self._news:
            self._diagnostics.say(*self._news.popleft())

    @property
    def has_news(self) -> bool:
        """True if there is something to `tell`."""
        return bool(self._news)

    @property
    def bound(self) -> int:
        """The most bytes that may be here now."""
        extra = sum(owner_files.size for owner_files in self.adopted if owner_files.is_extra)
        return self.settings.max_bytes + extra

    # The worker's.

    def take_over_dead(self) -> Iterator[OwnerFiles]:
        """Takes over what dead owners have left, one by one; without the lock.

        As far as there is room; but one at the least, so that a backlog that is larger than the
        bound has become, or than what new entries leave of it, is sent in the end.
        """
        try:
            folder = self.folder
            names = folder.names()
        except (OSError, SpoolUnusable):
            return  # a matter of `fail`, at the next attempt to write
        self._note_oddities(folder, names)
        mine = {owner_files.owner for owner_files in self.all_owners()}
        left = 0
        elsewhere: dict[str, str] = {}  # where the entries of owners are meant to go
        is_full = False
        for owner in owners(names):
            if owner in mine:
                continue
            if is_full := len(self.adopted) >= _MOST_ADOPTED:
                break
            try:
                owner_files = self._adopted(folder, owner)
            except NoRoom:
                left += 1
                continue
            except MeantForAnother as error:
                elsewhere[owner] = str(error)
                continue
            if owner_files is not None and not owner_files.finish():
                yield owner_files
        if left and not self.is_short:
            self.note(
                "spool short",
                f"it has no room to take over what {left} more have left: that waits",
            )
        self.is_short = bool(left)
        self.has_left = is_full or self.is_short
        self._note_elsewhere(elsewhere, names)

    def _adopted(self, folder: Folder, owner: str) -> OwnerFiles | None:
        """What `adopt` gives; None as well if it fails, which is noted."""
        room = None
        if self.adopted:
            room = self.bound - sum(owner_files.unsettled for owner_files in self.all_owners())
        try:
            return take_over(folder, owner, self.settings.destination, room, self.note_unreadable)
        except FileNotFoundError:
            return None  # its owner has just finished
        except (OSError, SpoolUnusable) as error:
            words = f"cannot be taken over: {words_of(error)}"
            self._note_once("spool adoption", f"the files of {owner}", words)
            return None

    def _note_oddities(self, folder: Folder, names: list[str]) -> None:
        news = {oddity for oddity in oddities(names) if oddity not in self._told}
        if news:
            # A listing is not of one moment: where files come and go, it may lack a lock file that
            # was there all the time. What two of them show is so.
            with contextlib.suppress(OSError):
                news &= {*oddities(folder.names())}
        for oddity in sorted(news):
            self._told[oddity] = ""
            self.note(f"spool {oddity}", oddity)

    def _note_elsewhere(self, places: dict[str, str], names: list[str]) -> None:
        """Notes, once a place, how many owners have entries left that are meant for it."""
        if not places:
            return
        loaded = set(owners(names, kind="segment"))
        counts = Counter(place for owner, place in places.items() if owner in loaded)
        for place in counts.keys() - self._told.keys():
            self._told[place] = ""
            words = waiting_elsewhere(counts[place], place, self.settings)
            self.note(f"spool for {place}", words)

    def note_sent(self, owner_files: OwnerFiles, segments: Iterable[Segment]) -> None:
        """Has it noted on the disk how much is settled."""
        try:
            owner_files.note_sent(segments)
        except OSError as error:
            self.note(
                "spool journal",
                f"what was delivered cannot be noted ({words_of(error)}): "
                "it would be sent again after a crash",
            )

    def keep_dead_letters(self, owner_files: OwnerFiles, letters: list[bytes]) -> list[bool]:
        """Keeps rejected entries in the dead-letter file; says of each whether it is there."""
        try:
            are_kept = owner_files.keep_dead_letters(letters, self._dead_bytes)
            if not all(are_kept):
                self.note("spool dead letters", "the dead-letter file is full")
        except OSError as error:
            self.note("spool dead letters", f"dead letters cannot be kept ({words_of(error)})")
            return [False] * len(letters)
        return are_kept
