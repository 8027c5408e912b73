"""Entries in flight are entries that the worker has taken and that are not settled yet.

What must stay true: entries in flight are never shed. The oldest entries are settled first.
A signal handler drops either all entries in flight or none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._base.levels import LANES
from voyage_logger._queue.lanes import RECORD_OVERHEAD, size_of

if TYPE_CHECKING:
    from voyage_logger._queue.counts import Ledger
    from voyage_logger._queue.lanes import Record


class Flight:
    """The entries in flight of one queue. The lock of the ledger guards all fields.

    Attributes:
        records: The entries in flight, oldest first. A queue adds entries to this list directly
            after it has changed the counts. `counts.py` explains why.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.records: list[Record] = []

    def room(self, max_bytes: int) -> int:
        """Return how many bytes of JSON still fit into a request of at most `max_bytes` bytes."""
        ledger = self._ledger
        return max_bytes - (ledger.flight_bytes - ledger.in_flight * (RECORD_OVERHEAD - 1))

    def settle(self, count: int, rejected: str, dropped: str) -> None:
        """Settle the oldest `count` entries. By default, the entries count as delivered."""
        ledger, records = self._ledger, self.records
        if not rejected and not dropped:
            self._settle_delivered(count)
            return
        counts = ledger.rejected if rejected else ledger.dropped
        for lane in range(len(LANES)):
            # A comment in `MemoryQueue._shed_to` explains this statement.
            counts[rejected or dropped, lane] += 0
        for _, lane, payload in records[:count]:
            size = len(payload) + RECORD_OVERHEAD
            loss = (rejected or dropped, lane)
            if ledger.in_flight:  # A signal handler might have dropped all entries.
                ledger.in_flight -= 1
                ledger.flight_bytes -= size
                counts[loss] += 1
                del records[0]

    def _settle_delivered(self, count: int) -> None:
        """In one step, settle the oldest `count` entries as delivered."""
        ledger, records = self._ledger, self.records
        ended = records[:count]
        count, size = len(ended), size_of(ended)
        leaving = slice(count)  # Allocate the slice before the counts change: see `counts.py`.
        if ledger.in_flight >= count:  # A signal handler might have dropped all entries.
            ledger.in_flight -= count
            ledger.flight_bytes -= size
            ledger.delivered += count
            del records[leaving]

    def replace_first(self, payload: bytes) -> None:
        """Replace the oldest entry with a shorter encoding of the same entry."""
        ledger, records = self._ledger, self.records
        try:
            sequence, lane, old = records[0]
            record = (sequence, lane, payload)
            size = ledger.flight_bytes + len(payload) - len(old)
            records[0], ledger.flight_bytes = record, size
        except IndexError:
            return  # The entry was dropped before it could be replaced.
