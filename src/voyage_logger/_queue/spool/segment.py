"""A segment: one file with the entries of one lane. Each level of entries has its own lane.

Log calls append entries to the file. The worker reads the file and takes entries: taken entries are
in flight until they are settled. An entry is settled after it was delivered, rejected or dropped.

What must stay true: the settled entries come first in the file, then the entries in flight, and
last the entries that are not taken. The numbers of settled entries and of taken entries never fall.
A thread uses the descriptor for writing only while it holds the lock of the queue. Only the worker
uses the descriptor for reading.
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

_CHUNK = 256 * 1024  # bytes per read


class _Reader(OpenFile):
    """A file that is closed when no thread uses this instance any more.

    A log call may drop a segment while the worker reads the file. If the log call closed the
    descriptor, its number could go to another file, and the worker would read the wrong file.
    """

    __slots__ = ()

    def __del__(self) -> None:
        self.close()


class Segment:
    """One segment of a spool.

    The queue's lock guards all fields, but the worker uses `_reader` and `_fetched` without a lock.

    Attributes:
        name: The name of the file.
        lane: The number of the lane to which all entries of the file belong.
        size, entries: The number of bytes and of lines, without dropped entries.
        taken, taken_entries: The number of bytes and of lines that the worker has taken.
        sent, sent_entries: The number of bytes and of lines that are settled.
        head: The sequence number of the first line that is not taken, or `NEVER`.
        last: The sequence number of the last line, or `NEVER` if the number is not known.
        needs_check: True if each line must be parsed, because another process wrote the file.
        descriptor: The descriptor for writing, or None if this process does not write to the file.
        is_gone: True if this process no longer uses the file, or will soon remove it.
        is_set_aside: True if a read failed; the worker skips the file until the next maintenance.
        is_told: True if the failed read was already reported.
        written_at: The time of the last write, by the monotonic clock.
    """

    def __init__(self, name: str, lane: int, descriptor: int | None = None) -> None:
        self.name = name
        self.lane = lane
        self.descriptor = descriptor
        self._file = None if descriptor is None else OpenFile(descriptor)
        self._reader: _Reader | None = None
        self._lines: deque[Line] = deque()  # Lines that were read but are not taken.
        self._fetched = 0  # The position in the file where the next read starts.
        self._torn = 0  # The number of bytes that `recount` found after the last whole line.
        self.size = self.entries = 0
        self.taken = self.taken_entries = 0
        self.sent = self.sent_entries = 0
        self.head = self.last = NEVER
        self.needs_check = False
        self.is_gone = self.is_set_aside = self.is_told = False
        self.written_at = 0.0

    @property
    def unread(self) -> int:
        """The number of entries that the worker has not taken."""
        return self.entries - self.taken_entries

    @property
    def ready(self) -> int:
        """The number of entries that the worker can take now."""
        return 0 if self.is_set_aside else self.unread

    @property
    def is_settled(self) -> bool:
        """True if no entry of the segment is waiting or in flight."""
        return self.sent_entries == self.entries

    @property
    def is_open(self) -> bool:
        """True if log calls can write to the segment."""
        return self.descriptor is not None

    def resume(self, sent: int, size: int, entries: int) -> None:
        """Set positions and counts for a file of another process; `sent` bytes are settled."""
        self.sent = self.taken = self._fetched = sent
        self.size = size
        self.entries = entries
        self.head = 0
        self.needs_check = True

    def write(self, line: bytes, sequence: int, now: float) -> None:
        """Append the line of an entry that moves from memory to the disk, and count the line.

        Log calls do not use this method. A signal handler that logs could run after this method and
        before the counts of the queue change. After an error, the caller must call `take_back`.
        """
        assert self.descriptor is not None  # noqa: S101 - the type checker needs this assertion
        self.size += len(line)
        self.entries += 1
        self.head = min(self.head, sequence)
        self.last = sequence
        self.written_at = now
        write_all(self.descriptor, line)

    def take_back(self, size: int, before: int) -> bytes:
        """Undo a failed write of `size` bytes to a segment that had `before` bytes.

        An incomplete line would make the next line corrupt. A signal handler may have logged more
        lines after the failed write. If these later lines are lost, this method returns them.
        """
        lost = b""
        # The descriptor is None during the repair, so that no signal handler writes to the file.
        descriptor, self.descriptor = self.descriptor, None
        since = self.size - before - size
        self.size -= size
        self.entries -= 1
        if descriptor is not None and self.is_ours():
            with contextlib.suppress(OSError):  # after an error, the caller closes the descriptor
                lost = remove_half(descriptor, size, since)
            self.descriptor = descriptor
        self.size -= len(lost)
        self.entries -= lost.count(b"\n")
        if not self.unread:
            self.head = NEVER
        return lost

    def reopen(self, descriptor: int) -> None:
        """Make the segment writable again, with a new descriptor of the file."""
        self._file = OpenFile(descriptor)
        self.descriptor = descriptor

    def seal(self) -> None:
        """Close the descriptor for writing."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None and self._file is not None:
            file, self._file = self._file, None
            file.close()

    def is_ours(self) -> bool:
        """True if the descriptor for writing still refers to the file of this segment."""
        return self._file is not None and self._file.is_ours()

    def is_linked(self) -> bool:
        """False if the file was removed from the folder while it was open for writing."""
        # If the app has closed the descriptor, `links` returns None, but the file may still exist.
        return self._file is None or self._file.links() != 0

    def read_untaken(self) -> list[tuple[int, bytes]]:
        """Return the entries that are not taken, even if the file was removed from the folder."""
        if self.descriptor is None or not self.is_ours():
            return []
        try:
            os.lseek(self.descriptor, self.taken, os.SEEK_SET)
            data = b""
            while piece := os.read(self.descriptor, self.size - self.taken - len(data)):
                data += piece
        except OSError:
            return []  # the caller counts the missing entries as dropped
        lines, _ = lines_in(data, self.taken, needs_check=False)
        return [(sequence, payload) for sequence, payload, *_ in lines if payload is not None]

    def wants_lines(self) -> bool:
        """True if `fetch` must read more lines from the file."""
        return not self._lines and self.taken < self.size and not self.is_gone

    def fetch(self, folder: Folder, end: int) -> tuple[list[Line], int]:
        """Read the next lines, up to the position `end`. The caller passes the result to `keep`.

        The caller must not hold the lock of the queue, because a read can take long.
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
            length *= 2  # the line is longer than the chunk

    def keep(self, lines: list[Line], read_to: int) -> bool:
        """Store the lines that `fetch` has read, unless entries were dropped after the read.

        If another process has changed the file, return False: the caller must call `recount`.
        """
        if self.is_gone or read_to > self.size:
            return True
        count = sum(map(count_of, lines))
        is_end = read_to == self.size
        # If the last line does not end at `size`, another process has changed the file.
        if self._is_longer() or count > self.unread or is_end != (count == self.unread):
            return False
        if not lines:
            raise OSError(errno.EIO, "a segment is shorter than it was")
        self._lines.extend(lines)
        self._fetched = read_to
        self.head = lines[0][0]
        return True

    def _is_longer(self) -> bool:
        """True if another process has appended bytes to a file that this process wrote."""
        if self.last == NEVER or self._reader is None:
            return False
        with contextlib.suppress(OSError):  # the app closed the file; the next read opens it again
            return os.fstat(self._reader.descriptor).st_size > self.size + self._torn
        return False

    def recount(self, folder: Folder) -> tuple[int, int]:
        """Count the untaken lines again. Return the changes of `size` and `entries`."""
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
        """Return the next line, or None if no line is in memory."""
        return self._lines[0] if self._lines else None

    def advance(self) -> None:
        """Count the next line as taken."""
        line = self._lines.popleft()
        self.taken = line[2]
        self.taken_entries += count_of(line)
        if self._lines:
            self.head = self._lines[0][0]
        else:
            # The next `fetch` finds the real sequence number of the next line. Before this `fetch`,
            # the old sequence number plus 1 keeps the segments in the right order.
            self.head = self.head + 1 if self.taken < self.size else NEVER

    def settle(self, end: int, lines: int) -> None:
        """Count `lines` more lines as settled. The last of these lines ends at position `end`."""
        self.sent = end
        self.sent_entries += lines

    def count_until(self, folder: Folder, sequence: int, begin: int, end: int) -> int:
        """Count the entries from `begin` to `end` whose sequence number is at most `sequence`.

        This method opens the file itself, so any thread may call the method.
        """
        try:
            with os.fdopen(folder.open(self.name), "rb") as file:
                file.seek(begin)
                lines, _ = lines_in(file.read(end - begin), begin, needs_check=False)
        except OSError:
            return self.unread  # if the read fails, all entries count as pending
        return sum(count_of(line) for line in lines if line[0] <= sequence)

    def cut(self) -> int:
        """Stop counting the entries that are not taken, and return their number."""
        count = self.unread
        self.size, self.entries = self.taken, self.taken_entries
        self.head = NEVER
        self._lines.clear()
        self.seal()
        return count

    def forget_lines(self) -> None:
        """Free the memory of lines that are not taken. `fetch` can read these lines again."""
        self._lines.clear()
        self._fetched = self.taken
        self.stop_reading()

    def stop_reading(self) -> None:
        """Close the descriptor for reading, as soon as no running `fetch` uses it."""
        self._reader = None
