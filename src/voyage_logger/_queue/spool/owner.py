"""A stream: the segments of one owner, whoever of the living it belongs to now.

What must stay true: the owner's lock is held from the first file to the last; how much of each
segment the server has is on the disk before the next batch is sent; a segment is removed only when
nothing of it is left to send, or it was given up and counted.
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

_JOURNAL_LIMIT = 64 * 1024  # bytes, beyond which it is written anew


class OwnerFiles:
    """The files of one owner.

    Args:
        folder: Where they are.
        owner: The owner's name.
        lock: The lock file, locked.

    Attributes:
        lanes: The segments, by level, oldest first.
        is_extra: True if it does not count among what a logger may have: it had its place before.

    Guarded by the queue's lock.
    """

    def __init__(self, folder: Folder, owner: str, lock: OpenFile) -> None:
        self._folder = folder
        self.owner = owner
        self._lock: OpenFile | None = lock
        self.lanes: tuple[deque[Segment], ...] = tuple(deque() for _ in LANES)
        self._numbers = [0] * len(LANES)
        self.is_extra = False
        self._left: dict[str, int] = {}  # files that are for another one to read: what is sent
        self._journal: OpenFile | None = None
        self._journal_size = 0
        self._is_behind = False  # the journal lacks something, or ends in half a line
        self._dead: OpenFile | None = None
        self._stuck: list[Segment] = []  # their files could not be removed

    def describe(self, description: bytes, before: bytes = b"") -> None:
        """Writes into the lock file what people and adopters want to know of the owner.

        Args:
            description: That.
            before: What is there now.

        Raises:
            OSError: It cannot be written; what is there now stays.
        """
        assert self._lock is not None  # noqa: S101 - for the type checker
        rewrite(self._lock, description, before)

    def segments(self) -> Iterator[Segment]:
        """All segments; those of a lane in the order of their entries."""
        for lane in self.lanes:
            yield from tuple(lane)  # a handler that logs may change it meanwhile

    def open_segment(self, lane: int) -> Segment:
        """Makes a new segment to write to.

        Raises:
            OSError: It cannot be made.
        """
        self._numbers[lane] += 1
        name = segment_name(self.owner, lane, self._numbers[lane])
        segment = Segment(name, lane, self._folder.create(name))
        self.lanes[lane].append(segment)
        return segment

    def add(self, segment: Segment) -> None:
        """Takes over a segment that is there already; in the order of their numbers."""
        self.lanes[segment.lane].append(segment)

    @property
    def unread(self) -> int:
        """How many entries are not taken."""
        return sum(segment.unread for segment in self.segments())

    @property
    def ready(self) -> int:
        """How many of those may be taken now."""
        return sum(segment.ready for segment in self.segments())

    @property
    def size(self) -> int:
        """The bytes of all segments."""
        return sum(segment.size for segment in self.segments())

    @property
    def unsettled(self) -> int:
        """The bytes of them that are not settled."""
        return sum(segment.size - segment.sent for segment in self.segments())

    def head(self) -> int:
        """The sequence number of the oldest entry not taken, `NEVER` if there is none."""
        return min((segment.head for segment in self.segments()), default=NEVER)

    def ready_head(self) -> int:
        """The same of those that may be taken now."""
        ready = (segment.head for segment in self.segments() if not segment.is_set_aside)
        return min(ready, default=NEVER)

    def remove(self, segment: Segment) -> None:
        """Removes a segment, of which nothing is left to send."""
        segment.is_gone = True
        segment.seal()
        segment.stop_reading()
        self.lanes[segment.lane].remove(segment)
        if self._lock is not None:
            try:
                self._folder.remove(segment.name)
            except OSError:
                self._stuck.append(segment)  # `finish` tries again; the journal knows it as sent

    def forget(self, segment: Segment, *, is_left: bool = False) -> None:
        """Leaves a segment's file to itself.

        Args:
            segment: The segment.
            is_left: Whether there is something in it for another process to try.
        """
        if is_left:
            self.leave(segment.name, segment.sent)
        segment.is_gone = True
        segment.seal()
        self.lanes[segment.lane].remove(segment)

    def leave(self, name: str, sent: int) -> None:
        """Leaves a file that this process cannot read, and the lock file with it."""
        self._left[name] = sent

    def shorten(self, segment: Segment) -> None:
        """Cuts the file of a segment to what is in flight."""
        with contextlib.suppress(OSError):  # then the disk has more than counts; all stays right
            descriptor = self._folder.open(segment.name)
            try:
                os.ftruncate(descriptor, segment.size)
            finally:
                os.close(descriptor)

    def note_sent(self, segments: Iterable[Segment]) -> None:
        """Notes on the disk how much of each is settled.

        Raises:
            OSError: It cannot be written; then a crash makes what was settled come again.
        """
        lines = [_note(each.name, each.sent) for each in segments if not each.is_gone]
        if not lines or self._lock is None:
            return
        journal = self._journal
        is_to_begin = self._is_behind or self._journal_size > _JOURNAL_LIMIT
        if journal is None or is_to_begin or not journal.is_ours():
            self._begin_journal()
            return
        data = b"".join(lines)
        self._is_behind = True  # until all of it is written
        write_all(journal.descriptor, data)
        self._is_behind = False
        self._journal_size += len(data)

    def catch_up(self) -> None:
        """Notes what could not be noted when it was settled, if that works now."""
        if self._is_behind and self._lock is not None:
            with contextlib.suppress(OSError):  # it was told then
                self._begin_journal()

    def _begin_journal(self) -> None:
        """Writes the journal anew, with what matters still."""
        self._is_behind = True
        self._close_journal()
        sent = {segment.name: segment.sent for segment in (*self.segments(), *self._stuck)}
        sent.update(self._left)
        content = b"".join(_note(name, size) for name, size in sent.items() if size)
        self._folder.replace(sent_name(self.owner), content)
        self._is_behind = False
        self._journal_size = len(content)
        self._journal = OpenFile(self._folder.append_to(sent_name(self.owner)))

    def keep_dead_letters(self, letters: list[bytes], limit: int) -> list[bool]:
        """Writes rejected entries to the dead-letter file.

        Args:
            letters: Lines.
            limit: The most bytes of that file.

        Returns:
            Of each, whether it had a place.

        Raises:
            OSError: The file cannot be written.
        """
        if self._lock is None:
            return [False] * len(letters)
        are_kept = []
        dead, size = self._open_dead()
        for letter in letters:
            has_place = size + len(letter) <= limit
            are_kept.append(has_place)
            if not has_place:
                continue
            _write_whole(dead, letter, size)
            size += len(letter)
        return are_kept

    def _open_dead(self) -> tuple[int, int]:
        """The dead-letter file, and its size."""
        dead = self._dead
        if dead is None or not dead.is_ours():
            self._dead = dead = OpenFile(self._folder.append_to(dead_name(self.owner)))
        return dead.descriptor, os.fstat(dead.descriptor).st_size

    def finish(self) -> bool:
        """Removes the owner's files and gives up its lock, if nothing is left to send.

        What this process could not read stays, and the lock file and the journal with it.
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
        # Where that fails, whoever comes next finds that all was sent, and tries it again.
        with contextlib.suppress(OSError):
            for name in (*(segment.name for segment in self._stuck), draft_name(sent), sent):
                self._folder.remove(name)
            self._folder.remove(lock_name(self.owner))  # last: until then nobody else may look
        self.close()
        return True

    def relock(self, lock: OpenFile) -> None:
        """Takes a new lock in the place of one whose file was removed, or closed by the app."""
        old, self._lock = self._lock, lock
        if old is not None:
            unlock(old)

    def is_linked(self) -> bool:
        """False if the lock file, or the whole folder, was removed, or its descriptor closed."""
        return self._lock is not None and bool(self._lock.links())

    def close(self) -> None:
        """Closes all files and gives the lock back; what is left is for who takes it next."""
        lock = self._lock
        self.release_in_child()
        if lock is not None:
            unlock(lock)

    def release_in_child(self) -> None:
        """Closes all files but the lock file, which others may hold as well.

        See `release_locks_in_child`.
        """
        self._lock = None
        for segment in self.segments():
            segment.seal()
            segment.stop_reading()
        self._close_journal()
        # Forgotten before they are closed: a handler that comes here in between must not close a
        # number that may by then be another file's.
        dead, self._dead = self._dead, None
        if dead is not None:
            dead.close()

    def _close_journal(self) -> None:
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()


def _write_whole(descriptor: int, line: bytes, before: int) -> None:
    """Appends a line to a file, or nothing: half of it would spoil the next one.

    Raises:
        OSError: It did not work out.
    """
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
    """How much of each segment is settled, as a journal says; a line that is none is passed over.

    What a torn line would have said is sent again, which is what can be done.
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
