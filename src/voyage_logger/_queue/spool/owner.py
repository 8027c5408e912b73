"""The files of one owner, which this process writes or has taken over.

An owner is one logger in one process. An owner has a lock file, segments (files of entries), a
journal and a dead-letter file. Each note in the journal says how many bytes of a segment are
settled. Settled entries were delivered, rejected or dropped, so they are not sent again.

What must stay true: this process holds the owner's lock while it uses the owner's files. When a
batch is settled, the journal is updated before the next batch is sent. A segment is removed only
after each entry in the segment was settled, or was dropped and counted.
"""

from __future__ import annotations

import contextlib
import errno
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
from voyage_logger._queue.spool.folder import rewrite, unlock, write_all
from voyage_logger._queue.spool.open_file import OpenFile
from voyage_logger._queue.spool.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voyage_logger._queue.spool.folder import Folder

# New notes are appended to the journal, and old notes are never overwritten. If a crash interrupted
# an overwrite, the note could mix digits of the old and the new number of settled bytes. If the
# mixed number were too high, some entries would never be sent.
_JOURNAL_LIMIT = 64 * 1024  # A journal with more bytes than this limit is replaced.


class OwnerFiles:
    """The files of one owner. The queue's lock protects all fields.

    The argument `lock` is the owner's lock file. The caller must lock this file first.

    Attributes:
        owner: The name of the owner.
        lanes: For each lane of the queue, all segments, sorted from the oldest to the newest.
        is_extra: True if the size of these files does not count toward the limit `max_bytes`.
    """

    def __init__(self, folder: Folder, owner: str, lock: OpenFile) -> None:
        self._folder = folder
        self.owner = owner
        self._lock: OpenFile | None = lock
        self.lanes: tuple[deque[Segment], ...] = tuple(deque() for _ in LANES)
        self._numbers = [0] * len(LANES)
        self.is_extra = False
        self._left: dict[str, int] = {}  # for each unreadable file: the number of settled bytes
        self._journal: OpenFile | None = None
        self._is_behind = False  # True if the journal lacks a note or has an incomplete note
        self._dead: OpenFile | None = None
        self._stuck: list[Segment] = []  # settled segments whose files could not be removed

    def describe(self, description: bytes, before: bytes = b"") -> None:
        """Write `description` into the lock file. If the write fails, write `before` again."""
        assert self._lock is not None  # noqa: S101 - the type checker needs this assertion
        rewrite(self._lock, description, before)

    def segments(self) -> Iterator[Segment]:
        """Yield all segments, one lane after the other. In each lane, the oldest comes first."""
        for lane in self.lanes:
            yield from tuple(lane)  # a copy, because a signal handler may change the lane

    def open_segment(self, lane: int) -> Segment:
        """Create a new segment, and open it for writing."""
        self._numbers[lane] += 1
        name = segment_name(self.owner, lane, self._numbers[lane])
        segment = Segment(name, lane, self._folder.create(name))
        self.lanes[lane].append(segment)
        return segment

    def seal(self, segment: Segment) -> None:
        """Close a segment for writing. If its file can no longer be opened, it stays readable."""
        segment.seal(self._folder)

    def add(self, segment: Segment) -> None:
        """Add a segment of another process. The caller adds the oldest segment of a lane first."""
        self.lanes[segment.lane].append(segment)

    @property
    def unread(self) -> int:
        return sum(segment.unread for segment in self.segments())

    @property
    def ready(self) -> int:
        """The number of entries that the worker can take now."""
        return sum(segment.ready for segment in self.segments())

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments())

    @property
    def unsettled(self) -> int:
        """The total number of unsettled bytes in all segments."""
        return sum(segment.size - segment.sent for segment in self.segments())

    def head(self) -> int:
        """Return the sequence number of the first untaken entry, or `NEVER` if there is none."""
        return min((segment.head for segment in self.segments()), default=NEVER)

    def ready_head(self) -> int:
        """Do the same as `head`, but ignore segments that are set aside after a failed read."""
        ready = (segment.head for segment in self.segments() if not segment.is_set_aside)
        return min(ready, default=NEVER)

    def remove(self, segment: Segment) -> None:
        """Remove a segment and its file. All entries of the segment must be settled."""
        segment.stop_reading()
        self.forget(segment)
        if self._lock is not None:
            try:
                self._folder.remove(segment.name)
            except OSError:
                self._stuck.append(segment)  # `finish` tries to remove the file again
                with contextlib.suppress(OSError):  # The next process must not send the entries.
                    segment.shorten(self._folder, 0)

    def forget(self, segment: Segment, *, is_left: bool = False) -> None:
        """Remove a segment from its lane. If `is_left` is true, `finish` keeps the file."""
        if is_left:
            self.leave(segment.name, segment.sent)
        segment.is_gone = True
        segment.seal()
        self.lanes[segment.lane].remove(segment)

    def leave(self, name: str, sent: int) -> None:
        """Mark a segment as unreadable: `finish` then leaves the segment's file in the folder."""
        self._left[name] = sent

    def shorten(self, segment: Segment) -> None:
        """Cut off the dropped entries at the end of a segment's file."""
        with contextlib.suppress(OSError):  # after an error, the dropped entries stay in the file
            segment.shorten(self._folder, segment.size)

    def note_sent(self, segments: Iterable[Segment]) -> None:
        """For each given segment, write the number of settled bytes into the journal."""
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
        """If earlier notes could not be written to the journal, try to write them now."""
        if self._is_behind and self._lock is not None:
            with contextlib.suppress(OSError):  # the caller of `note_sent` already got this error
                self._replace_journal()

    def _replace_journal(self) -> None:
        """Write a new journal with one note for each segment whose file still exists."""
        self._is_behind = True
        sent = {segment.name: segment.sent for segment in (*self.segments(), *self._stuck)}
        sent.update(self._left)
        content = b"".join(_note(name, size) for name, size in sent.items() if size)
        try:
            self._folder.replace(sent_name(self.owner), content)
        except PermissionError:
            self._refill_journal(content)
        else:
            self._close_journal()
            self._journal = OpenFile(self._folder.append_to(sent_name(self.owner)))
        self._is_behind = False

    def _refill_journal(self, content: bytes) -> None:
        """If this process has lost the right to make files, write to the open journal.

        If the process is killed during this call, the journal is empty, and entries arrive twice.
        """
        journal = self._journal
        if journal is None or not journal.is_ours():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        os.ftruncate(journal.descriptor, 0)
        write_all(journal.descriptor, content)

    def keep_dead_letters(self, letters: list[bytes], limit: int) -> list[bool]:
        """Append dead letters while the file has room. Return which letters were appended."""
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
        """If no entry is left to send, remove the files, release the lock and return True.

        The dead-letter file stays in the folder. If a segment is unreadable, its file stays, and so
        do the journal and the lock file.
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
        # If this process cannot remove a file, the next process that adopts the files tries again.
        with contextlib.suppress(OSError):
            for name in (*(segment.name for segment in self._stuck), draft_name(sent), sent):
                self._folder.remove(name)
            self._folder.remove(lock_name(self.owner))  # the lock file is removed last
        self.close()
        return True

    def relock(self, lock: OpenFile) -> None:
        """Use a new lock file, because the old lock file was removed or was closed by the app."""
        old, self._lock = self._lock, lock
        unlock(old)

    def is_linked(self) -> bool:
        """True if the lock file is still in its folder, and the app has not closed the file."""
        return self._lock is not None and bool(self._lock.links())

    def close(self) -> None:
        """Close all files and release the lock. The files stay in the folder."""
        lock = self._lock
        self.release_in_child()
        unlock(lock)

    def release_in_child(self) -> None:
        """Close all files except the lock file. The caller closes the lock file separately."""
        self._lock = None
        for segment in self.segments():
            segment.seal()
            segment.stop_reading()
        self._close_journal()
        # `_dead` is set to None before the file is closed, because a signal handler may call this
        # method, too. If a descriptor is closed twice, the second close may close another file.
        dead, self._dead = self._dead, None
        if dead is not None:
            dead.close()

    def _close_journal(self) -> None:
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()


def _write_whole(descriptor: int, line: bytes, before: int) -> None:
    """Append a line. If the write fails, cut the file to its old size of `before` bytes."""
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
    """Read a journal, and return the number of settled bytes of each segment.

    Invalid lines are skipped. If a note is damaged, some settled entries may be sent again.
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
