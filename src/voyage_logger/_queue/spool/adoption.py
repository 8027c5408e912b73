"""Adoption: taking over what dead processes have left in the folder.

What must stay true: only the holder of an owner's lock touches the owner's files, so each orphan
has one new parent; who is alive is what the lock says, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

from voyage_logger._base.clock import monotonic
from voyage_logger._base.settings import URL_VARIABLE
from voyage_logger._entry.line import printable
from voyage_logger._queue.spool.file_names import (
    lock_name,
    odd_names,
    parse,
    parse_draft,
    segments_of,
    sent_name,
)
from voyage_logger._queue.spool.folder import is_lasting
from voyage_logger._queue.spool.owner import OwnerFiles, sent_of
from voyage_logger._queue.spool.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voyage_logger._queue.spool.folder import Folder
    from voyage_logger._queue.spool.settings import SpoolSettings

_CHUNK = 1 << 20


class NoRoom(Exception):  # noqa: N818 - it states what happened
    """An owner's files are more than may be taken over."""


class MeantForAnother(Exception):  # noqa: N818 - the same
    """An owner's entries are meant for another place, which is the argument."""


def owners(names: list[str], *, kind: str = "lock") -> list[str]:
    """The owners that have, or had, files to adopt: those with a lock file; or a file of a kind."""
    files = map(parse, names)
    return [file.owner for file in files if file is not None and file.kind == kind]


def oddities(names: list[str]) -> Iterator[str]:
    """What is wrong with the folder's content, in words, one for each kind."""
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


def waiting_elsewhere(count: int, place: str, settings: SpoolSettings) -> str:
    """What is to be said of owners whose entries are meant for another place.

    Args:
        count: How many owners.
        place: That place, as their lock files have it.
        settings: The folder, and where this process sends entries.
    """
    from shlex import quote  # noqa: PLC0415 - rarely wanted

    of_whom = "1 owner" if count == 1 else f"{count} owners"
    words = f"entries of {of_whom} are meant for {printable(place)} and are left alone"
    if not settings.destination.startswith("http"):  # a transport of the app's
        return words
    command = f"voyage-logger spool replay {printable(quote(str(settings.path)))}"
    return f"{words}; `{URL_VARIABLE}={quote(settings.destination)} {command}` sends them here"


def take_over(
    folder: Folder,
    owner: str,
    destination: str | None,
    room: int | None,
    on_unreadable: Callable[[str, OSError], None],
) -> OwnerFiles | None:
    """Takes over an owner's files, if it is dead.

    Args:
        folder: Where the files are.
        owner: The owner's name.
        destination: Where this process sends entries; those meant for another place are left to
            others. None: take them all the same.
        room: The most bytes that may be taken over, what is sent not counted; None: whatever
            there is.
        on_unreadable: Called for a segment that cannot be read, and is left where it is.

    Returns:
        The stream, or None if there is none to be had.

    Raises:
        NoRoom: It is more than that.
        MeantForAnother: Its entries are, if it has any left; they stay where they are.
        SpoolUnusable: The file system has no locks.
        OSError: A file cannot be read, for now.
    """
    lock = folder.lock(lock_name(owner))
    if lock is None:
        return None
    owner_files = OwnerFiles(folder, owner, lock)
    is_adopted = False
    try:
        lock_file = folder.read(lock_name(owner))
        meant_for = destination_in(lock_file)
        if destination is not None and meant_for not in (None, destination):
            # Without a look at the folder, in which there may be thousands of them.
            raise MeantForAnother(meant_for)
        # Only now: until it died, the owner may have made more of them.
        segments = segments_of(owner, folder.names())
        sent = sent_of(folder.read(sent_name(owner)))
        if room is not None and room < _unsent(folder, segments, sent):
            raise NoRoom
        for name in segments:  # sorted: in a lane by number, for they have equal lengths
            try:
                owner_files.add(_resumed(folder, name, sent.get(name, 0)))
            except OSError as error:  # noqa: PERF203 - the others are sent all the same
                if isinstance(error, FileNotFoundError) or not is_lasting(error):
                    raise
                owner_files.leave(name, sent.get(name, 0))
                on_unreadable(name, error)
        if any(owner_files.segments()):  # no file is touched at each look for what cannot be read
            with contextlib.suppress(OSError):  # a word for people: no entry depends on it
                owner_files.describe(amended(lock_file, adopted_by=os.getpid()), lock_file)
        is_adopted = True
    finally:
        if not is_adopted:
            owner_files.close()
    return owner_files


def description(destination: str) -> bytes:
    """What is written into a lock file, for people and for those who adopt."""
    facts = {
        "pid": os.getpid(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "destination": destination,
    }
    return json.dumps(facts).encode() + b"\n"


def amended(lock_file: bytes, **facts: object) -> bytes:
    """A lock file's content with other facts."""
    return json.dumps({**facts_in(lock_file), **facts}).encode() + b"\n"


def destination_in(lock_file: bytes) -> str | None:
    """Where the owner sends its entries, as its lock file says; None if that cannot be read."""
    found = facts_in(lock_file).get("destination")
    return found if isinstance(found, str) else None


def facts_in(lock_file: bytes) -> dict[str, Any]:
    """What a lock file says, of whatever types; nothing if it cannot be read."""
    try:
        found = json.loads(lock_file)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _unsent(folder: Folder, names: list[str], sent: dict[str, int]) -> int:
    """How many bytes of these segments are not settled."""
    sizes = {name: folder.status(name).st_size for name in names}
    return sum(size - min(sent.get(name, 0), size) for name, size in sizes.items())


def _resumed(folder: Folder, name: str, sent: int) -> Segment:
    """The rest of a segment, from what is settled to the last whole line."""
    file = parse(name)
    assert file is not None  # noqa: S101 - for the type checker: `owners` has read the name
    segment = Segment(name, file.lane)
    descriptor = folder.open(name)
    try:
        status = os.fstat(descriptor)
        if sent > status.st_size:  # the journal is of another file, or the file was cut
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
    first = printable(names[0])  # whoever made the file must not write lines of this package
    if len(names) == 1:
        return f"a file ({first})"
    return f"{len(names)} files ({first}, ...)"
