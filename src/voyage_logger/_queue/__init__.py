"""The queue stores entries in memory or on the disk until they are sent, and counts all entries.

This room may import `_base` and `_entry`. Read the files in this order:

    contract.py  the methods that every queue has
    counts.py    Ledger: the lock, the condition variables, and all counts
    lanes.py     records and lanes: each level has one lane of records
    flight.py    the entries that the worker has taken
    memory.py    the queue in memory
    spool/       the queue on the disk
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._base.fork_locks import loading
from voyage_logger._queue.memory import MemoryQueue

if TYPE_CHECKING:
    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.settings import Settings
    from voyage_logger._queue.contract import Queue


def queue_for(settings: Settings, destination: str, diagnostics: Diagnostics) -> Queue:
    """Return a queue on the disk if `spool_dir` is set. Otherwise, return a queue in memory."""
    bounds = settings.max_queue_size, settings.max_queue_bytes
    if settings.spool_dir is None:
        return MemoryQueue(*bounds)
    with loading:
        from voyage_logger._queue import spool  # noqa: PLC0415 - imported only if the app uses a spool

    where = spool.SpoolSettings(
        settings.spool_dir, settings.max_spool_bytes, settings.max_spool_age, destination
    )
    return spool.SpoolQueue(*bounds, where, diagnostics)
