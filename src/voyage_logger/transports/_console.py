"""The transport of a logger without credentials: readable lines on stderr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from voyage_logger._diagnostics import to_stderr
from voyage_logger._outcome import Kind, Outcome
from voyage_logger._readable import readable
from voyage_logger.transports._base import BaseTransport

if TYPE_CHECKING:
    from collections.abc import Sequence

UNCONFIGURED = "unconfigured"


class ConsoleTransport(BaseTransport):
    """Prints entries instead of sending them.

    What it prints counts as dropped, with the reason "unconfigured": a health check that reads
    `stats()` must not take a logger without credentials for one that delivers. Thread-safe.
    """

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        del time_limit  # a terminal has none
        to_stderr("".join(readable(json.loads(entry)) for entry in entries))
        return Outcome(Kind.DISCARDED, UNCONFIGURED)
