"""What waits to be sent, in memory or on the disk, and every count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._queue.memory import MemoryQueue

if TYPE_CHECKING:
    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.settings import Settings


def queue_for(settings: Settings, destination: str, diagnostics: Diagnostics) -> MemoryQueue:
    """The queue that the settings ask for: in memory, or in a spool folder."""
    bounds = settings.max_queue_size, settings.max_queue_bytes
    if settings.spool_dir is None:
        return MemoryQueue(*bounds)
    from voyage_logger._queue.spool import (  # noqa: PLC0415 - rarely wanted
        SpoolQueue,
        SpoolSettings,
    )

    spool = SpoolSettings(
        settings.spool_dir, settings.max_spool_bytes, settings.max_spool_age, destination
    )
    return SpoolQueue(*bounds, spool, diagnostics)
