"""A segment: one file of entries of one lane. Log calls append to the file, the worker reads it.

What must stay true: the settled entries are the first ones of the file; the taken entries are the
settled ones and those in flight after them. The number of both only grows. The descriptor for
writing is used only under the lock of the queue, the descriptor for reading only by the worker.
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

_CHUNK = 256 * 1024  # bytes of one read


class _Reader(OpenFile):
    """A descriptor that is closed when no thread uses the object any more.

    A log call may drop a segment while the worker reads the file. If the log call closed the
    descriptor, the worker could read another file with the same number.
    """

    __slots__ = ()

    def __del__(self) -> None:
        self.close()


class Segment:
    """One file of a spool.

    The lock of the queue guards all fields; only the worker uses `_reader` and `_fetched`.

    Attributes:
        name: The name of the file.
        lane: The lane of the entries.
        size, entries: The bytes and the lines of the file that count.
        taken, taken_entries: The bytes and the lines that the worker has taken.
        sent, sent_entries: The bytes and the lines that are settled.
        head: The sequence number of the first line that is not taken, or `NEVER`.
        last: The sequence number of the last line, or `NEVER` if the number is not known.
        needs_check: True if each line must be parsed, because another process wrote the file.
        descriptor: The file, open for writing, or None if this process does not write to the file.
        is_gone: True if the file no longer belongs to this process, or will soon be removed.
        is_set_aside: True if the file could not be read, until the next maintenance.
        is_told: True if the failed read was reported.
        written_at: The time of the last write, by the monotonic clock.
    """

    def __init__(self, name: str, lane: int, descriptor: int | None = None) -> None:
        self.name = name
        self.lane = lane
        self.descriptor = descriptor
        self._file = None if descriptor is None else OpenFile(descriptor)
        self._reader: _Reader | None = None
        self._lines: deque[Line] = deque()  # lines that were read and are not taken
        self._fetched = 0  # the position of the next read
        self._torn = 0  # bytes after the last whole line at the last recount
        self.size = self.entries = 0
        self.taken = self.taken_entries = 0
        self.sent = self.sent_entries = 0
        self.head = self.last = NEVER
        self.needs_check = False
        self.is_gone = self.is_set_aside = self.is_told = False
        self.written_at = 0.0

    @property
    def unread(self) -> int:
        """The number of entries that are not taken."""
        return self.entries - self.taken_entries

    @property
    def ready(self) -> int:
        """The number of entries that can be taken now."""
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
        """Continue with the rest of a file that another process has written and partly sent."""
        self.sent = self.taken = self._fetched = sent
        self.size = size
        self.entries = entries
        self.head = 0
        self.needs_check = True

    def write(self, line: bytes, sequence: int, now: float) -> None:
        """Append the line of an entry that moves from memory to the disk, and count the line.

        A log call does not use this method, because a signal handler that logs could run between
        the method and the counts of the queue. After an error, the caller calls `take_back`.
        """
        assert self.descriptor is not None  # noqa: S101 - this informs the type checker
        self.size += len(line)
        self.entries += 1
        self.head = min(self.head, sequence)
        self.last = sequence
        self.written_at = now
        write_all(self.descriptor, line)

    def take_back(self, size: int, before: int) -> bytes:
        """Undo a failed write of `size` bytes to a segment that had `before` bytes.

        Half a line would make the next line corrupt. A signal handler can have logged lines after
        the failed write; this returns the handler's lines if they are lost.
        """
        lost = b""
        # Another signal handler that logs must not write to the file until the file is repaired.
        descriptor, self.descriptor = self.descriptor, None
        since = self.size - before - size
        self.size -= size
        self.entries -= 1
        if descriptor is not None and self.is_ours():
            with contextlib.suppress(OSError):  # the caller closes the file for writing
                lost = remove_half(descriptor, size, since)
            self.descriptor = descriptor
        self.size -= len(lost)
        self.entries -= lost.count(b"\n")
        if not self.unread:
            self.head = NEVER
        return lost

    def reopen(self, descriptor: int) -> None:
        """Open the segment for writing again, with a new descriptor of the file."""
        self._file = OpenFile(descriptor)
        self.descriptor = descriptor

    def seal(self) -> None:
        """Close the segment for writing."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None and self._file is not None:
            file, self._file = self._file, None
            file.close()

    def is_ours(self) -> bool:
        """True if the descriptor for writing still belongs to the file."""
        return self._file is not None and self._file.is_ours()

    def is_linked(self) -> bool:
        """False if the file is open for writing and was removed from the folder."""
        # If the app has closed the descriptor, `links` is None, and the file may still exist.
        return self._file is None or self._file.links() != 0

    def read_untaken(self) -> list[tuple[int, bytes]]:
        """Return the entries that are not taken, read from a file that was removed."""
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
        """True if `fetch` must read the next lines."""
        return not self._lines and self.taken < self.size and not self.is_gone

    def fetch(self, folder: Folder, end: int) -> tuple[list[Line], int]:
        """Read the next lines up to `end`, the size of the segment; return them for `keep`.

        The caller does not hold the lock of the queue, because a read can take long.
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
        """Keep the lines that `fetch` has read, unless the segment was cut since the read.

        This returns False if another process has changed the file; then the caller calls `recount`.
        """
        if self.is_gone or read_to > self.size:
            return True
        count = sum(map(count_of, lines))
        is_end = read_to == self.size
        # The last counted line must end where the file ends, else another process changed the file.
        if self._is_longer() or count > self.unread or is_end != (count == self.unread):
            return False
        if not lines:
            raise OSError(errno.EIO, "a segment is shorter than it was")
        self._lines.extend(lines)
        self._fetched = read_to
        self.head = lines[0][0]
        return True

    def _is_longer(self) -> bool:
        """True if another process has written to a file of this process."""
        if self.last == NEVER or self._reader is None:
            return False
        with contextlib.suppress(OSError):  # closed by the app, and opened again for the next read
            return os.fstat(self._reader.descriptor).st_size > self.size + self._torn
        return False

    def recount(self, folder: Folder) -> tuple[int, int]:
        """Count the lines again that are not taken; return the change in bytes and in lines."""
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
        """Return the next line, or None if no line was fetched."""
        return self._lines[0] if self._lines else None

    def advance(self) -> None:
        """Take the next line."""
        line = self._lines.popleft()
        self.taken = line[2]
        self.taken_entries += count_of(line)
        if self._lines:
            self.head = self._lines[0][0]
        else:
            # The next fetch reads the real number; until then, any higher number keeps the order.
            self.head = self.head + 1 if self.taken < self.size else NEVER

    def settle(self, end: int, lines: int) -> None:
        """Count `lines` more lines as settled; `end` is the position where they end."""
        self.sent = end
        self.sent_entries += lines

    def count_until(self, folder: Folder, sequence: int, begin: int, end: int) -> int:
        """Return the number of entries between two positions with a number up to `sequence`.

        This method reads the file by its own descriptor, so any thread may call it.
        """
        try:
            with os.fdopen(folder.open(self.name), "rb") as file:
                file.seek(begin)
                lines, _ = lines_in(file.read(end - begin), begin, needs_check=False)
        except OSError:
            return self.unread  # too many pending entries are better than too few
        return sum(count_of(line) for line in lines if line[0] <= sequence)

    def cut(self) -> int:
        """Remove the entries that are not taken from the counts, and return their number."""
        count = self.unread
        self.size, self.entries = self.taken, self.taken_entries
        self.head = NEVER
        self._lines.clear()
        self.seal()
        return count

    def forget_lines(self) -> None:
        """Free the memory of lines that were read and are not taken; `fetch` reads them again."""
        self._lines.clear()
        self._fetched = self.taken
        self.stop_reading()

    def stop_reading(self) -> None:
        """Close the descriptor for reading as soon as no `fetch` uses the descriptor."""
        self._reader = None
