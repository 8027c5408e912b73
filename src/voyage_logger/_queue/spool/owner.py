"""The files of one owner, which this process writes or has taken over.

What must stay true: the lock is held as long as the owner has files. The journal says how much of
each segment is settled before the next batch is sent. A segment is removed only when all its
entries are settled, or dropped and counted.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from typing import TYPE_CHECKING

from voyage_logger._base.levels import LANES
from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool.file_names import (
    dead_name,
    draft_name,
    lock_name,
    segment_name,
    sent_name,
)
from voyage_logger._queue.spool.folder import OpenFile, rewrite, unlock, write_all
from voyage_logger._queue.spool.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voyage_logger._queue.spool.folder import Folder

# A note is appended to the journal, and no older note is overwritten. A write that stops half-way
# would mix the digits of two positions, and a position that is too high loses entries.
_JOURNAL_LIMIT = 64 * 1024  # bytes; a longer journal is replaced by a short one


class OwnerFiles:
    """The files of one owner, made with the locked lock file. The queue's lock guards all fields.

    Attributes:
        owner: The name of the owner.
        lanes: The segments of each lane, oldest first.
        is_extra: True if these files do not count against `max_bytes` of the spool.
    """

    def __init__(self, folder: Folder, owner: str, lock: OpenFile) -> None:
        self._folder = folder
        self.owner = owner
        self._lock: OpenFile | None = lock
        self.lanes: tuple[deque[Segment], ...] = tuple(deque() for _ in LANES)
        self._numbers = [0] * len(LANES)
        self.is_extra = False
        self._left: dict[str, int] = {}  # the settled bytes of each unreadable file
        self._journal: OpenFile | None = None
        self._is_behind = False  # True if the journal lacks a note or ends with half a line
        self._dead: OpenFile | None = None
        self._stuck: list[Segment] = []  # settled segments whose files could not be removed

    def describe(self, description: bytes, before: bytes = b"") -> None:
        """Write new facts into the lock file; after an error, the file has the old facts."""
        assert self._lock is not None  # noqa: S101 - this informs the type checker
        rewrite(self._lock, description, before)

    def segments(self) -> Iterator[Segment]:
        """Yield all segments; the segments of a lane come in the order of their entries."""
        for lane in self.lanes:
            yield from tuple(lane)  # this copies, because a signal handler may change the lane

    def open_segment(self, lane: int) -> Segment:
        """Make a new segment, open for writing."""
        self._numbers[lane] += 1
        name = segment_name(self.owner, lane, self._numbers[lane])
        segment = Segment(name, lane, self._folder.create(name))
        self.lanes[lane].append(segment)
        return segment

    def add(self, segment: Segment) -> None:
        """Add a segment that another process has written; the caller keeps the order of numbers."""
        self.lanes[segment.lane].append(segment)

    @property
    def unread(self) -> int:
        """The number of entries that are not taken."""
        return sum(segment.unread for segment in self.segments())

    @property
    def ready(self) -> int:
        """The number of entries that can be taken now."""
        return sum(segment.ready for segment in self.segments())

    @property
    def size(self) -> int:
        """The bytes of all segments."""
        return sum(segment.size for segment in self.segments())

    @property
    def unsettled(self) -> int:
        """The bytes of all segments that are not settled."""
        return sum(segment.size - segment.sent for segment in self.segments())

    def head(self) -> int:
        """Return the lowest sequence number of an entry that is not taken, or `NEVER`."""
        return min((segment.head for segment in self.segments()), default=NEVER)

    def ready_head(self) -> int:
        """Return the lowest sequence number of an entry that can be taken now, or `NEVER`."""
        ready = (segment.head for segment in self.segments() if not segment.is_set_aside)
        return min(ready, default=NEVER)

    def remove(self, segment: Segment) -> None:
        """Remove a segment that has no entry left to send."""
        segment.stop_reading()
        self.forget(segment)
        if self._lock is not None:
            try:
                self._folder.remove(segment.name)
            except OSError:
                self._stuck.append(segment)  # `finish` tries again to remove the file

    def forget(self, segment: Segment, *, is_left: bool = False) -> None:
        """Remove a segment from the lanes; `is_left` means that the file is for other processes."""
        if is_left:
            self.leave(segment.name, segment.sent)
        segment.is_gone = True
        segment.seal()
        self.lanes[segment.lane].remove(segment)

    def leave(self, name: str, sent: int) -> None:
        """Leave an unreadable segment and the lock file in the folder for other processes."""
        self._left[name] = sent

    def shorten(self, segment: Segment) -> None:
        """Remove the dropped entries from the file of a segment."""
        with contextlib.suppress(OSError):  # a file that is too long changes no count
            descriptor = self._folder.open(segment.name)
            try:
                os.ftruncate(descriptor, segment.size)
            finally:
                os.close(descriptor)

    def note_sent(self, segments: Iterable[Segment]) -> None:
        """Append to the journal how much of each segment is settled."""
        notes = b"".join(_note(each.name, each.sent) for each in segments if not each.is_gone)
        if not notes or self._lock is None:
            return
        journal = self._journal
        status = journal and journal.status()
        if not journal or not status or status.st_size > _JOURNAL_LIMIT or self._is_behind:
            self._replace_journal()
            return
        self._is_behind = True
        write_all(journal.descriptor, notes)
        self._is_behind = False

    def catch_up(self) -> None:
        """Write the notes that the journal lacks, if the disk works again."""
        if self._is_behind and self._lock is not None:
            with contextlib.suppress(OSError):  # `note_sent` has raised the first error
                self._replace_journal()

    def _replace_journal(self) -> None:
        """Replace the journal by a new one, which has only the segments that still exist."""
        self._is_behind = True
        self._close_journal()
        sent = {segment.name: segment.sent for segment in (*self.segments(), *self._stuck)}
        sent.update(self._left)
        content = b"".join(_note(name, size) for name, size in sent.items() if size)
        self._folder.replace(sent_name(self.owner), content)
        self._is_behind = False
        self._journal = OpenFile(self._folder.append_to(sent_name(self.owner)))

    def keep_dead_letters(self, letters: list[bytes], limit: int) -> list[bool]:
        """Append dead letters to a file of at most `limit` bytes; return which letters had room."""
        if self._lock is None:
            return [False] * len(letters)
        dead = self._dead
        if dead is None or not dead.is_ours():
            self._dead = dead = OpenFile(self._folder.append_to(dead_name(self.owner)))
        are_kept = []
        size = os.fstat(dead.descriptor).st_size
        for letter in letters:
            is_kept = size + len(letter) <= limit
            if is_kept:
                _write_whole(dead.descriptor, letter, size)
                size += len(letter)
            are_kept.append(is_kept)
        return are_kept

    def finish(self) -> bool:
        """Remove all files, release the lock and return True, if no entry is left to send.

        Unreadable segments stay in the folder, with the journal and the lock file.
        """
        if any(not segment.is_settled for segment in self.segments()):
            return False
        for segment in list(self.segments()):
            self.remove(segment)
        if self._left:
            self.catch_up()
            self.close()
            return True
        self._close_journal()
        sent = sent_name(self.owner)
        # If a file cannot be removed, the next process that takes over these files tries again.
        with contextlib.suppress(OSError):
            for name in (*(segment.name for segment in self._stuck), draft_name(sent), sent):
                self._folder.remove(name)
            self._folder.remove(lock_name(self.owner))  # the lock file is removed last
        self.close()
        return True

    def relock(self, lock: OpenFile) -> None:
        """Use a new lock file, because the old one was removed or closed by the app."""
        old, self._lock = self._lock, lock
        unlock(old)

    def is_linked(self) -> bool:
        """False if the lock file was removed, or closed by the app."""
        return self._lock is not None and bool(self._lock.links())

    def close(self) -> None:
        """Close all files and release the lock; the files stay in the folder."""
        lock = self._lock
        self.release_in_child()
        unlock(lock)

    def release_in_child(self) -> None:
        """Close all files but the lock file: see `release_locks_in_child`."""
        self._lock = None
        for segment in self.segments():
            segment.seal()
            segment.stop_reading()
        self._close_journal()
        # The field is emptied first, because a signal handler can call this method, too. A second
        # close could close another file with the same number.
        dead, self._dead = self._dead, None
        if dead is not None:
            dead.close()

    def _close_journal(self) -> None:
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()


def _write_whole(descriptor: int, line: bytes, before: int) -> None:
    """Append a line or nothing, because half a line would make the next line corrupt."""
    try:
        write_all(descriptor, line)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, before)
        raise


def _note(name: str, sent: int) -> bytes:
    note = {"segment": name, "sent": sent}
    return json.dumps(note, separators=(",", ":")).encode() + b"\n"


def sent_of(journal: bytes) -> dict[str, int]:
    """Return how many bytes of each segment are settled, from the content of a journal.

    Lines that are not notes are skipped; the entries of a skipped note are sent again.
    """
    sent: dict[str, int] = {}
    for line in journal.split(b"\n"):
        try:
            note = json.loads(line)
            name, size = note["segment"], note["sent"]
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
        if isinstance(name, str) and isinstance(size, int):
            sent[name] = max(size, sent.get(name, 0))
    return sent
