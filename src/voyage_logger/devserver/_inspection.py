"""What one asks a server: which entries and requests came, how many, and to wait for more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from voyage_logger.devserver._checks import level_named

if TYPE_CHECKING:
    from voyage_logger.devserver._backend import Backend
    from voyage_logger.devserver._journal import Endpoint, RecordedRequest
    from voyage_logger.devserver._store import StoredEntry

_DEFAULT_WAIT_SECONDS = 30.0


class Inspection(ABC):
    """The half of `DevServer` that looks and waits, and changes nothing. Thread-safe."""

    @abstractmethod
    def _running(self) -> Backend:
        """The state of the running server; raises RuntimeError if it does not run."""

    def entries(
        self,
        *,
        level: str | None = None,
        contains: str | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """The stored entries as they were sent, in order of arrival.

        Args:
            level: Only those of this level: debug, info, warn, error or critical, or a name that
                the logger takes for one of these, such as "warning".
            contains: Only those whose message contains this text, in this case.
            after: Only those after this id (see `stored`).
            limit: At most so many. Default: all.

        Returns:
            A dictionary for each entry, as its JSON was; changing it changes nothing here.

        Raises:
            ValueError: There is no such level.
        """
        rows = self.stored(level=level, contains=contains, after=after, limit=limit)
        return [row.entry for row in rows]

    def stored(
        self,
        *,
        level: str | None = None,
        contains: str | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[StoredEntry]:
        """The same as `entries`, with id, time of arrival and batch number."""
        store = self._running().store
        name = None if level is None else level_named(level)
        return store.entries(level=name, contains=contains, after=after, limit=limit)

    def tickets(self) -> list[dict[str, Any]]:
        """The entries with `add_ticket`, as from `entries`, in order of arrival."""
        return [row.entry for row in self._running().store.tickets()]

    def duplicates(self) -> dict[str, int]:
        """The `meta_data.log_id`s that were stored more than once; for each, how often."""
        return self._running().store.duplicates()

    def count(self, *, tickets: bool = False) -> int:
        """How many entries are stored; with `tickets`, only those with `add_ticket`."""
        store = self._running().store
        return store.ticket_count() if tickets else store.entry_count

    @property
    def last_old_id(self) -> int:
        """The id of the newest entry from before the start; `stored(after=...)` has the new ones.

        0 unless the database is a file with entries.
        """
        return self._running().store.last_old_id

    @property
    def requests(self) -> list[RecordedRequest]:
        """The last 10,000 requests (64 MiB of bodies), oldest first."""
        return self._running().journal.requests()

    def stats(self) -> dict[str, Any]:
        """Counts: stored, batches, sign_ins, tickets, duplicates, and answers by endpoint.

        `answers` is like `{"batch": {"200": 3, "503": 1, "unanswered": 1}}`.
        """
        return self._running().stats()

    def wait_for_entries(self, n: int, timeout: float = _DEFAULT_WAIT_SECONDS) -> None:
        """Waits until at least `n` entries are stored.

        Args:
            n: How many.
            timeout: Seconds. Default: 30.

        Raises:
            TimeoutError: They do not come in time; says what came, and what was answered.
        """
        backend = self._running()
        nouns = ("stored entry", "stored entries")
        backend.journal.wait_until(lambda: backend.store.entry_count, n, timeout, nouns)

    def wait_for_requests(
        self, n: int, timeout: float = _DEFAULT_WAIT_SECONDS, *, endpoint: Endpoint = "batch"
    ) -> None:
        """Waits until an endpoint has had at least `n` requests, unanswered ones included.

        Args:
            n: How many since the start, or since `reset`.
            timeout: Seconds. Default: 30.
            endpoint: "batch", "sign-in", "dev" or "unknown". Default: "batch".

        Raises:
            TimeoutError: They do not come in time; says what came, and what was answered.
        """
        journal = self._running().journal
        nouns = (f"{endpoint} request", f"{endpoint} requests")
        journal.wait_until(lambda: journal.count(endpoint), n, timeout, nouns)
