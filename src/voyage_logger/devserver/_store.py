"""Stores each entry as JSON in SQLite, and copies some fields into columns for searching."""

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

# One INSERT statement adds many rows. `executemany` would be slower than one statement, because
# `executemany` releases the GIL for each row. While another thread is busy, `executemany` stores
# 1,000 rows per second, and one statement stores 14,000 rows per second (CPython 3.11). Every
# version of SQLite accepts 999 values in a statement. A statement for 100 rows has 900 values.
_ROWS_A_STATEMENT = 100

_Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A stored entry with its id, arrival time and batch number.

    Attributes:
        id: The entry's position in the order of arrival. The first id is 1.
        received_at: The time of arrival in seconds since the epoch.
        batch: The number of the batch that contained the entry. Batches are numbered from 1.
        entry: The entry as it was sent.
    """

    id: int
    received_at: float
    batch: int
    entry: dict[str, Any]


class Store:
    """The entries of one server. Thread-safe: one lock guards the connection to the database."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            # A power failure can lose the newest entries. If the process crashes, no entry is lost.
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(_SCHEMA)
            # To change the attributes below, code must hold the lock. To read them, it need not.
            self.entry_count: int = self._number("SELECT COUNT(*) FROM entries")
            self.last_old_id: int = self._number("SELECT COALESCE(MAX(id), 0) FROM entries")
            self.batch_count: int = self._number("SELECT COALESCE(MAX(batch), 0) FROM entries")
        except sqlite3.Error:
            self._database.close()
            raise

    def add(self, entries: Sequence[dict[str, Any]]) -> None:
        """Store all entries of a batch. If an error occurs, no entry of the batch is stored."""
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
        """Return the entries that match all arguments; see `DevServer.entries`."""
        return self._select(
            "id > ? AND (? IS NULL OR level = ?) AND (? IS NULL OR INSTR(message, ?) > 0)"
            " ORDER BY id LIMIT ?",
            (after, level, level, contains, contains, -1 if limit is None else limit),
        )

    def duplicates(self) -> dict[str, int]:
        """Return each `log_id` that was stored more than once, with its count."""
        return dict(
            self._rows(
                "SELECT log_id, COUNT(*) FROM entries WHERE log_id IS NOT NULL"
                " GROUP BY log_id HAVING COUNT(*) > 1"
            )
        )

    def tickets(self) -> list[StoredEntry]:
        """Return the entries that opened a ticket, in the order of arrival."""
        return self._select("add_ticket ORDER BY id")

    def ticket_count(self) -> int:
        """Return the number of entries that opened a ticket."""
        with self._lock:
            return self._number("SELECT COUNT(*) FROM entries WHERE add_ticket")

    def clear(self) -> None:
        """Delete all entries. Later entries get higher ids than the deleted entries."""
        with self._lock:
            self._database.execute("DELETE FROM entries")
            self.entry_count = self.batch_count = 0

    def close(self) -> None:
        """Close the database. If the database is in memory, its entries are lost."""
        with self._lock:
            self._database.close()

    def _insert(self, rows: list[_Row]) -> None:
        chunks = list(_chunks(rows))
        if len(chunks) == 1:  # SQLite runs a single statement as one transaction.
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

    def _select(self, where: str, values: Sequence[object] = ()) -> list[StoredEntry]:
        sql = f"SELECT id, received_at, batch, entry FROM entries WHERE {where}"  # noqa: S608
        rows = self._rows(sql, values)
        return [StoredEntry(id_, at, batch, json.loads(body)) for id_, at, batch, body in rows]

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._lock:
            return self._database.execute(sql, values).fetchall()

    def _number(self, sql: str) -> int:
        return int(self._database.execute(sql).fetchone()[0])


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
    return f"INSERT INTO entries ({_COLUMNS}) VALUES {marks}"  # noqa: S608 - only placeholders
