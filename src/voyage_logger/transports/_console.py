"""The transport of a logger without credentials: readable lines on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from voyage_logger._base.diagnostics import takes_a_line, to_stderr
from voyage_logger._entry.readable_line import readable
from voyage_logger.transports._base import BaseTransport
from voyage_logger.transports._outcome import Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

UNCONFIGURED = "unconfigured"
# Seconds without a reader, after which entries are left out until there is one.
_PATIENCE = 1.0
_PIECE = 1024  # characters: 4 KiB at most, for which there is room where stderr takes a line


class ConsoleTransport(BaseTransport):
    """Prints entries instead of sending them.

    What it prints counts as dropped, with the reason "unconfigured": a health check that reads
    `stats()` must not take a logger without credentials for one that delivers.

    A full pipe that nobody reads holds up neither the worker nor the exit, at which a thread in the
    middle of a write would have the interpreter abort.
    """

    _left_out = 0  # entries since stderr took one as a whole

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        patience = _PATIENCE if time_limit is None else min(_PATIENCE, time_limit)
        for entry in entries:
            self._print(readable(json.loads(entry)), patience)
        return Outcome(Kind.DISCARDED, UNCONFIGURED)

    def _print(self, text: str, patience: float) -> None:
        """Prints an entry, unless nobody reads."""
        if self._left_out:
            patience = 0.0  # there has been none for a while
            text = f"voyage-logger: {self._left_out} entries not printed: nobody read them\n{text}"
        for start in range(0, len(text), _PIECE):
            if not takes_a_line(sys.stderr, patience):
                self._left_out += 1
                return
            to_stderr(text[start : start + _PIECE])
        self._left_out = 0
