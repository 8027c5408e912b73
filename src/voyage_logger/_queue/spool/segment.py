"""A segment: one file with the entries of one lane. Each level of entries has its own lane.

Log calls append entries to the file. The worker reads the file and takes entries. A taken entry is
in flight until it is settled. An entry is settled after it was delivered, rejected or dropped.

What must stay true: the settled entries come first in the file, then the entries in flight, and
last the entries that are not taken. The counts of settled entries and of taken entries never
decrease. A thread must hold the queue's lock while it writes to the file. Only the worker uses the
descriptor for reading.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from typing import TYPE_CHECKING

from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool.folder import write_all
from voyage_logger._queue.spool.lines import count_of, lines_in, remove_half
from voyage_logger._queue.spool.open_file import OpenFile, ReadableFile

if TYPE_CHECKING:
    from voyage_logger._queue.spool.folder import Folder
    from voyage_logger._queue.spool.lines import Line

_CHUNK = 256 * 1024  # bytes per read


class Segment:
    """One segment of a spool.

    The queue's lock protects all fields. Only `_reader` and `_fetched` are used without the lock.

    Attributes:
        name: The name of the file.
        lane: The lane number of all entries in the file.
        size, entries: The number of bytes and of lines in the file. Dropped entries do not count.
        taken, taken_entries: The number of bytes and of lines that the worker has taken.
        sent, sent_entries: The number of bytes and of lines that are settled.
        head: The sequence number of the first untaken line, or `NEVER` if all lines are taken.
        last: The sequence number of the last line, or `NEVER` if the number is unknown.
        needs_check: True if each line must be parsed, because another process wrote the file.
        descriptor: The descriptor for writing, or None if this process does not write to the file.
        is_gone: True if the file is removed, will soon be removed, or is left to other processes.
        is_set_aside: True if a read failed. The worker skips the file until the next maintenance.
        is_told: True if the failed read was already reported to the user.
        written_at: The monotonic time of the last write, in seconds.
    """

    def __init__(self, name: str, lane: int, descriptor: int | None = None) -> None:
        self.name = name
        self.lane = lane
        self.descriptor = descriptor
        self._file = None if descriptor is None else OpenFile(descriptor)
        self._reader: ReadableFile | None = None
        self._kept: ReadableFile | None = None  # See `seal`.
        self._lines: deque[Line] = deque()  # These lines were read, but are not taken yet.
        self._fetched = 0  # The position in the file where the next read starts.
        self._torn = 0  # The number of bytes that `recount` found after the last complete line.
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
        """Set the counts for a file of another process. The first `sent` bytes are settled."""
        self.sent = self.taken = self._fetched = sent
        self.size = size
        self.entries = entries
        self.head = 0
        self.needs_check = True

    def write(self, line: bytes, sequence: int, now: float) -> None:
        """Append and count the line of an entry that moves from memory to the disk.

        Log calls do not use this method: a signal handler could add an entry before the queue
        counts this entry. The counts would then be wrong. After an error, use `take_back`.

        Raises:
            OSError: The disk fails.
            TypeError: A signal handler has sealed the segment.
        """
        self.size += len(line)
        self.entries += 1
        self.head = min(self.head, sequence)
        self.last = sequence
        self.written_at = now
        write_all(self.descriptor, line)  # type: ignore[arg-type]

    def take_back(self, size: int, before: int) -> bytes:
        """Undo a failed write of `size` bytes to a segment that had `before` bytes.

        Without this repair, the next line would be appended to an incomplete line. A signal
        handler may have logged more lines after the failed write. If the repair loses the lines of
        the signal handler, this method returns the lost lines.
        """
        lost = b""
        # The descriptor is None during the repair, so that no signal handler writes to the file.
        descriptor, self.descriptor = self.descriptor, None
        since = self.size - before - size
        self.size -= size
        self.entries -= 1
        if descriptor is not None and self.is_ours():
            with contextlib.suppress(OSError):  # if the repair fails, the caller closes the file
                lost = remove_half(descriptor, size, since)
            self.descriptor = descriptor
        self.size -= len(lost)
        self.entries -= lost.count(b"\n")
        if not self.unread:
            self.head = NEVER
        return lost

    def reopen(self, descriptor: int) -> None:
        """Make the segment writable again. `descriptor` is a new descriptor of the file."""
        self._file = OpenFile(descriptor)
        self.descriptor = descriptor

    def seal(self, folder: Folder | None = None) -> None:
        """Close the descriptor for writing.

        If this process has lost the right to open the file in `folder`, the descriptor stays open,
        because it is the only way to read the file. Log calls can no longer use the descriptor.
        """
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None and self._file is not None:
            file, self._file = self._file, None
            if folder is not None and file.is_ours() and self._is_denied(folder):
                self._kept = ReadableFile(descriptor, is_shared=True)
            else:
                file.close()

    def _is_denied(self, folder: Folder) -> bool:
        """True if this process has no right to open the file, for example after `os.setuid`."""
        try:
            os.close(folder.open(self.name))
        except OSError as error:
            return isinstance(error, PermissionError)
        return False

    def shorten(self, folder: Folder, size: int) -> None:
        """Cut the file to `size` bytes. Raise `OSError` if the file cannot be changed."""
        descriptor = self._open(folder)[0]
        try:
            os.ftruncate(descriptor, size)
        finally:
            os.close(descriptor)

    def _open(self, folder: Folder) -> tuple[int, bool]:
        """Open the file again. The second result is true if log calls use the same position."""
        try:
            return folder.open(self.name), False
        except PermissionError:
            # The process has lost the right to open the file. An open descriptor still works.
            file = self._file or self._kept
            descriptor = None if file is None else file.duplicate()
            if descriptor is None:
                raise
            return descriptor, True

    def is_ours(self) -> bool:
        """True if the descriptor for writing still refers to the file of this segment."""
        return self._file is not None and self._file.is_ours()

    def is_linked(self) -> bool:
        """Return False if the file is open for writing, but was removed from the folder."""
        # `links` returns None if the app closed the descriptor: the file may still exist.
        return self._file is None or self._file.links() != 0

    def read_untaken(self) -> list[tuple[int, bytes]]:
        """Return the untaken entries of an open file, even if the file was removed."""
        if self.descriptor is None or not self.is_ours():
            return []
        try:
            os.lseek(self.descriptor, self.taken, os.SEEK_SET)
            data = b""
            while piece := os.read(self.descriptor, self.size - self.taken - len(data)):
                data += piece
        except OSError:
            return []  # the caller counts all untaken entries as dropped
        lines, _ = lines_in(data, self.taken, needs_check=False)
        return [(sequence, payload) for sequence, payload, *_ in lines if payload is not None]

    def wants_lines(self) -> bool:
        """True if the worker must call `fetch` before the worker can take the next entry."""
        return not self._lines and self.taken < self.size and not self.is_gone

    def fetch(self, folder: Folder, end: int) -> tuple[list[Line], int]:
        """Read the next lines, up to the position `end`. The caller passes the result to `keep`.

        The caller must not hold the queue's lock, because reading from a slow disk can take long.
        """
        begin = self._fetched
        reader = self._reader
        if reader is None or not reader.is_ours():
            descriptor, is_shared = self._open(folder)
            reader = self._reader = ReadableFile(descriptor, is_shared=is_shared)
        length = _CHUNK
        while True:
            data = reader.read(begin, min(length, end - begin))
            lines, read_to = lines_in(data, begin, needs_check=self.needs_check)
            if lines or length >= end - begin:
                return lines, read_to
            length *= 2  # the line is longer than the chunk

    def keep(self, lines: list[Line], read_to: int) -> bool:
        """Store the lines that `fetch` has read. If entries were dropped after `fetch`, do nothing.

        Return False if another process has changed the file. The caller must then call `recount`.
        """
        if self.is_gone or read_to > self.size:
            return True
        count = sum(map(count_of, lines))
        is_end = read_to == self.size
        # The last untaken line must end at `size`, unless another process has changed the file.
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
        with contextlib.suppress(OSError):  # if the app closed the file, `fetch` opens it again
            return os.fstat(self._reader.descriptor).st_size > self.size + self._torn
        return False

    def recount(self, folder: Folder) -> tuple[int, int]:
        """Count the untaken lines again. Return by how much `size` and `entries` have changed."""
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
        """Return the next untaken line, or None if no line is in memory."""
        return self._lines[0] if self._lines else None

    def advance(self) -> None:
        """Count one more line as taken: the line that `peek` has returned."""
        line = self._lines.popleft()
        self.taken = line[2]
        self.taken_entries += count_of(line)
        if self._lines:
            self.head = self._lines[0][0]
        else:
            # The next line is not in memory, so its sequence number is not known. Until `fetch`
            # reads the line, this estimate (the old number plus 1) keeps the segments in order.
            self.head = self.head + 1 if self.taken < self.size else NEVER

    def settle(self, end: int, lines: int) -> None:
        """Count the next `lines` lines as settled. These lines end at the position `end`."""
        self.sent = end
        self.sent_entries += lines

    def count_until(self, folder: Folder, sequence: int, begin: int, end: int) -> int:
        """Count the entries with a sequence number up to `sequence`.

        The method counts only entries between the file positions `begin` and `end`. Any thread can
        call this method, because the method opens the file a second time.
        """
        try:
            with os.fdopen(folder.open(self.name), "rb") as file:
                file.seek(begin)
                lines, _ = lines_in(file.read(end - begin), begin, needs_check=False)
        except OSError:
            return self.unread  # if the read fails, all untaken entries count as pending
        return sum(count_of(line) for line in lines if line[0] <= sequence)

    def cut(self) -> int:
        """Subtract all untaken entries from the counts. Return the number of these entries."""
        count = self.unread
        self.size, self.entries = self.taken, self.taken_entries
        self.head = NEVER
        self._lines.clear()
        self.seal()
        return count

    def forget_lines(self) -> None:
        """Remove the untaken lines from memory. Later, `fetch` reads these lines again."""
        self._lines.clear()
        self._fetched = self.taken
        self.stop_reading()

    def stop_reading(self) -> None:
        """Stop reading. If `fetch` is running, the descriptor stays open until `fetch` ends."""
        self._reader = None
