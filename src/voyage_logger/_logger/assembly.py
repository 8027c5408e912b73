"""Makes the two parts of a logger: its `LogCalls`, and the pipeline that delivers the entries.

What must stay true: the pipeline keeps no reference to the logger or to its `LogCalls`.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from voyage_logger._base.levels import WARN
from voyage_logger._delivery.pipeline import Pipeline
from voyage_logger._entry.encoding import encode
from voyage_logger._entry.factory import EntryFactory
from voyage_logger._entry.redaction import Redaction
from voyage_logger._logger.log_call import CallCounts, LogCalls

if TYPE_CHECKING:
    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.settings import Settings
    from voyage_logger.transports import BaseTransport


def assemble(
    settings: Settings, transport: BaseTransport, diagnostics: Diagnostics
) -> tuple[LogCalls, Pipeline]:
    """Make the two parts of a logger: its `LogCalls` and the pipeline that delivers entries."""
    redaction = Redaction(settings.redact, partial(getattr, transport, "secrets", ()))
    factory = EntryFactory(
        settings.app_name, settings.environment, timestamps=settings.timestamps, mask=redaction.mask
    )
    counts = CallCounts()
    pipeline = Pipeline(
        settings,
        transport,
        diagnostics,
        make_notice=partial(_notice, factory, settings.max_entry_bytes),
        on_fork=partial(_reset, factory, counts),
    )
    calls = LogCalls(settings, pipeline, factory, counts, diagnostics, redaction)
    # The worker stops when the logger, its bound loggers and its journeys have been freed.
    weakref.finalize(calls.shared, pipeline.stop_when_empty).atexit = False
    return calls, pipeline


def _notice(factory: EntryFactory, max_bytes: int, fields: dict[str, Any]) -> bytes:
    """Return the bytes of an entry that reports lost entries."""
    return encode(factory.build(WARN, fields.pop("message"), fields), max_bytes)


def _reset(factory: EntryFactory, counts: CallCounts) -> None:
    """Reset the entry ids and the counts in a forked child."""
    factory.reset()
    counts.reset()
