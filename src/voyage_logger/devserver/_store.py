"""The stored entries, in SQLite: each as its JSON, with columns for what one looks for."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at REAL NOT NULL,
    batch INTEGER NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    app_name TEXT NOT NULL,
    event_name TEXT,
    add_ticket INTEGER NOT NULL,
    log_id TEXT,
    entry TEXT NOT NULL
)
"""
_COLUMNS = "received_at, batch, level, message, app_name, event_name, add_ticket, log_id, entry"

# One statement for many rows, not `executemany`: that lets the GIL go at each row, and next to one
# busy thread in the process takes 1,000 rows a second instead of 14,000 (CPython 3.11, 2 cores).
# 100 rows of 9 values stay below the 999 values that every SQLite takes.
_ROWS_A_STATEMENT = 100

_Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry with what the server knows of it.

    Attributes:
        id: Its place in the order of arrival, from 1.
        received_at: Seconds since the epoch.
        batch: The number of the batch it came in, from 1.
        entry: The entry as it was sent.
    """

    id: int
    received_at: float
    batch: int
    entry: dict[str, Any]


class Store:
    """The entries of one server.

    Args:
        path: A file, which keeps them over restarts, or ":memory:".

    Raises:
        sqlite3.Error: The file cannot be opened, or is no database.

    Thread-safe: one connection, guarded by one lock.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            # A restart of the server loses nothing; a power cut may cost the last entries.
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(_SCHEMA)
            # Written under the lock; read without it, as plain numbers.
            self.entry_count: int = self._number("SELECT COUNT(*) FROM entries")
            self.last_old_id: int = self._number("SELECT COALESCE(MAX(id), 0) FROM entries")
            self.batch_count: int = self._number("SELECT COALESCE(MAX(batch), 0) FROM entries")
        except sqlite3.Error:
            self._database.close()
            raise

    def add(self, entries: Sequence[dict[str, Any]]) -> None:
        """Stores a batch, whole or not at all."""
        now = time.time()
        bodies = [json.dumps(entry, ensure_ascii=False) for entry in entries]
        with self._lock:
            batch = self.batch_count + 1
            rows = [_row(now, batch, *pair) for pair in zip(entries, bodies, strict=True)]
            self._insert(rows)
            self.batch_count = batch
            self.entry_count += len(rows)

    def entries(
        self,
        *,
        level: str | None = None,
        contains: str | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[StoredEntry]:
        """The entries that match, in order of arrival.

        Args:
            level: Only those of this level.
            contains: Only those whose message contains this text, in this case.
            after: Only those whose id is greater.
            limit: At most so many. Default: all.
        """
        rows = self._rows(
            "SELECT id, received_at, batch, entry FROM entries WHERE id > ?"
            " AND (? IS NULL OR level = ?) AND (? IS NULL OR INSTR(message, ?) > 0)"
            " ORDER BY id LIMIT ?",
            (after, level, level, contains, contains, -1 if limit is None else limit),
        )
        return [_stored(*row) for row in rows]

    def duplicates(self) -> dict[str, int]:
        """The `log_id`s that were stored more than once, and how often."""
        return dict(
            self._rows(
                "SELECT log_id, COUNT(*) FROM entries WHERE log_id IS NOT NULL"
                " GROUP BY log_id HAVING COUNT(*) > 1"
            )
        )

    def tickets(self) -> list[StoredEntry]:
        """The entries that opened a ticket, in order of arrival."""
        rows = self._rows(
            "SELECT id, received_at, batch, entry FROM entries WHERE add_ticket ORDER BY id"
        )
        return [_stored(*row) for row in rows]

    def ticket_count(self) -> int:
        """How many entries opened a ticket."""
        with self._lock:
            return self._number("SELECT COUNT(*) FROM entries WHERE add_ticket")

    def clear(self) -> None:
        """Forgets all entries; the ids go on."""
        with self._lock:
            self._database.execute("DELETE FROM entries")
            self.entry_count = self.batch_count = 0

    def close(self) -> None:
        """Closes the database. What was in memory is gone."""
        with self._lock:
            self._database.close()

    def _insert(self, rows: list[_Row]) -> None:
        chunks = list(_chunks(rows))
        if len(chunks) == 1:  # a statement is a transaction of its own
            self._database.execute(*chunks[0])
            return
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for sql, values in chunks:
                self._database.execute(sql, values)
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._lock:
            return self._database.execute(sql, values).fetchall()

    def _number(self, sql: str) -> int:
        return int(self._database.execute(sql).fetchone()[0])


def _stored(number: int, received_at: float, batch: int, body: str) -> StoredEntry:
    return StoredEntry(number, received_at, batch, json.loads(body))


def _row(now: float, batch: int, entry: dict[str, Any], body: str) -> _Row:
    log_id = entry.get("meta_data", {}).get("log_id")
    return (
        now,
        batch,
        entry["level"],
        entry["message"],
        entry["app_name"],
        entry.get("event_name"),
        entry.get("add_ticket", False),
        log_id if isinstance(log_id, str) else None,
        body,
    )


def _chunks(rows: list[_Row]) -> Iterator[tuple[str, list[object]]]:
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        chunk = rows[start : start + _ROWS_A_STATEMENT]
        yield _insert_sql(len(chunk)), [value for row in chunk for value in row]


@lru_cache(maxsize=_ROWS_A_STATEMENT)
def _insert_sql(rows: int) -> str:
    marks = ",".join(["(?,?,?,?,?,?,?,?,?)"] * rows)
    return f"INSERT INTO entries ({_COLUMNS}) VALUES {marks}"  # noqa: S608 - no value is in the text
