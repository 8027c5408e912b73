"""Open files of the spool, which notice if the app has closed their descriptors."""

from __future__ import annotations

import contextlib
import os


class OpenFile:
    """A file descriptor, and data to check that the descriptor still refers to the same file.

    If the app closes the descriptor by mistake, the system may use its number for another file.
    """

    __slots__ = ("_status", "descriptor")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._status = os.fstat(descriptor)

    def is_ours(self) -> bool:
        """True if the descriptor still refers to the same file."""
        return self.status() is not None

    def links(self) -> int | None:
        """Return the number of hard links to the file, or None if the app closed the descriptor."""
        status = self.status()
        return None if status is None else status.st_nlink

    def status(self) -> os.stat_result | None:
        """Return the status of the file, or None if the app closed the descriptor."""
        try:
            status = os.fstat(self.descriptor)
        except OSError:
            return None
        return status if os.path.samestat(status, self._status) else None

    def duplicate(self) -> int | None:
        """Return a new descriptor of the file, or None if the app closed the descriptor.

        Both descriptors share one position in the file.
        """
        try:
            descriptor = os.dup(self.descriptor)
        except OSError:
            return None
        if os.path.samestat(os.fstat(descriptor), self._status):
            return descriptor
        os.close(descriptor)
        return None

    def close(self) -> None:
        """Close the file, unless the app has already closed the descriptor."""
        if self.is_ours():
            with contextlib.suppress(OSError):  # an error does no harm: the file is not used again
                os.close(self.descriptor)


class ReadableFile(OpenFile):
    """An open file that closes itself when no variable refers to this object any more.

    A log call may drop a segment while the worker reads the file. If the log call then closed the
    descriptor, the system could give the same descriptor number to another file. The worker would
    then read the other file.

    If `is_shared` is true, log calls use the position of the descriptor.
    """

    __slots__ = ("_is_shared",)

    def __init__(self, descriptor: int, *, is_shared: bool = False) -> None:
        super().__init__(descriptor)
        self._is_shared = is_shared

    def read(self, place: int, count: int) -> bytes:
        """Return at most `count` bytes that begin at the position `place`."""
        if self._is_shared:
            return os.pread(self.descriptor, count, place)
        os.lseek(self.descriptor, place, os.SEEK_SET)
        return os.read(self.descriptor, count)

    def __del__(self) -> None:
        self.close()
