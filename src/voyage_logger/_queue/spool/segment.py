"""A segment: one file of entries of one level, appended to by log calls and read by the worker.

What must stay true: of each segment a beginning is sent, a beginning that may be longer is taken
(sent, or in flight), and both only grow; a descriptor for writing is used under the queue's lock
only, one for reading by the worker only.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from typing import TYPE_CHECKING

from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool.folder import OpenFile, write_all
from voyage_logger._queue.spool.lines import count_of, lines_in, remove_half

if TYPE_CHECKING:
    from voyage_logger._queue.spool.folder import Folder
    from voyage_logger._queue.spool.lines import Line

_CHUNK = 256 * 1024  # bytes that are read at once


class _Reader(OpenFile):
    """A descriptor that is closed when nobody uses it any more.

    A log call may give up a segment that the worker is reading: closed under its hands, the
    number could by then be another file's.
    """

    __slots__ = ()

    def __del__(self) -> None:
        self.close()


class Segment:
    """One file of a spool.

    Args:
        name: The file's name.
        lane: The lane of its entries.
        descriptor: The file, open for writing, or None if nothing more is written to it.

    All fields are guarded by the queue's lock.

    Attributes:
        size, entries: How much was written: bytes, lines.
        taken, taken_entries: How much of that was given out to be sent, from the beginning.
        sent, sent_entries: How much of that is settled, from the beginning.
        head: The sequence number of the first line not taken, `NEVER` if there is none.
        last: The sequence number of the last line, `NEVER` if there is none or it is not known.
        needs_check: True if each line has to be looked at, for it was written by another process.
        descriptor: The file, if it can be written to.
        is_gone: True once the rest was given up; the file is removed, about to be, or left behind.
        is_set_aside: True until the next look at the folder, for it could not be read just now.
        is_told: True once people have been told of that.
        written_at: When it was last written to, by the monotonic clock.
    """

    __slots__ = (
        "_fetched",
        "_file",
        "_lines",
        "_reader",
        "_torn",
        "descriptor",
        "entries",
        "head",
        "is_gone",
        "is_set_aside",
        "is_told",
        "lane",
        "last",
        "name",
        "needs_check",
        "sent",
        "sent_entries",
        "size",
        "taken",
        "taken_entries",
        "written_at",
    )

    def __init__(self, name: str, lane: int, descriptor: int | None = None) -> None:
        self.name = name
        self.lane = lane
        self.descriptor = descriptor
        self._file = None if descriptor is None else OpenFile(descriptor)
        self._reader: _Reader | None = None
        self._lines: deque[Line] = deque()  # read, and not yet taken
        self._fetched = 0  # where the next read begins
        self._torn = 0  # bytes after the last whole line, when it was last counted anew
        self.size = self.entries = 0
        self.taken = self.taken_entries = 0
        self.sent = self.sent_entries = 0
        self.head = self.last = NEVER
        self.needs_check = False
        self.is_gone = self.is_set_aside = self.is_told = False
        self.written_at = 0.0

    @property
    def unread(self) -> int:
        """How many entries are not taken."""
        return self.entries - self.taken_entries

    @property
    def ready(self) -> int:
        """How many entries may be taken now."""
        return 0 if self.is_set_aside else self.unread

    @property
    def is_settled(self) -> bool:
        """True if nothing of it is waiting or in flight."""
        return self.sent_entries == self.entries

    @property
    def is_open(self) -> bool:
        """True if it can be written to."""
        return self.descriptor is not None

    def resume(self, sent: int, size: int, entries: int) -> None:
        """Makes it the rest of a file that was begun, and partly sent, by another process."""
        self.sent = self.taken = self._fetched = sent
        self.size = size
        self.entries = entries
        self.head = 0
        self.needs_check = True

    # Writing, by log calls.

    def write(self, line: bytes, sequence: int, now: float) -> None:
        """Appends a line, and counts it; for entries that wait in memory and move to the disk.

        Log calls go by `WritingQueue._write`, which sets the same fields itself, in one run with
        the queue's counts: the call of a method between them would be a place where a handler
        comes that logs, and finds a line in one count and not in the other.

        Raises:
            OSError: It did not work out: for `take_back`.
        """
        assert self.descriptor is not None  # noqa: S101 - for the type checker
        self.size += len(line)
        self.entries += 1
        self.head = min(self.head, sequence)
        self.last = sequence
        self.written_at = now
        write_all(self.descriptor, line)

    def take_back(self, size: int, before: int) -> bytes:
        """Undoes a write that has failed: half a line would spoil the next one.

        Args:
            size: The bytes of the line, which count so far.
            before: How many bytes the segment had.

        Returns:
            What a handler has logged right after that write, if it has no place here any more.
        """
        lost = b""
        # Out of reach until all is right: another such handler finds a segment that has ended.
        descriptor, self.descriptor = self.descriptor, None
        since = self.size - before - size
        self.size -= size
        self.entries -= 1
        if descriptor is not None and self.is_ours():
            with contextlib.suppress(OSError):  # nothing more is written to it in any case
                lost = remove_half(descriptor, size, since)
            self.descriptor = descriptor
        self.size -= len(lost)
        self.entries -= lost.count(b"\n")
        if not self.unread:
            self.head = NEVER
        return lost

    def reopen(self, descriptor: int) -> None:
        """Takes up the writing, with a new descriptor of the file."""
        self._file = OpenFile(descriptor)
        self.descriptor = descriptor

    def seal(self) -> None:
        """Ends the writing."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None and self._file is not None:
            file, self._file = self._file, None
            file.close()

    def is_ours(self) -> bool:
        """True if it can be written to, and what is written goes into its file."""
        return self._file is not None and self._file.is_ours()

    def is_linked(self) -> bool:
        """False if the file that is being written was removed from its folder."""
        # None: the app has closed it, which says nothing of the file.
        return self._file is None or self._file.links() != 0

    def read_untaken(self) -> list[tuple[int, bytes]]:
        """The entries not taken, read through the descriptor that writes them."""
        if self.descriptor is None or not self.is_ours():
            return []
        try:
            os.lseek(self.descriptor, self.taken, os.SEEK_SET)
            data = b""  # without another descriptor, of which there may be no more
            while piece := os.read(self.descriptor, self.size - self.taken - len(data)):
                data += piece
        except OSError:
            return []  # the caller counts what it does not get
        lines, _ = lines_in(data, self.taken, needs_check=False)
        return [(sequence, payload) for sequence, payload, *_ in lines if payload is not None]

    # Reading, by the worker.

    def wants_lines(self) -> bool:
        """True if there is more to read, and nothing that was read is left. Under the lock."""
        return not self._lines and self.taken < self.size and not self.is_gone

    def fetch(self, folder: Folder, end: int) -> tuple[list[Line], int]:
        """Reads on, without the lock.

        Args:
            folder: Where the file is.
            end: The size, as it was seen under the lock: no line is half written before it.

        Returns:
            The next lines and where they end, for `keep`.

        Raises:
            OSError: The file cannot be read.
        """
        begin = self._fetched
        reader = self._reader
        if reader is None or not reader.is_ours():
            reader = self._reader = _Reader(folder.open(self.name))
        length = _CHUNK
        while True:
            os.lseek(reader.descriptor, begin, os.SEEK_SET)
            data = os.read(reader.descriptor, min(length, end - begin))
            lines, read_to = lines_in(data, begin, needs_check=self.needs_check)
            if lines or length >= end - begin:
                return lines, read_to
            length *= 2  # a line longer than a chunk

    def keep(self, lines: list[Line], read_to: int) -> bool:
        """Takes over what `fetch` has read, unless the segment was cut meanwhile.

        Returns:
            False if others have changed the file: it has to be counted anew.

        Raises:
            OSError: There is nothing more to read in it, though there should be.
        """
        if self.is_gone or read_to > self.size:
            return True
        count = sum(map(count_of, lines))
        is_end = read_to == self.size
        # The last line is where the file ends, and no other is.
        if self._is_longer() or count > self.unread or is_end != (count == self.unread):
            return False
        if not lines:
            raise OSError(errno.EIO, "a segment is shorter than it was")
        self._lines.extend(lines)
        self._fetched = read_to
        self.head = lines[0][0]
        return True

    def _is_longer(self) -> bool:
        """True if others have written to a file of this process since it was counted."""
        if self.last == NEVER or self._reader is None:
            return False
        with contextlib.suppress(OSError):  # closed by the app: opened again for the next read
            return os.fstat(self._reader.descriptor).st_size > self.size + self._torn
        return False

    def recount(self, folder: Folder) -> tuple[int, int]:
        """Counts anew what is not taken.

        Returns:
            How many bytes and lines more there are than were known.

        Raises:
            OSError: The file cannot be read.
        """
        with os.fdopen(folder.open(self.name), "rb") as file:
            file.seek(self.taken)
            rest = file.read()
        size, entries = self.size, self.entries
        self.size = self.taken + rest.rfind(b"\n") + 1
        self.entries = self.taken_entries + rest.count(b"\n")
        self._torn = self.taken + len(rest) - self.size
        self.needs_check = True
        if not self.unread:
            self.head = NEVER
        return self.size - size, self.entries - entries

    def peek(self) -> Line | None:
        """The next line, or None if it has to be fetched first, or there is none."""
        return self._lines[0] if self._lines else None

    def advance(self) -> None:
        """Takes the next line."""
        line = self._lines.popleft()
        self.taken = line[2]
        self.taken_entries += count_of(line)
        if self._lines:
            self.head = self._lines[0][0]
        else:
            # Not known before the next fetch; for the order of what is left, later than this one.
            self.head = self.head + 1 if self.taken < self.size else NEVER

    # The end.

    def settle(self, end: int, lines: int) -> None:
        """Notes that so many more lines are settled, up to a place in the file."""
        self.sent = end
        self.sent_entries += lines

    def count_until(self, folder: Folder, sequence: int, begin: int, end: int) -> int:
        """How many entries of a part of the file have a number up to `sequence`.

        Reads the file, by a descriptor of its own, in whatever thread.
        """
        try:
            with os.fdopen(folder.open(self.name), "rb") as file:
                file.seek(begin)
                lines, _ = lines_in(file.read(end - begin), begin, needs_check=False)
        except OSError:
            return self.unread  # removed, or out of reach: more rather than less is pending
        return sum(count_of(line) for line in lines if line[0] <= sequence)

    def cut(self) -> int:
        """Gives up what is not taken, and says how many entries that were."""
        count = self.unread
        self.size, self.entries = self.taken, self.taken_entries
        self.head = NEVER
        self._lines.clear()
        self.seal()
        return count

    def forget_lines(self) -> None:
        """Forgets what was read and not taken, which is read again when its turn comes."""
        self._lines.clear()
        self._fetched = self.taken
        self.stop_reading()

    def stop_reading(self) -> None:
        """Closes the descriptor for reading, once a `fetch` under way is done with it."""
        self._reader = None
