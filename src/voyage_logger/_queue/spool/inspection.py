"""A view of a spool folder for the command line: owners, pending entries and dead letters.

What must stay true: a view does not change any file. To find out whether an owner is dead, a view
tries to lock the owner's lock file. If the view gets the lock, the view immediately releases
the lock. A view opens all files for reading only, so a view also works in a read-only folder.
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
from voyage_logger._base.stats import UNREADABLE
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

_ENTRY = b',"entry":'  # JSON escapes quotes, so no JSON string contains these bytes

# A line that is not sent yet, as a tuple. For a corrupt line, the entry (the last item) is None.
Pending = tuple[int, int, bytes | None]  # (sequence number, lane, entry)


@dataclass(frozen=True, slots=True)
class Part:
    """What a view shows about a segment (a file of entries).

    Attributes:
        sent, size: The number of settled bytes, and the number of all bytes.
        written_at: The time of the last write, in epoch seconds.
    """

    name: str
    lane: int
    sent: int
    size: int
    written_at: float


@dataclass(frozen=True, slots=True)
class Owner:
    """What a view shows about an owner (one logger in one process).

    Attributes:
        name: The name of the owner.
        is_alive: True if a running process uses the files.
        has_lock: True if there is a lock file.
        pid, started: The owner's process id and start time, from its lock file or its name.
        destination: The destination that the lock file contains, or None.
        adopted_by: The id of the running process that has taken over the files, or None.
        parts: The segments. The segments of each lane are sorted by number.
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
        """The state: "dead", "alive", or "adopted" (another running process uses the files)."""
        if not self.is_alive:
            return "dead"
        return "alive" if self.adopted_by is None else "adopted"

    @property
    def size(self) -> int:
        """The total number of unsettled bytes in all segments."""
        return sum(part.size - part.sent for part in self.parts)

    def age(self) -> float | None:
        """Return the seconds since the last write to the oldest segment. None: no segments."""
        written = [part.written_at for part in self.parts]
        return max(0.0, time.time() - min(written)) if written else None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter: a rejected entry, or a corrupt line of a segment.

    Attributes:
        reason: The reason in one or two words. `Stats.rejected_by` has the same reasons.
        words: The explanation, usually the error text of the server.
        at: The time of the rejection in epoch seconds, or None if the time is unknown.
        entry: The encoded entry, or None if the line has no readable entry.
        line: The whole line of the dead-letter file.
        corrupt: The text of the corrupt line, or None if the dead letter is a rejected entry.
    """

    reason: str
    words: str
    at: float | None
    entry: bytes | None
    line: bytes
    corrupt: str | None = None


class View:
    """A view of one spool folder.

    Raises:
        SpoolUnusable: The folder does not exist, is a symbolic link, or belongs to another user.

    Attributes:
        troubles: One message for each file that could not be read.
    """

    def __init__(self, path: Path) -> None:
        if not os.path.lexists(path):
            raise SpoolUnusable("there is no such folder")  # `Folder` creates a missing folder.
        self.folder = Folder(path.absolute(), os.O_RDONLY)
        self.troubles: list[str] = []

    def owners(self) -> list[Owner]:
        """Return all owners, the oldest first. Raise `SpoolUnusable` if file locks do not work."""
        files: dict[str, list[tuple[str, FileName]]] = {}
        for name in self.folder.names():
            file = parse(name)
            if file is not None:
                files.setdefault(file.owner, []).append((name, file))
        found = []
        for owner in sorted(files):
            try:
                found.append(self._owner(owner, files[owner]))
            except OSError as error:  # noqa: PERF203 - after an error, the loop must go on
                self._note(f"the files of {owner}", error)
        return found

    def odd_names(self) -> tuple[list[str], list[str]]:
        return odd_names(self.folder.names())

    def pending(self, owner: Owner) -> Iterator[Pending]:
        """Return all lines of an owner that are not sent yet, in the order of the log calls."""
        lanes = [
            self._lines_of([part for part in owner.parts if part.lane == lane])
            for lane in range(len(LANES))
        ]
        return heapq.merge(*lanes, key=itemgetter(0))

    def count(self, owner: Owner) -> tuple[Counter[str], int]:
        """Return how many entries of each lane are not sent yet, and how many lines are corrupt."""
        lanes: Counter[str] = Counter()
        unreadable = 0
        for part in owner.parts:
            for _, lane, entry in self._lines_of([part]):
                lanes[LANES[lane]] += entry is not None
                unreadable += entry is None
        return Counter({lane: lanes[lane] for lane in LANES if lanes[lane]}), unreadable

    def dead_letters(self, owner: Owner) -> Iterator[DeadLetter]:
        """Yield the dead letters of an owner, from the oldest to the newest."""
        if not owner.has_dead_letters:
            return
        name = dead_name(owner.name)
        try:
            with os.fdopen(self.folder.open(name), "rb") as file:
                yield from map(dead_letter_in, file)
        except FileNotFoundError:
            return  # another process has just removed the dead-letter file
        except OSError as error:
            self._note(name, error)

    def _owner(self, name: str, files: list[tuple[str, FileName]]) -> Owner:
        kinds = {file.kind for _, file in files}
        parts = tuple(self._parts(name, [each for each in files if each[1].kind == "segment"]))
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
            parts=parts,
            has_dead_letters="dead" in kinds,
        )

    def _parts(self, owner: str, segments: list[tuple[str, FileName]]) -> Iterator[Part]:
        # The journal must be read before the sizes of the segments. If the journal were read later,
        # the journal could list more settled bytes than the size of a segment.
        settled = sent_of(self.folder.read(sent_name(owner)))
        for name, file in segments:
            try:
                status = self.folder.status(name)
            except FileNotFoundError:
                continue  # the owner has just removed the segment
            sent = settled.get(name, 0)
            sent = sent if sent <= status.st_size else 0
            yield Part(name, file.lane, sent, status.st_size, status.st_mtime)

    def _lines_of(self, parts: list[Part]) -> Iterator[Pending]:
        for part in parts:
            try:
                yield from self._lines_in(part)
            except FileNotFoundError:  # noqa: PERF203 - after an error, the loop must go on
                continue
            except OSError as error:
                self._note(part.name, error)

    def _lines_in(self, part: Part) -> Iterator[Pending]:
        last = 0
        with os.fdopen(self.folder.open(part.name), "rb") as file:
            file.seek(part.sent)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # a process is writing this line, or was killed while it wrote the line
                ((sequence, entry, *_),) = lines_in(line, 0, needs_check=True)[0]
                last = last if entry is None else sequence  # a corrupt line has no sequence number
                yield last, part.lane, entry

    def _note(self, what: str, error: OSError) -> None:
        trouble = f"{what} cannot be read: {words_of(error)}"
        if trouble not in self.troubles:
            self.troubles.append(trouble)


def is_alive(folder: Folder, owner: str, *, has_segments: bool) -> bool:
    """True if a running process uses the files of an owner.

    A process that uses the files holds the owner's lock. If somebody removes the lock file of a
    running owner, the owner creates a new lock file within 30 seconds. As long as there is no lock
    file, an owner that has segments counts as alive if the process id in its name is in use.
    """
    try:
        lock = folder.lock(lock_name(owner))
    except FileNotFoundError:
        return has_segments and is_running(int(owner.split("-")[1]))
    if lock is not None:
        unlock(lock)
    return lock is None


def dead_letter_in(line: bytes) -> DeadLetter:
    facts = facts_in(line)
    entry, corrupt = _entry_of(line, facts), facts.get("line")
    corrupt = corrupt if isinstance(corrupt, str) else None
    if entry is None and corrupt is None:
        return DeadLetter(UNREADABLE, "", None, None, line)
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
    """Return the encoded entry of a dead letter, or None if the dead letter has no entry."""
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
