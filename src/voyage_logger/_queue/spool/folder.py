"""The spool's folder: made with care, and never left by a link.

What must stay true: every file is opened below the folder that was checked, whatever somebody puts
in its place meanwhile; no link is followed; what this package makes, only its user can read; that
an app closes descriptors which are not its own ends nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from voyage_logger._base.fork_locks import OPENING_SECONDS, opening
from voyage_logger._queue.spool.file_names import draft_name
from voyage_logger._queue.spool.os_locks import (
    BINARY,
    HAS_DIRECTORIES,
    NO_FOLLOW,
    NO_WAIT,
    is_foreign,
    try_lock,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDER_MODE = 0o700
FILE_MODE = 0o600

# Reasons why a file cannot be read that do not pass by themselves. A bad place on the disk is one;
# too many open files, of this process or of the system, is not.
_LASTING = {
    errno.EACCES,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
}

# The files of locks that are held, each with the process that has taken it. Whoever adopts
# knows of one for a while only in a local variable, which is out of reach after a fork.
_held: dict[OpenFile, int] = {}


class SpoolUnusable(Exception):  # noqa: N818 - it states what happened
    """The folder cannot serve as a spool.

    Args:
        reason: Why, in words for people.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OpenFile:
    """A descriptor, and which file it is of: an app may close it, and make its number another's.

    Args:
        descriptor: A file that has just been opened.
    """

    __slots__ = ("_status", "descriptor")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._status = os.fstat(descriptor)

    def is_ours(self) -> bool:
        """True if the number is still that file's."""
        return self.links() is not None

    def links(self) -> int | None:
        """How many names the file has: 0 once it was removed; None if it is not `is_ours`."""
        try:
            status = os.fstat(self.descriptor)
        except OSError:
            return None
        return status.st_nlink if os.path.samestat(status, self._status) else None

    def close(self) -> None:
        """Closes the file, unless the app has."""
        if self.is_ours():
            close(self.descriptor)


class Folder:
    """An open folder.

    Args:
        path: Where it is; it is made if it does not exist.

    Raises:
        SpoolUnusable: It is a link, somebody else's, or not to be had.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: OpenFile | None = None
        self._open_folder()

    def _open_folder(self) -> None:
        path = self.path
        try:
            path.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode):
                raise SpoolUnusable("it is a link or a file, not a folder")
            if HAS_DIRECTORIES:
                flags = os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW
                self._file = OpenFile(os.open(path, flags))
                status = os.fstat(self._file.descriptor)
        except OSError as error:
            raise SpoolUnusable(words_of(error)) from None
        if is_foreign(status):
            raise SpoolUnusable("it belongs to another user")
        self._status = status

    @property
    def _descriptor(self) -> int | None:
        """The folder's own, where the system has such."""
        return None if self._file is None else self._file.descriptor

    def __del__(self) -> None:
        # Not before: a thread that looks through the folder must not find its descriptor closed,
        # or another file's.
        if self._file is not None:
            self._file.close()

    def is_removed(self) -> bool:
        """True if somebody has removed the folder, or has moved it away."""
        if self._file is None:
            return not self.path.is_dir()
        links = self._file.links()
        if links is None:  # the app has closed it
            return not self._is_reopened()
        return links == 0 or self._is_moved()

    def _is_moved(self) -> bool:
        """True if something else, or nothing, is where the folder was."""
        try:
            return not os.path.samestat(self.path.lstat(), self._status)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False  # who knows: that it cannot be reached by its path changes nothing

    def _is_reopened(self) -> bool:
        """True if the folder could be opened once more, and is the same."""
        before, self._file = self._status, None
        try:
            self._open_folder()
        except SpoolUnusable:
            return False
        return os.path.samestat(before, self._status)

    def names(self) -> list[str]:
        """The names of all files, sorted."""
        where = self.path if self._descriptor is None else self._descriptor
        return sorted(os.listdir(where))  # noqa: PTH208 - pathlib knows no descriptors

    def create(self, name: str) -> int:
        """Makes a file that is written at its end, and readable."""
        return self._open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL)

    def append_to(self, name: str) -> int:
        """Opens a file to write at its end; it is made if it does not exist."""
        return self._open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT)

    def open(self, name: str) -> int:
        """Opens a file to read, or to be locked."""
        return self._open(name, os.O_RDWR)

    def read(self, name: str) -> bytes:
        """All of a small file; nothing if it does not exist."""
        try:
            descriptor = self.open(name)
        except FileNotFoundError:
            return b""
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def remove(self, name: str) -> None:
        """Removes a file, unless it is gone already."""
        try:
            if self._descriptor is None:
                (self.path / name).unlink()
            else:
                os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return

    def replace(self, name: str, content: bytes) -> None:
        """Puts a new file in the place of an old one, whole or not at all."""
        draft = draft_name(name)
        self.remove(draft)
        descriptor = self.create(draft)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        if self._descriptor is None:
            (self.path / draft).replace(self.path / name)
        else:
            os.replace(draft, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def status(self, name: str) -> os.stat_result:
        """What the system knows of a file; a link is not followed."""
        if self._descriptor is None:
            return os.lstat(self.path / name)
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def lock(self, name: str, *, is_new: bool = False) -> OpenFile | None:
        """Opens a file and takes its lock.

        Args:
            name: The file.
            is_new: Make the file.

        Returns:
            The file, to be given to `unlock`; None if somebody has it, or the file was
            removed by whoever had it until now.

        Raises:
            SpoolUnusable: The file system has no locks.
            OSError: The file cannot be opened.
        """
        with _unforked():
            return self._lock(name, is_new=is_new)

    def _lock(self, name: str, *, is_new: bool) -> OpenFile | None:
        descriptor = self.create(name) if is_new else self.open(name)
        is_ours = False
        try:
            is_ours = try_lock(descriptor) and self._is_still(name, descriptor)
        except OSError as error:
            if is_new:
                self.remove(name)
            raise SpoolUnusable(f"its file system has no locks ({words_of(error)})") from None
        finally:
            if not is_ours:
                os.close(descriptor)
        if not is_ours:
            return None
        for lost in list(_held):  # of a copy: a handler that logs may add one meanwhile
            if lost.descriptor == descriptor:
                del _held[lost]  # the app has closed it: else the number would not have been free
        lock = OpenFile(descriptor)
        _held[lock] = os.getpid()
        return lock

    def _is_still(self, name: str, descriptor: int) -> bool:
        try:
            named = self.status(name)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(descriptor))

    def _open(self, name: str, flags: int) -> int:
        flags |= NO_FOLLOW | NO_WAIT | BINARY
        if self._descriptor is None:
            descriptor = os.open(self.path / name, flags, FILE_MODE)
        else:
            descriptor = os.open(name, flags, FILE_MODE, dir_fd=self._descriptor)
        status = os.fstat(descriptor)
        if is_foreign(status) or not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise PermissionError(errno.EPERM, "it is no file, or another user's", name)
        return descriptor


def unlock(lock: OpenFile) -> None:
    """Gives a lock back, by closing its file."""
    with _unforked():
        if _held.pop(lock, None) is not None:
            lock.close()


def release_locks_in_child() -> None:
    """Closes, in a forked child, the lock files of its parent, who keeps the locks."""
    own = os.getpid()
    for lock, pid in list(_held.items()):
        if pid != own:
            del _held[lock]
            lock.close()


def close(descriptor: int) -> None:
    """Closes a file of the spool, unless the app has done that."""
    with contextlib.suppress(OSError):  # there is no other use for what cannot be closed
        os.close(descriptor)


@contextlib.contextmanager
def _unforked() -> Iterator[None]:
    """No fork comes in between, unless it has waited for a second already."""
    # Nor is a lock waited for that such a fork has left to a thread which the child has not.
    is_held = opening.acquire(timeout=OPENING_SECONDS)
    try:
        yield
    finally:
        if is_held:
            opening.release()


def write_all(descriptor: int, data: bytes) -> None:
    """Writes in one piece.

    Raises:
        OSError: It did not work out; a part of the data may be in the file.
    """
    if os.write(descriptor, data) < len(data):
        raise OSError(errno.ENOSPC, "the disk is full")


def rewrite(file: OpenFile, content: bytes, before: bytes = b"") -> None:
    """Writes a small file over, in one piece; blanks fill up what was longer.

    Args:
        file: The file.
        content: What is to be in it; one line.
        before: What is in it.

    Raises:
        OSError: It did not work out; what was in the file still is.
    """
    if not file.is_ours():
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    descriptor = file.descriptor
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        write_all(descriptor, content[:-1].ljust(len(before) - 1) + b"\n")
    except OSError:
        with contextlib.suppress(OSError):
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, before)
            os.ftruncate(descriptor, len(before))
        raise


def is_lasting(error: OSError | SpoolUnusable) -> bool:
    """True if what is wrong with a file does not pass by itself."""
    return not isinstance(error, OSError) or error.errno in _LASTING


def words_of(error: OSError | SpoolUnusable) -> str:
    """What is wrong, for people, without the path, which the notice names already."""
    if isinstance(error, SpoolUnusable):
        return error.reason
    return error.strerror or type(error).__name__
