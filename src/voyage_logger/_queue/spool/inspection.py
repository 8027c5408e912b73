"""A look at a spool's folder, for the command line: owners, entries, dead letters.

What must stay true: looking changes nothing. A lock is tried, to see whether its owner lives, and
given back at once; files are opened for reading only, so a read-only folder can be looked at.
"""

from __future__ import annotations

import heapq
import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from voyage_logger._base.levels import LANES
from voyage_logger._queue.spool.adoption import destination_in, facts_in
from voyage_logger._queue.spool.file_names import (
    dead_name,
    facts_in_name,
    lock_name,
    odd_names,
    parse,
    sent_name,
)
from voyage_logger._queue.spool.folder import Folder, SpoolUnusable, unlock, words_of
from voyage_logger._queue.spool.lines import lines_in
from voyage_logger._queue.spool.os_locks import is_running
from voyage_logger._queue.spool.owner import sent_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from voyage_logger._queue.spool.file_names import FileName

_ENTRY = b',"entry":'  # cannot stand inside a JSON string, where quotes are escaped

# (sequence number, lane, encoded entry, or None for a line that is none)
Pending = tuple[int, int, bytes | None]


@dataclass(frozen=True, slots=True)
class Part:
    """A segment, seen from outside.

    Attributes:
        name: The file's name.
        lane: The lane of its entries.
        sent: How many bytes of it are settled.
        size: How many bytes it has.
        written_at: When it was last written to, epoch seconds.
    """

    name: str
    lane: int
    sent: int
    size: int
    written_at: float


@dataclass(frozen=True, slots=True)
class Owner:
    """What one owner has in the folder.

    Attributes:
        name: The owner's name.
        is_alive: True if a living process has its files.
        has_lock: True if there is a lock file.
        pid, started: What the lock file says, or the name where there is none.
        destination: What the lock file says, or None.
        adopted_by: The id of the living process that has taken the files over, or None.
        parts: Its segments, those of a lane in order.
        has_dead_letters: True if there is a dead-letter file.
    """

    name: str
    is_alive: bool
    has_lock: bool
    pid: int | None
    started: str | None
    destination: str | None
    adopted_by: int | None
    parts: tuple[Part, ...]
    has_dead_letters: bool

    @property
    def state(self) -> str:
        """In a word: "alive", "dead", or "adopted": dead, and a living process has its files."""
        if not self.is_alive:
            return "dead"
        return "alive" if self.adopted_by is None else "adopted"

    @property
    def size(self) -> int:
        """The bytes of its segments that are not settled."""
        return sum(part.size - part.sent for part in self.parts)

    def age(self) -> float | None:
        """Seconds since the segment that was left alone for longest was written, or None."""
        written = [part.written_at for part in self.parts]
        return max(0.0, time.time() - min(written)) if written else None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter: an entry that the server has rejected, or a line that is no entry.

    Attributes:
        reason: The reason in one or two words, as in `Stats.rejected_by`.
        words: What the server said.
        at: When, epoch seconds, or None.
        entry: The encoded entry, or None if there is none that can be read.
        line: The line itself.
        corrupt: The line of a segment that is no entry, or None.
    """

    reason: str
    words: str
    at: float | None
    entry: bytes | None
    line: bytes
    corrupt: str | None = None


class View:
    """An open folder to look at.

    Args:
        path: Where it is.

    Raises:
        SpoolUnusable: It is no folder, a link, somebody else's, or not to be had.

    Attributes:
        troubles: What could not be read, in words.
    """

    def __init__(self, path: Path) -> None:
        if not os.path.lexists(path):
            raise SpoolUnusable("there is no such folder")  # not to be made by looking at it
        self.folder: Folder = _ReadOnly(path)
        self.troubles: list[str] = []

    def owners(self) -> list[Owner]:
        """All owners, oldest first.

        Raises:
            SpoolUnusable: The file system has no locks.
            OSError: The folder cannot be listed.
        """
        files: dict[str, list[tuple[str, FileName]]] = {}
        for name in self.folder.names():
            file = parse(name)
            if file is not None:
                files.setdefault(file.owner, []).append((name, file))
        found = []
        for owner in sorted(files):
            try:
                found.append(self._owner(owner, files[owner]))
            except OSError as error:  # noqa: PERF203 - the others are to be seen all the same
                self._note(f"the files of {owner}", error)
        return found

    def odd_names(self) -> tuple[list[str], list[str]]:
        """The files of a newer version, and those that no spool has made."""
        return odd_names(self.folder.names())

    def pending(self, owner: Owner) -> Iterator[Pending]:
        """The pending lines of an owner, in the order of their log calls."""
        lanes = [
            self._lines_of([part for part in owner.parts if part.lane == lane])
            for lane in range(len(LANES))
        ]
        return heapq.merge(*lanes, key=itemgetter(0))

    def count(self, owner: Owner) -> tuple[Counter[str], int]:
        """How many entries are pending in each lane, and how many lines cannot be read."""
        lanes: Counter[str] = Counter()
        unreadable = 0
        for part in owner.parts:
            for _, lane, entry in self._lines_of([part]):
                lanes[LANES[lane]] += entry is not None
                unreadable += entry is None
        return Counter({lane: lanes[lane] for lane in LANES if lanes[lane]}), unreadable

    def dead_letters(self, owner: Owner) -> Iterator[DeadLetter]:
        """The dead letters of an owner, oldest first."""
        if not owner.has_dead_letters:
            return
        name = dead_name(owner.name)
        try:
            with os.fdopen(self.folder.open(name), "rb") as file:
                yield from map(dead_letter_in, file)
        except FileNotFoundError:
            return  # sent again, or removed, meanwhile
        except OSError as error:
            self._note(name, error)

    def _owner(self, name: str, files: list[tuple[str, FileName]]) -> Owner:
        kinds = {file.kind for _, file in files}
        # The journal first: what is sent while this looks then counts as pending, not the reverse.
        sent = sent_of(self.folder.read(sent_name(name)))
        parts = []
        for each, file in files:
            if file.kind != "segment":
                continue
            try:
                status = self.folder.status(each)
            except FileNotFoundError:
                continue  # delivered meanwhile
            begin = sent.get(each, 0)
            begin = begin if begin <= status.st_size else 0
            parts.append(Part(each, file.lane, begin, status.st_size, status.st_mtime))
        lock_file = self.folder.read(lock_name(name))
        facts = {**facts_in_name(name), **_facts(lock_file)}
        is_held = is_alive(self.folder, name, has_segments="segment" in kinds)
        return Owner(
            name,
            is_alive=is_held,
            has_lock="lock" in kinds,
            pid=facts.get("pid"),
            started=facts.get("started"),
            destination=destination_in(lock_file),
            adopted_by=facts.get("adopted_by") if is_held else None,
            parts=tuple(parts),
            has_dead_letters="dead" in kinds,
        )

    def _lines_of(self, parts: list[Part]) -> Iterator[Pending]:
        for part in parts:
            try:
                yield from self._lines_in(part)
            except FileNotFoundError:  # noqa: PERF203 - as above
                continue  # delivered meanwhile
            except OSError as error:
                self._note(part.name, error)

    def _lines_in(self, part: Part) -> Iterator[Pending]:
        last = 0
        with os.fdopen(self.folder.open(part.name), "rb") as file:
            file.seek(part.sent)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # torn, or being written
                ((sequence, entry, *_),) = lines_in(line, 0, needs_check=True)[0]
                last = last if entry is None else sequence  # what is unreadable keeps its place
                yield last, part.lane, entry

    def _note(self, what: str, error: OSError) -> None:
        trouble = f"{what} cannot be read: {words_of(error)}"
        if trouble not in self.troubles:
            self.troubles.append(trouble)


class _ReadOnly(Folder):
    """A folder in which nothing can be written by mistake."""

    def open(self, name: str) -> int:
        return self._open(name, os.O_RDONLY)


def is_alive(folder: Folder, owner: str, *, has_segments: bool) -> bool:
    """True if a living process has an owner's files.

    The lock says so. Where its file was removed from under its holder, who makes it anew within
    half a minute, a process with the owner's id is taken for the owner, rather than robbed.
    """
    try:
        lock = folder.lock(lock_name(owner))
    except FileNotFoundError:
        return has_segments and is_running(int(owner.split("-")[1]))
    if lock is not None:
        unlock(lock)
    return lock is None


def dead_letter_in(line: bytes) -> DeadLetter:
    """A line of a dead-letter file, read."""
    unreadable = DeadLetter("unreadable", "", None, None, line)
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        return unreadable
    if type(facts) is not dict:
        return unreadable
    entry, corrupt = _entry_of(line, facts), facts.get("line")
    corrupt = corrupt if isinstance(corrupt, str) else None
    if entry is None and corrupt is None:
        return unreadable
    at = facts.get("at")
    return DeadLetter(
        str(facts.get("reason", "")),
        str(facts.get("words", "")),
        at if isinstance(at, (int, float)) else None,
        entry,
        line,
        corrupt,
    )


def _entry_of(line: bytes, facts: dict[str, Any]) -> bytes | None:
    """The entry of a dead letter, to the byte; None if it has none."""
    place = line.find(_ENTRY)
    entry = line.rstrip()[place + len(_ENTRY) : -1].strip()
    found = facts.get("entry")
    try:
        is_it = bool(found) and type(found) is dict and found == json.loads(entry)
    except (ValueError, RecursionError):
        return None
    return entry if is_it else None


def _facts(lock_file: bytes) -> dict[str, Any]:
    facts = facts_in(lock_file)
    kinds = {"pid": int, "started": str, "adopted_by": int}
    return {name: facts[name] for name, kind in kinds.items() if isinstance(facts.get(name), kind)}
