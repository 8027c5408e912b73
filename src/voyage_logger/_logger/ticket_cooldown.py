"""With the option `ticket_cooldown`, an incident opens at most one ticket per period.

What must stay true: the cooldown does not leave out any entry. If a ticket is held back, only the
field `add_ticket` is removed. The next ticket of the same incident contains the number of tickets
that were held back. The number of remembered incidents is limited.
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
    """When an incident last opened a ticket, and how many tickets were held back since then."""

    opened_at: float
    held_back: int = 0


class TicketCooldown:
    """Remembers which incidents have opened a ticket in the last `period` seconds.

    Thread-safe. A forked child starts without remembered incidents.
    """

    def __init__(self, period: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._clock = clock
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()  # A signal handler can log while the lock is held.
        self._incidents: dict[str, _Incident] = {}  # The incident with the oldest ticket is first.

    def apply(self, entry: dict[str, Any], incident: str) -> dict[str, Any]:
        """Remove `add_ticket` from the entry if the incident has opened a ticket in this period."""
        if self._pid != os.getpid():
            self._reset()  # pragma: no cover - coverage does not measure forked children
        held_back = self._open(incident[:_MAX_NAME])
        if held_back is None:
            entry = {name: value for name, value in entry.items() if name != "add_ticket"}
            return _noted(entry, "ticket_held_back", value=True)
        return _noted(entry, "tickets_held_back", held_back) if held_back else entry

    def _open(self, incident: str) -> int | None:
        """Return how many tickets were held back before, or None to hold this ticket back."""
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
