"""The queue: what waits to be sent, in memory or on the disk, and every count.

This room imports `_base` and `_entry` only. Read its files in this order:

contract.py  what the worker and the pipeline may ask of any queue
counts.py    Ledger: the lock, its conditions, the counts, and the law that the counts keep
lanes.py     records in the order of their log calls, one lane for each level
flight.py    the entries that the worker has taken
memory.py    the queue in memory
spool/       the queue on the disk
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._queue.memory import MemoryQueue

if TYPE_CHECKING:
    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.settings import Settings
    from voyage_logger._queue.contract import Queue


def queue_for(settings: Settings, destination: str, diagnostics: Diagnostics) -> Queue:
    """Return a new queue: on the disk if the settings name a folder, else in memory."""
    bounds = settings.max_queue_size, settings.max_queue_bytes
    if settings.spool_dir is None:
        return MemoryQueue(*bounds)
    from voyage_logger._queue.spool import (  # noqa: PLC0415 - few apps need it
        SpoolQueue,
        SpoolSettings,
    )

    spool = SpoolSettings(
        settings.spool_dir, settings.max_spool_bytes, settings.max_spool_age, destination
    )
    return SpoolQueue(*bounds, spool, diagnostics)
