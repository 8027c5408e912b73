"""The search for dead owners: this process takes over the files of processes that have ended.

An owner is one logger in one process. An owner is dead if no process holds the owner's lock.

What must stay true: a search lists the folder at most three times, even if the folder has the files
of thousands of owners. An owner that is alive can add segments. Therefore, the segments of a dead
owner are taken from a list of the folder that was made after the owner had died.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from voyage_logger._queue.spool.adoption import (
    MeantForAnother,
    NoRoom,
    meant_for_others,
    oddities,
    owners,
    take_over,
)
from voyage_logger._queue.spool.file_names import files_by_owner, lock_name, segments_in
from voyage_logger._queue.spool.folder import SpoolUnusable, unlock, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voyage_logger._queue.spool.folder import Folder
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.store import Store

_MOST_ADOPTED = 8  # A process takes over the files of at most this many dead owners at a time.


class DeadOwners:
    """Finds dead owners and takes over their files. Only the worker uses this class.

    The worker calls `take_over_all` without holding the lock of the queue.

    Attributes:
        has_left: True if the files of some dead owners were not taken over yet.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: set[str] = set()  # the owners that were dead at the end of the last search
        self._told: set[str] = set()  # unexpected files and destinations that were reported
        self.has_left = False
        self._is_short = False  # True if there was no room for the files of some dead owners.

    def take_over_all(self) -> Iterator[OwnerFiles]:
        """For each dead owner, take over the owner's files if the files fit into the spool.

        The files of the first dead owner are taken over even if they do not fit. Otherwise, no
        process would ever send files that are larger than the limit of the spool.
        """
        store = self._store
        try:
            folder = store.folder
            names = folder.names()
            self._note_oddities(folder, names)
            mine = {owner_files.owner for owner_files in store.all_owners()}
            others = [owner for owner in owners(names) if owner not in mine]
            files = {} if self._is_full else self._files_of_dead(folder, others, names)
        except (OSError, SpoolUnusable):
            return  # The next write to the disk reports the error.
        self.has_left = bool(others) and self._is_full
        if not self._is_full:
            yield from self._take_over_each(folder, files)

    @property
    def is_search_due(self) -> bool:
        """True if a search now would probably take over several owners.

        A search after each delivered owner would list the folder too often.
        """
        return self.has_left and len(self._store.adopted) <= _MOST_ADOPTED // 2

    @property
    def _is_full(self) -> bool:
        return len(self._store.adopted) >= _MOST_ADOPTED

    def _files_of_dead(
        self, folder: Folder, others: list[str], names: list[str]
    ) -> dict[str, list[str]]:
        """Return the names of the files of each dead owner, oldest owner first.

        The files of owners that this search finds to be dead are listed again.
        """
        self._known.intersection_update(others)
        new = [each for each in others if each not in self._known and self._is_dead(folder, each)]
        if new:
            names = folder.names()
            self._known.update(new)
        files = files_by_owner(names)
        return {owner: files.get(owner, []) for owner in others if owner in self._known}

    def _is_dead(self, folder: Folder, owner: str) -> bool:
        """True if this process can lock the owner's lock file. The lock is released immediately."""
        try:
            lock = folder.lock(lock_name(owner))
        except (OSError, SpoolUnusable) as error:
            self._note_not_taken_over(owner, error)
            return False
        unlock(lock)
        return lock is not None

    def _take_over_each(self, folder: Folder, files: dict[str, list[str]]) -> Iterator[OwnerFiles]:
        """Take over the files of each dead owner. `files` has the names of each owner's files."""
        elsewhere: dict[str, str] = {}  # maps each owner to the destination of its entries
        left, room = 0, self._room()
        for owner, names in files.items():
            if self._is_full:
                self.has_left = True
                break
            try:
                owner_files = self._take_over(folder, owner, names, room)
            except NoRoom:
                left += 1
            except MeantForAnother as error:
                elsewhere[owner] = str(error)
            else:
                if owner_files is not None and not owner_files.finish():
                    yield owner_files
                    room = self._room()
        self._note_short(left)
        self._note_elsewhere(elsewhere, files)

    def _room(self) -> int | None:
        """Return how many bytes of dead owners fit into the spool. None: any number fits."""
        store = self._store
        if not store.adopted:
            return None
        return store.bound - sum(owner_files.unsettled for owner_files in store.all_owners())

    def _take_over(
        self, folder: Folder, owner: str, names: list[str], room: int | None
    ) -> OwnerFiles | None:
        """Take over the files of one owner. After a failure, report the error and return None."""
        store, owner_files = self._store, None
        destination, note = store.settings.destination, store.note_unreadable
        try:
            owner_files = take_over(folder, owner, names, destination, room, note)
        except (OSError, SpoolUnusable) as error:
            self._note_not_taken_over(owner, error)
        if owner_files is None:
            self._known.discard(owner)  # Another process has the lock, or has changed the files.
        return owner_files

    def _note_not_taken_over(self, owner: str, error: OSError | SpoolUnusable) -> None:
        """Report once that the files of an owner cannot be taken over."""
        if isinstance(error, FileNotFoundError):
            return  # The owner has just removed its files.
        words = f"cannot be taken over: {words_of(error)}"
        self._store.note_once("spool adoption", f"the files of {owner}", words)

    def _note_short(self, left: int) -> None:
        """Report once that there is no room for the files of `left` dead owners."""
        if left and not self._is_short:
            words = f"no room for the files of {left} more dead owners: they wait"
            self._store.note("spool short", words)
        self._is_short = bool(left)
        self.has_left = self.has_left or self._is_short

    def _note_oddities(self, folder: Folder, names: list[str]) -> None:
        news = {oddity for oddity in oddities(names) if oddity not in self._told}
        if news:
            # If files are added or removed during the listing, the list might be incomplete.
            # Therefore a problem is reported only if two lists of the folder show the problem.
            with contextlib.suppress(OSError):
                news &= {*oddities(folder.names())}
        for oddity in sorted(news):
            self._told.add(oddity)
            self._store.note(f"spool {oddity}", oddity)

    def _note_elsewhere(self, places: dict[str, str], files: dict[str, list[str]]) -> None:
        """For each other destination, report once how many dead owners have entries for it."""
        counts = Counter(place for owner, place in places.items() if segments_in(files[owner]))
        for place in counts.keys() - self._told:
            self._told.add(place)
            words = meant_for_others(counts[place], place, self._store.settings)
            self._store.note(f"spool for {place}", words)
