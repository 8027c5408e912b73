"""The methods of `DevServer` that return or wait for entries, requests and counts."""

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
    """The methods of `DevServer` that only read. Thread-safe."""

    @abstractmethod
    def _running(self) -> Backend:
        """Return the state of the server. Raise RuntimeError if the server is not running."""

    def entries(
        self,
        *,
        level: str | None = None,
        contains: str | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return the stored entries as they were sent, in the order of arrival.

        Args:
            level: Return only entries of this level. All level names of the logger are valid.
            contains: Return only entries whose message contains this text (case-sensitive).
            after: Return only entries whose id is greater than this id. `stored` returns the ids.
            limit: The largest number of entries to return. Default: no limit.

        Raises:
            ValueError: `level` is not the name of a level.
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
        """Return the same entries as `entries`, each with its id, arrival time and batch number."""
        store = self._running().store
        name = None if level is None else level_named(level)
        return store.entries(level=name, contains=contains, after=after, limit=limit)

    def tickets(self) -> list[dict[str, Any]]:
        """Return the stored entries whose `add_ticket` is true, in the order of arrival."""
        return [row.entry for row in self._running().store.tickets()]

    def duplicates(self) -> dict[str, int]:
        """Return each `meta_data.log_id` that was stored more than once, with its count."""
        return self._running().store.duplicates()

    def count(self, *, tickets: bool = False) -> int:
        """Return the number of stored entries. If `tickets` is true, count only tickets."""
        store = self._running().store
        return store.ticket_count() if tickets else store.entry_count

    @property
    def last_old_id(self) -> int:
        """The id of the newest entry when the server started, or 0 if the database was empty."""
        return self._running().store.last_old_id

    @property
    def requests(self) -> list[RecordedRequest]:
        """The latest requests, oldest first: at most 10,000 requests, and at most 64 MiB."""
        return self._running().journal.requests()

    def stats(self) -> dict[str, Any]:
        """Return the counts `stored`, `batches`, `sign_ins`, `tickets`, `duplicates` and `answers`.

        An example of the value of `answers` is `{"batch": {"200": 3, "503": 1, "unanswered": 1}}`.
        """
        return self._running().stats()

    def wait_for_entries(self, n: int, timeout: float = _DEFAULT_WAIT_SECONDS) -> None:
        """Wait until at least `n` entries are stored.

        Args:
            n: The number of entries.
            timeout: The longest time to wait, in seconds (default: 30).

        Raises:
            TimeoutError: Fewer than `n` entries were stored. The error message contains the counts.
        """
        backend = self._running()
        nouns = ("stored entry", "stored entries")
        backend.journal.wait_until(lambda: backend.store.entry_count, n, timeout, nouns)

    def wait_for_requests(
        self, n: int, timeout: float = _DEFAULT_WAIT_SECONDS, *, endpoint: Endpoint = "batch"
    ) -> None:
        """Wait until an endpoint has received at least `n` requests. Unanswered requests count too.

        Args:
            n: The number of requests since the start of the server, or since the latest `reset`.
            timeout: The longest time to wait, in seconds (default: 30).
            endpoint: "batch" (default), "sign-in", "dev" or "unknown".

        Raises:
            TimeoutError: Fewer than `n` requests arrived. The error message contains the counts.
        """
        journal = self._running().journal
        nouns = (f"{endpoint} request", f"{endpoint} requests")
        journal.wait_until(lambda: journal.count(endpoint), n, timeout, nouns)
