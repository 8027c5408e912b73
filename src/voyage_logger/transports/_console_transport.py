"""The transport of a logger without credentials. The transport prints entries on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from voyage_logger._base.diagnostics import takes_a_line, to_stderr
from voyage_logger._base.stats import UNCONFIGURED
from voyage_logger._entry.readable_line import readable
from voyage_logger.transports._base_transport import BaseTransport
from voyage_logger.transports._outcome import Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATIENCE = 1.0  # If the stderr pipe stays full for this many seconds, the entry is not printed.
_PIECE = 1024  # 1,024 characters need at most 4 KiB, and a writable pipe has space for 4 KiB.


class ConsoleTransport(BaseTransport):
    """Prints entries instead of sending them.

    Printed entries count as dropped with the reason "unconfigured". So a health check that reads
    `stats()` notices that credentials are missing. This class does not write to a full pipe: if a
    thread is blocked in such a write at exit, the interpreter aborts.
    """

    _left_out = 0  # How many entries were not printed since the last printed entry.

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        patience = _PATIENCE if time_limit is None else min(_PATIENCE, time_limit)
        for entry in entries:
            self._print(readable(json.loads(entry)), patience)
        return Outcome(Kind.DISCARDED, UNCONFIGURED)

    def _print(self, text: str, patience: float) -> None:
        """Print an entry. If stderr is a full pipe, do not print the entry."""
        if self._left_out:
            patience = 0.0  # Do not wait again, because stderr was still full after the last wait.
            text = f"voyage-logger: {self._left_out} entries not printed: nobody read them\n{text}"
        for start in range(0, len(text), _PIECE):
            if not takes_a_line(sys.stderr, patience):
                self._left_out += 1
                return
            to_stderr(text[start : start + _PIECE])
        self._left_out = 0
