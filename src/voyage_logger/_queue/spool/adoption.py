"""Adoption: a process takes over the files of dead processes.

An owner is one logger in one process, and each owner has a lock file.

What must stay true: a process uses the files of an owner only while it holds the owner's lock. An
owner is dead if no process holds the owner's lock. The client does not use process ids or clocks to
decide whether an owner is dead.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from shlex import quote
from typing import TYPE_CHECKING, Any

from voyage_logger._base.clock import monotonic
from voyage_logger._base.printable import printable
from voyage_logger._base.settings import URL_VARIABLE
from voyage_logger._queue.spool.file_names import (
    lock_name,
    odd_names,
    parse,
    parse_draft,
    segments_in,
    sent_name,
)
from voyage_logger._queue.spool.folder import is_lasting
from voyage_logger._queue.spool.owner import OwnerFiles, sent_of
from voyage_logger._queue.spool.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voyage_logger._queue.spool.folder import Folder
    from voyage_logger._queue.spool.settings import SpoolSettings

_CHUNK = 1 << 20  # bytes per read


class NoRoom(Exception):  # noqa: N818 - the class name is clear without "Error"
    """The files of a dead owner have too many unsettled bytes for the free space of the spool."""


class MeantForAnother(Exception):  # noqa: N818 - the class name is clear without "Error"
    """The entries are for another destination. The exception's argument is this destination."""


def owners(names: list[str]) -> list[str]:
    """Return the owner of each lock file."""
    files = map(parse, names)
    return [file.owner for file in files if file is not None and file.kind == "lock"]


def oddities(names: list[str]) -> Iterator[str]:
    """Yield a message for each kind of unexpected file in the folder."""
    files = {name: parse_draft(name) for name in names}
    locked = {file.owner for file in files.values() if file and file.kind == "lock"}
    newer, foreign = odd_names(names)
    bare = [
        name
        for name, file in files.items()
        if file and file.kind == "segment" and file.owner not in locked
    ]
    if newer:
        yield f"{_some(newer)} of a newer version of this package: left alone"
    if foreign:
        yield f"{_some(foreign)} that no spool has made: left alone"
    if bare:
        yield f"{_some(bare)} without a lock file: left alone; see `voyage-logger spool replay`"


def meant_for_others(count: int, place: str, settings: SpoolSettings) -> str:
    """Return a message which says that entries of `count` owners have the destination `place`."""
    of_whom = "1 owner" if count == 1 else f"{count} owners"
    words = f"entries of {of_whom} are meant for {printable(place)} and are left alone"
    if not settings.destination.startswith("http"):  # the app's own transport has no URL
        return words
    command = f"voyage-logger spool replay {printable(quote(str(settings.path)))}"
    return f"{words}; `{URL_VARIABLE}={quote(settings.destination)} {command}` sends them here"


def take_over(
    folder: Folder,
    owner: str,
    files: list[str],
    destination: str,
    room: int | None,
    on_unreadable: Callable[[str, OSError], None],
) -> OwnerFiles | None:
    """Take over the files of a dead owner. Return None if another process has the lock.

    `files` are the names of the owner's files. The caller must list the folder after the owner has
    died, because an owner that is alive adds segments. If a segment cannot be read until somebody
    repairs it, this function calls `on_unreadable`.

    Raises:
        NoRoom: The files have more unsettled bytes than `room`.
        MeantForAnother: The destination of the entries is not `destination`.
        SpoolUnusable: The file system does not support file locks.
        OSError: A file cannot be read now. A later attempt can succeed.
    """
    lock = folder.lock(lock_name(owner))
    if lock is None:
        return None
    owner_files = OwnerFiles(folder, owner, lock)
    with contextlib.ExitStack() as at_error:
        at_error.callback(owner_files.close)
        lock_file = folder.read(lock_name(owner))
        meant_for = destination_in(lock_file)
        if meant_for not in (None, destination):
            raise MeantForAnother(meant_for)
        _add_segments(folder, owner_files, segments_in(files), room, on_unreadable)
        if any(owner_files.segments()):
            with contextlib.suppress(OSError):  # the fact `adopted_by` is only for display
                owner_files.describe(amended(lock_file, adopted_by=os.getpid()), lock_file)
        at_error.pop_all()
    return owner_files


def _add_segments(
    folder: Folder,
    owner_files: OwnerFiles,
    segments: list[str],
    room: int | None,
    on_unreadable: Callable[[str, OSError], None],
) -> None:
    """Add the owner's segments to `owner_files`. The caller must hold the owner's lock."""
    sent = sent_of(folder.read(sent_name(owner_files.owner)))
    if room is not None and room < _unsent(folder, segments, sent):
        raise NoRoom
    for name in segments:  # the names are sorted, so old segments are added first
        try:
            owner_files.add(_resumed(folder, name, sent.get(name, 0)))
        except OSError as error:  # noqa: PERF203 - after an error, the loop must go on
            if isinstance(error, FileNotFoundError) or not is_lasting(error):
                raise
            owner_files.leave(name, sent.get(name, 0))
            on_unreadable(name, error)


def description(destination: str) -> bytes:
    """Return the content of a new lock file."""
    facts = {
        "pid": os.getpid(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "destination": destination,
    }
    return json.dumps(facts).encode() + b"\n"


def amended(lock_file: bytes, **facts: object) -> bytes:
    """Add or change facts in the content of a lock file. Return the new content."""
    return json.dumps({**facts_in(lock_file), **facts}).encode() + b"\n"


def destination_in(lock_file: bytes) -> str | None:
    """Return the destination that a lock file contains, or None if no destination is readable."""
    found = facts_in(lock_file).get("destination")
    return found if isinstance(found, str) else None


def facts_in(line: bytes) -> dict[str, Any]:
    """Parse a line as a JSON object. If the line is not a JSON object, return an empty dict."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _unsent(folder: Folder, names: list[str], sent: dict[str, int]) -> int:
    """Return the total number of unsettled bytes in the segments that `names` lists."""
    sizes = {name: folder.status(name).st_size for name in names}
    return sum(size - min(sent.get(name, 0), size) for name, size in sizes.items())


def _resumed(folder: Folder, name: str, sent: int) -> Segment:
    """Return a `Segment` for a file. Leave out settled entries and an incomplete last line."""
    file = parse(name)
    assert file is not None  # noqa: S101 - the type checker needs this assertion
    segment = Segment(name, file.lane)
    descriptor = folder.open(name)
    try:
        status = os.fstat(descriptor)
        if sent > status.st_size:  # the file was replaced or cut: send all its entries
            sent = 0
        end, lines = sent, 0
        os.lseek(descriptor, sent, os.SEEK_SET)
        place = sent
        while data := os.read(descriptor, _CHUNK):
            if b"\n" in data:
                lines += data.count(b"\n")
                end = place + data.rindex(b"\n") + 1
            place += len(data)
    finally:
        os.close(descriptor)
    segment.resume(sent, end, lines)
    segment.written_at = monotonic() - max(0.0, time.time() - status.st_mtime)
    return segment


def _some(names: list[str]) -> str:
    first = printable(names[0])  # the name of a foreign file may have control characters
    if len(names) == 1:
        return f"a file ({first})"
    return f"{len(names)} files ({first}, ...)"
