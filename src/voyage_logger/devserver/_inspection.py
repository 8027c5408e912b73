"""The methods of `DevServer` that return entries, requests and counts, or wait for them."""

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
    """The part of `DevServer` that changes nothing. Thread-safe."""

    @abstractmethod
    def _running(self) -> Backend:
        """Return the state of the server; raise RuntimeError if the server does not run."""

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
            level: Return only entries of this level. Any name that the logger accepts is valid.
            contains: Return only entries whose message contains this text. Case matters.
            after: Return only entries with a greater id (see `stored`).
            limit: The largest number of entries to return. Default: no limit.

        Raises:
            ValueError: The level does not exist.
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
        """Return the entries that `entries` returns, with the id, arrival time and batch number."""
        store = self._running().store
        name = None if level is None else level_named(level)
        return store.entries(level=name, contains=contains, after=after, limit=limit)

    def tickets(self) -> list[dict[str, Any]]:
        """Return the stored entries that have `add_ticket`, in the order of arrival."""
        return [row.entry for row in self._running().store.tickets()]

    def duplicates(self) -> dict[str, int]:
        """Return each `meta_data.log_id` that was stored more than once, and its count."""
        return self._running().store.duplicates()

    def count(self, *, tickets: bool = False) -> int:
        """Return the number of stored entries; with `tickets`, count only entries with a ticket."""
        store = self._running().store
        return store.ticket_count() if tickets else store.entry_count

    @property
    def last_old_id(self) -> int:
        """The id of the newest entry that the database file had at the start, or 0."""
        return self._running().store.last_old_id

    @property
    def requests(self) -> list[RecordedRequest]:
        """The last 10,000 requests (at most 64 MiB of bodies), oldest first."""
        return self._running().journal.requests()

    def stats(self) -> dict[str, Any]:
        """Return the counts stored, batches, sign_ins, tickets, duplicates and answers.

        For example, `answers` is `{"batch": {"200": 3, "503": 1, "unanswered": 1}}`.
        """
        return self._running().stats()

    def wait_for_entries(self, n: int, timeout: float = _DEFAULT_WAIT_SECONDS) -> None:
        """Wait until at least `n` entries are stored.

        Args:
            n: The number of entries.
            timeout: The most seconds to wait. Default: 30.

        Raises:
            TimeoutError: Too few entries were stored in time. The error names the counts.
        """
        backend = self._running()
        nouns = ("stored entry", "stored entries")
        backend.journal.wait_until(lambda: backend.store.entry_count, n, timeout, nouns)

    def wait_for_requests(
        self, n: int, timeout: float = _DEFAULT_WAIT_SECONDS, *, endpoint: Endpoint = "batch"
    ) -> None:
        """Wait until an endpoint has received at least `n` requests, unanswered ones included.

        Args:
            n: The number of requests since the start, or since `reset`.
            timeout: The most seconds to wait. Default: 30.
            endpoint: "batch", "sign-in", "dev" or "unknown". Default: "batch".

        Raises:
            TimeoutError: Too few requests came in time. The error names the counts.
        """
        journal = self._running().journal
        nouns = (f"{endpoint} request", f"{endpoint} requests")
        journal.wait_until(lambda: journal.count(endpoint), n, timeout, nouns)
