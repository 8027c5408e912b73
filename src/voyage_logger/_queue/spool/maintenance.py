"""What a person may order for the files of dead owners: have them sent, or removed.

What must stay true: only the holder of an owner's lock touches its files, so a living owner's are
never touched; an entry is on the disk at every moment of its way from a dead letter to a segment.
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
    lock_name,
    new_owner,
    parse,
    parse_draft,
    segment_name,
)
from voyage_logger._queue.spool.folder import SpoolUnusable, rewrite, unlock
from voyage_logger._queue.spool.inspection import dead_letter_in, is_alive
from voyage_logger._queue.spool.lines import line_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voyage_logger._queue.spool.folder import Folder, OpenFile


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed of an owner's files.

    Attributes:
        files: How many.
        size: Their bytes.
        left: What could not be removed, each with the reason.
    """

    files: int
    size: int
    left: tuple[tuple[str, OSError], ...]


def redirect(folder: Folder, owner: str, destination: str) -> bool:
    """Makes what a dead owner has left free to be adopted by who sends to `destination`.

    A lock file is made where there is none, and names that destination from now on.

    Returns:
        False if a living process has the files.

    Raises:
        SpoolUnusable: The file system has no locks.
        OSError: The lock file cannot be written.
    """
    with _held(folder, owner, is_kept=True) as lock:
        if lock is None:
            return False
        before = folder.read(lock_name(owner))
        rewrite(lock, amended(before, destination=destination), before)
        return True


def requeue_dead_letters(folder: Folder, owner: str, destination: str) -> int:
    """Makes a dead owner's dead letters pending entries again, of a new owner that is dead, too.

    Lines that cannot be read stay where they are. A crash on the way leaves both: then the entries
    are sent, and can be sent once more.

    Returns:
        How many entries that were.

    Raises:
        SpoolUnusable: The file system has no locks.
        OSError: A file cannot be read or written; nothing was changed.
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


def remove(folder: Folder, owner: str, *, only_dead_letters: bool) -> Removed | None:
    """Removes a dead owner's files.

    Args:
        folder: Where they are.
        owner: The owner's name.
        only_dead_letters: Leave all but the dead letters.

    Returns:
        What was removed; None if a living process has the files.

    Raises:
        SpoolUnusable: The file system has no locks.
        OSError: The folder cannot be read, or the lock file cannot be removed.
    """
    with _held(folder, owner, is_kept=only_dead_letters) as lock:
        if lock is None:
            return None
        files = size = 0
        left = []
        for name in _names_of(folder, owner):
            file = parse(name)
            is_letters = file is not None and file.kind == "dead"
            if name == lock_name(owner) or (only_dead_letters and not is_letters):
                continue
            try:
                of_file = folder.status(name).st_size
                folder.remove(name)
            except FileNotFoundError:
                continue
            except OSError as error:
                left.append((name, error))
                continue
            size += of_file
            files += 1
        if not only_dead_letters and not left:
            folder.remove(lock_name(owner))  # last: until then nobody else may look
        return Removed(files, size, tuple(left))


@contextlib.contextmanager
def _held(folder: Folder, owner: str, *, is_kept: bool = False) -> Iterator[OpenFile | None]:
    """A dead owner's lock while it is held, or None if it is not to be had.

    A lock file that has to be made for that is removed at the end, unless it is to be kept and
    guards something.
    """
    lock: OpenFile | None = None
    is_made = False
    segments = [name for name in _names_of(folder, owner) if _is_segment(name)]
    with contextlib.suppress(FileExistsError):  # it came into being meanwhile: of the living
        try:
            lock = folder.lock(lock_name(owner))
        except FileNotFoundError:
            if not is_alive(folder, owner, has_segments=bool(segments)):
                lock = folder.lock(lock_name(owner), is_new=True)
                is_made = True
    try:
        yield lock
    finally:
        if lock is not None:
            if is_made and not (is_kept and segments):
                folder.remove(lock_name(owner))
            unlock(lock)


def _write_segments(folder: Folder, entries: list[bytes], destination: str) -> None:
    """Writes entries as a new owner's segments, all of them or none."""
    owner = new_owner()
    lock = folder.lock(lock_name(owner), is_new=True)
    if lock is None:
        raise SpoolUnusable("a lock was taken by somebody else; try again")
    made: dict[int, list[bytes]] = {}
    for sequence, entry in enumerate(entries, 1):
        made.setdefault(_lane_of(entry), []).append(line_of(sequence, entry))
    names = [segment_name(owner, lane, 1) for lane in made]
    try:
        rewrite(lock, description(destination))
        for name, lines in zip(names, made.values(), strict=True):
            with os.fdopen(folder.create(name), "wb") as file:
                file.writelines(lines)
    except OSError:
        for name in (*names, lock_name(owner)):
            folder.remove(name)
        raise
    finally:
        unlock(lock)


def _lane_of(entry: bytes) -> int:
    fields = json.loads(entry)
    rank = rank_of(fields.get("level"))
    return TICKET_LANE if fields.get("add_ticket") is True else INFO if rank is None else rank


def _names_of(folder: Folder, owner: str) -> list[str]:
    """The names of an owner's files, drafts included."""
    files = {name: parse_draft(name) for name in folder.names()}
    return [name for name, file in files.items() if file is not None and file.owner == owner]


def _is_segment(name: str) -> bool:
    file = parse(name)
    return file is not None and file.kind == "segment"


def _lines(content: bytes) -> list[bytes]:
    return [line + b"\n" for line in content.split(b"\n") if line.strip()]
