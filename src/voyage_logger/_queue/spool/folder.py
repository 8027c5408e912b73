"""The spool folder, and functions that open, lock and write its files.

What must stay true: all files are opened in the folder that was checked, even if the folder's path
now leads to another folder. The spool never follows a symbolic link. Only the user who runs the
process can read the files. If the app closes a descriptor of the spool, the spool still works.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from voyage_logger._base.fork_locks import OPENING_SECONDS, opening
from voyage_logger._queue.spool.file_names import draft_name
from voyage_logger._queue.spool.open_file import OpenFile
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
# If the umask of the process is 0, Python would allow every user to write to new parent folders.
# Then every user could move the spool folder away. The parents get at most this mode.
_PARENT_MODE = 0o755
FILE_MODE = 0o600

# These errors last until somebody repairs the file or the folder. Other errors can disappear by
# themselves, for example the error "too many open files".
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

# Each key of this dictionary is a locked file. Each value is the id of the process that locked
# the file. A forked child must close the lock files of its parent, so each lock file is added here
# immediately after it was locked. The lock `opening` protects this dictionary.
_held: dict[OpenFile, int] = {}


class SpoolUnusable(Exception):  # noqa: N818 - the class name is clear without "Error"
    """The folder cannot be used as a spool. The exception's argument is the reason, as text."""


class Folder:
    """An open folder.

    Args:
        path: The path of the folder. A missing folder is created.
        mode: How `open` opens a file: `os.O_RDWR` (default) or `os.O_RDONLY`.

    Raises:
        SpoolUnusable: The folder is a symbolic link, belongs to another user, or cannot be opened.
    """

    def __init__(self, path: Path, mode: int = os.O_RDWR) -> None:
        self.path, self._mode = path, mode
        self._file: OpenFile | None = None
        self._open_folder()

    def _open_folder(self) -> None:
        path = self.path
        if str(path).startswith("~"):  # `_logger/options.py` could not replace `~` with a folder
            raise SpoolUnusable(f"no home folder is known for {path.parts[0]}")
        try:
            _make(path, _FOLDER_MODE)
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode):
                raise SpoolUnusable("it is a link or a file, not a folder")
            if HAS_DIRECTORIES:  # pragma: no branch - Windows cannot open folders
                flags = os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW
                self._file = OpenFile(os.open(path, flags))
                status = os.fstat(self._file.descriptor)
        except OSError as error:
            raise SpoolUnusable(words_of(error)) from None
        if is_foreign(status):
            raise SpoolUnusable("it belongs to another user")
        self._status = status

    def __del__(self) -> None:
        # Python calls this method when no thread uses the folder any more. If the descriptor were
        # closed earlier, a thread could list another folder that got the same descriptor number.
        if self._file is not None:
            self._file.close()

    def is_removed(self) -> bool:
        """True if the folder was removed or moved away."""
        if self._file is None:  # pragma: no cover - Windows cannot open folders
            return not self.path.is_dir()
        links = self._file.links()
        if links is None:  # the app has closed the descriptor
            return not self._is_reopened()
        return links == 0 or self._is_moved()

    def _is_moved(self) -> bool:
        """True if the path no longer leads to this folder."""
        try:
            return not os.path.samestat(self.path.lstat(), self._status)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False  # the open descriptor works even if the path cannot be read

    def _is_reopened(self) -> bool:
        """Open the path again. Return True if the path still leads to the same folder."""
        before, self._file = self._status, None
        try:
            self._open_folder()
        except SpoolUnusable:
            return False
        return os.path.samestat(before, self._status)

    def names(self) -> list[str]:
        """Return the sorted names of all files in the folder."""
        file = self._file
        return sorted(os.listdir(self.path if file is None else file.descriptor))  # noqa: PTH208

    def create(self, name: str) -> int:
        """Create a new file, and open it for reading and appending."""
        return self._open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL)

    def append_to(self, name: str) -> int:
        """Open a file for reading and appending. If the file does not exist, create it."""
        return self._open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT)

    def open(self, name: str) -> int:
        """Open a file in the folder's mode."""
        return self._open(name, self._mode)

    def read(self, name: str) -> bytes:
        """Return the content of a small file, or `b""` if the file does not exist."""
        try:
            descriptor = self.open(name)
        except FileNotFoundError:
            return b""
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def remove(self, name: str) -> None:
        """Remove a file. If the file does not exist, do nothing."""
        place, below = self._at(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place, dir_fd=below)

    def replace(self, name: str, content: bytes) -> None:
        """Replace a file. Readers see either the whole old content or the whole new content."""
        draft = draft_name(name)
        self.remove(draft)
        descriptor = self.create(draft)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        source, below = self._at(draft)
        target, below_target = self._at(name)
        os.replace(source, target, src_dir_fd=below, dst_dir_fd=below_target)

    def status(self, name: str) -> os.stat_result:
        """Return the status of a file. If the file is a link, return the status of the link."""
        place, below = self._at(name)
        return os.stat(place, dir_fd=below, follow_symlinks=False)

    def lock(self, name: str, *, is_new: bool = False) -> OpenFile | None:
        """Open and lock a file. If `is_new` is true, create the file first.

        Returns:
            The locked file. The result is None if another process has the lock, or if another
            process removed the file before this process could lock the file.

        Raises:
            SpoolUnusable: The file system does not support file locks.
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
        for lost in list(_held):  # the loop needs a copy, because a signal handler may add a lock
            if lost.descriptor == descriptor:
                del _held[lost]  # the app closed `lost`, and the system reused its number
        lock = OpenFile(descriptor)
        _held[lock] = os.getpid()
        return lock

    def _is_still(self, name: str, descriptor: int) -> bool:
        """True if the file `name` in the folder is still the open file."""
        try:
            return os.path.samestat(self.status(name), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _at(self, name: str) -> tuple[Path | str, int | None]:
        """Return the path and the `dir_fd` that a system call needs to find a file."""
        file = self._file  # read `_file` only once, because another thread may change it
        return (self.path / name, None) if file is None else (name, file.descriptor)

    def _open(self, name: str, flags: int) -> int:
        place, below = self._at(name)
        descriptor = os.open(place, flags | NO_FOLLOW | NO_WAIT | BINARY, FILE_MODE, dir_fd=below)
        status = os.fstat(descriptor)
        if is_foreign(status) or not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise PermissionError(errno.EPERM, "it is not a regular file of this user", name)
        return descriptor


def _make(path: Path, mode: int) -> None:
    """Create a folder and its missing parents. If the folder exists, do nothing."""
    try:
        path.mkdir(mode, exist_ok=True)
    except FileNotFoundError:
        _make(path.parent, _PARENT_MODE)
        path.mkdir(mode, exist_ok=True)


def unlock(lock: OpenFile | None) -> None:
    """Close a lock file, which releases the lock. If `lock` is None, do nothing."""
    with _unforked():
        if lock is not None and _held.pop(lock, None) is not None:
            lock.close()


def release_locks_in_child() -> None:
    """Close the parent's lock files in a forked child. The parent process keeps its locks."""
    own = os.getpid()
    for lock, pid in list(_held.items()):
        if pid != own:
            del _held[lock]
            lock.close()


@contextlib.contextmanager
def _unforked() -> Iterator[None]:
    """Hold the lock `opening`. If the lock is not free after one second, continue without the lock.

    A fork also waits at most one second for this lock. If the fork continues without the lock, the
    child may inherit `opening` in the locked state, and no thread of the child can release it.
    """
    is_held = opening.acquire(timeout=OPENING_SECONDS)
    try:
        yield
    finally:
        if is_held:
            opening.release()


def write_all(descriptor: int, data: bytes) -> None:
    """Write data with one system call. After an error, the file may contain part of the data."""
    if os.write(descriptor, data) < len(data):
        raise OSError(errno.ENOSPC, "the disk is full")


def rewrite(file: OpenFile, content: bytes, before: bytes = b"") -> None:
    """With one system call, overwrite the only line of a file. `before` is the old line.

    If the new line is shorter than the old line, the function adds spaces to the new line. If the
    write fails, the function writes the old line again.
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
    """True if the error lasts until somebody repairs the file or the folder."""
    return not isinstance(error, OSError) or error.errno in _LASTING


def words_of(error: OSError | SpoolUnusable) -> str:
    """Return the text of an error, without a path. The caller adds the path to the message."""
    if isinstance(error, SpoolUnusable):
        return str(error)
    return error.strerror or type(error).__name__
