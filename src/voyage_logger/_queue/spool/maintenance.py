"""Functions that let the command line send or remove the entries of dead owners.

An owner is one logger in one process. An owner is dead if no process holds the owner's lock.

What must stay true: a process changes the files of an owner only while it holds the owner's lock.
To send the entry of a dead letter again, this module first writes the entry to a segment. Then
this module removes the dead letter.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voyage_logger._base.levels import INFO, TICKET_LANE, rank_of
from voyage_logger._queue.spool.adoption import amended, description
from voyage_logger._queue.spool.file_names import (
    dead_name,
    files_by_owner,
    lock_name,
    new_owner,
    segment_name,
    segments_in,
)
from voyage_logger._queue.spool.folder import SpoolUnusable, rewrite, unlock
from voyage_logger._queue.spool.inspection import dead_letter_in, is_alive
from voyage_logger._queue.spool.lines import line_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voyage_logger._queue.spool.folder import Folder
    from voyage_logger._queue.spool.open_file import OpenFile


@dataclass(frozen=True, slots=True)
class Removed:
    """The result of `remove`.

    Attributes:
        files: The number of removed files.
        size: The total size of the removed files in bytes.
        left: The name and the error of each file that could not be removed.
    """

    files: int
    size: int
    left: tuple[tuple[str, OSError], ...]


def redirect(folder: Folder, owner: str, destination: str) -> bool:
    """Change the destination of a dead owner's entries. Return False if the owner is not dead.

    Raises:
        SpoolUnusable: The file system does not support file locks.
        OSError: The lock file cannot be written.
    """
    with _held(folder, owner, is_kept=True) as lock:
        if lock is None:
            return False
        before = folder.read(lock_name(owner))
        rewrite(lock, amended(before, destination=destination), before)
        return True


def requeue_dead_letters(folder: Folder, owner: str, destination: str) -> int:
    """Move all entries from a dead-letter file to segments of a new owner.

    The result is the number of moved entries. Lines without an entry stay in the dead-letter file.
    After a crash or an error, an entry can be both in a segment and in the dead-letter file.

    Raises:
        SpoolUnusable: The file system does not support file locks.
        OSError: A file cannot be read or written.
    """
    with _held(folder, owner) as lock:
        if lock is None:
            return 0
        letters = [dead_letter_in(line) for line in _lines(folder.read(dead_name(owner)))]
        entries = [letter.entry for letter in letters if letter.entry is not None]
        if not entries:
            return 0
        _write_segments(folder, entries, destination)
        rest = b"".join(letter.line for letter in letters if letter.entry is None)
        if rest:
            folder.replace(dead_name(owner), rest)
        else:
            folder.remove(dead_name(owner))
        return len(entries)


def remove(
    folder: Folder, owner: str, files: list[str], *, only_dead_letters: bool
) -> Removed | None:
    """Remove the files of a dead owner. Return None if a running process uses the files.

    `files` are the names of the owner's files, including drafts. If the caller has the files of
    many owners removed, the caller needs only one list of the folder for all of them.

    Raises:
        SpoolUnusable: The file system does not support file locks.
        OSError: The folder cannot be read, or the lock file cannot be removed.
    """
    with _held(folder, owner, is_kept=only_dead_letters) as lock:
        if lock is None:
            return None
        names = [dead_name(owner)] if only_dead_letters else files
        removed = _removed(folder, [name for name in names if name != lock_name(owner)])
        if not only_dead_letters and not removed.left:
            folder.remove(lock_name(owner))  # the lock file is removed last
        return removed


def _removed(folder: Folder, names: list[str]) -> Removed:
    """Remove files. The result also says which files could not be removed."""
    sizes = []
    left = []
    for name in names:
        try:
            size = folder.status(name).st_size
            folder.remove(name)
        except FileNotFoundError:  # noqa: PERF203 - after an error, the loop must go on
            continue
        except OSError as error:
            left.append((name, error))
        else:
            sizes.append(size)
    return Removed(len(sizes), sum(sizes), tuple(left))


@contextlib.contextmanager
def _held(folder: Folder, owner: str, *, is_kept: bool = False) -> Iterator[OpenFile | None]:
    """Hold the lock of a dead owner. Yield None if a running process has the lock.

    If there is no lock file, this function creates a lock file. At the end, the function removes
    the new lock file. But if `is_kept` is true and the owner has segments, the new lock file stays.
    """
    lock: OpenFile | None = None
    is_made = False
    segments: list[str] = []
    with contextlib.suppress(FileExistsError):  # another process has just created the lock file
        try:
            lock = folder.lock(lock_name(owner))
        except FileNotFoundError:
            segments = segments_in(files_by_owner(folder.names()).get(owner, []))
            if not is_alive(folder, owner, has_segments=bool(segments)):
                lock = folder.lock(lock_name(owner), is_new=True)
                is_made = True
    try:
        yield lock
    finally:
        if lock is not None and is_made and not (is_kept and segments):
            folder.remove(lock_name(owner))
        unlock(lock)


def _write_segments(folder: Folder, entries: list[bytes], destination: str) -> None:
    """Write all entries into segments of a new owner. If a write fails, remove the segments."""
    owner = new_owner()
    lock = folder.lock(lock_name(owner), is_new=True)
    if lock is None:
        raise SpoolUnusable("another process has taken a new lock; try again")
    segments: dict[str, list[bytes]] = {}
    for sequence, entry in enumerate(entries, 1):
        name = segment_name(owner, _lane_of(entry), 1)
        segments.setdefault(name, []).append(line_of(sequence, entry))
    try:
        rewrite(lock, description(destination))
        for name, lines in segments.items():
            with os.fdopen(folder.create(name), "wb") as file:
                file.writelines(lines)
    except OSError:
        for name in (*segments, lock_name(owner)):
            folder.remove(name)
        raise
    finally:
        unlock(lock)


def _lane_of(entry: bytes) -> int:
    fields = json.loads(entry)
    rank = rank_of(fields.get("level"))
    return TICKET_LANE if fields.get("add_ticket") is True else INFO if rank is None else rank


def _lines(content: bytes) -> list[bytes]:
    return [line + b"\n" for line in content.split(b"\n") if line.strip()]
