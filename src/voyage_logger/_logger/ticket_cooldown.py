"""With the option `ticket_cooldown`, an incident opens at most one ticket per period.

What must stay true: no entry is left out; only the flag `add_ticket` is removed. The next ticket of
the same incident states how many flags were removed. The number of remembered incidents is limited.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from voyage_logger._entry.field_conversion import as_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_INCIDENTS = 1000
_MAX_NAME = 256  # characters


class _Incident(NamedTuple):
    """The time of an incident's latest ticket, and the number of tickets held back since then."""

    opened_at: float
    held_back: int = 0


class TicketCooldown:
    """Remembers which incidents have opened a ticket in the last `period` seconds.

    Thread-safe. A forked child starts without incidents.
    """

    def __init__(self, period: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._clock = clock
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()  # Re-entrant: a signal handler may log meanwhile.
        self._incidents: dict[str, _Incident] = {}  # The oldest ticket's incident comes first.

    def apply(self, entry: dict[str, Any], incident: str) -> dict[str, Any]:
        """If the incident opened a ticket in this period, return the entry without `add_ticket`."""
        if self._pid != os.getpid():
            self._reset()  # pragma: no cover - forked children run without coverage
        held_back = self._open(incident[:_MAX_NAME])
        if held_back is None:
            entry = {name: value for name, value in entry.items() if name != "add_ticket"}
            return _noted(entry, "ticket_held_back", value=True)
        return _noted(entry, "tickets_held_back", held_back) if held_back else entry

    def _open(self, incident: str) -> int | None:
        """Return None to hold a ticket back, else the number of tickets held back earlier."""
        with self._lock:
            now = self._clock()
            known = self._incidents.get(incident)
            if known is not None and now - known.opened_at < self._period:
                self._incidents[incident] = known._replace(held_back=known.held_back + 1)
                return None
            self._incidents.pop(incident, None)
            if len(self._incidents) >= _MOST_INCIDENTS:
                del self._incidents[next(iter(self._incidents))]
            self._incidents[incident] = _Incident(now)
            return 0 if known is None else known.held_back


def _noted(entry: dict[str, Any], name: str, value: object) -> dict[str, Any]:
    return {**entry, "meta_data": {**as_mapping(entry.get("meta_data")), name: value}}
