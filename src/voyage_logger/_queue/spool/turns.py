"""The turns: the next request carries either new entries or a backlog of older entries.

What must stay true: a new entry waits for at most three requests of the backlog, as long as all
entries that come during four requests fit into one request. An urgent entry waits for no request of
the backlog, unless urgent entries come all the time. New entries keep their order, and the entries
of the backlog keep their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._base.levels import CRITICAL, NOTICE_LANE

if TYPE_CHECKING:
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.segment import Segment
    from voyage_logger._queue.spool.segments import Segments

_FRESH_TURN = 4  # While a backlog waits, every fourth request carries new entries.
_FRESH_TURN_AT_END = 2  # At the end of a process, every second request carries new entries.
_ALL, _URGENT = slice(None), slice(CRITICAL, NOTICE_LANE)  # Slices of the lanes.


def heads_of(owner_files: OwnerFiles | None, after: int) -> list[Segment]:
    """For each lane, return the first segment that has entries to take.

    A segment is skipped if no sequence number in the segment is higher than `after`.
    """
    heads = []
    for lane in owner_files.lanes if owner_files is not None else ():
        # The lane is copied in one call, because a signal handler that logs can change the lane.
        segment = next((each for each in tuple(lane) if each.ready and each.last > after), None)
        if segment is not None:
            heads.append(segment)
    return heads


class Turns:
    """Chooses between new entries and the backlog. The ledger's lock guards all fields."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._memory, self._store = segments.memory, segments.store
        self._mark = 0  # Own entries with a higher sequence number are new entries.
        self._turn = 0  # The number of requests since the last request with new entries.
        self._urgent_turns = 0  # The number of successive requests for urgent entries.

    def choose(
        self, max_entries: int, max_bytes: int, *, is_ending: bool
    ) -> tuple[OwnerFiles | None, int]:
        """Return the files from which the next request takes entries, and a sequence number.

        The request takes only entries that have a higher sequence number.
        """
        own = self._store.own
        if not self._turn and not is_ending:
            self._mark_backlog(_FRESH_TURN - 1, max_entries, max_bytes)
        backlog = self._backlog()
        if backlog is None:
            self._turn = self._urgent_turns = 0
            return own, 0
        self._turn += 1
        is_due = self._turn >= (_FRESH_TURN_AT_END if is_ending else _FRESH_TURN)
        is_urgent = self._urgent_turns < _FRESH_TURN - 1 and self._has_new(_URGENT)
        if (is_due or is_urgent) and self._has_new(_ALL):
            self._urgent_turns = 0 if is_due else self._urgent_turns + 1
            self._turn = 0
            return own, self._mark
        self._urgent_turns = 0
        if is_due and is_ending and own is not None and own.ready:
            self._turn = 0
            return own, 0
        return backlog, 0

    def next_segments(self) -> set[Segment]:
        """Return the segments from which the next requests can take entries."""
        return {*heads_of(self._store.own, self._mark), *heads_of(self._backlog(), 0)}

    def _backlog(self) -> OwnerFiles | None:
        """Return the files with the oldest entries of the backlog, or None without a backlog."""
        for owner_files in self._store.adopted:
            if owner_files.ready:
                return owner_files
        own = self._store.own
        old = own.segments() if own is not None else ()
        return own if any(each.ready and each.last <= self._mark for each in old) else None

    def _has_new(self, lanes: slice) -> bool:
        return self._memory.has_queued(lanes) or bool(self._new(lanes))

    def _new(self, lanes: slice) -> list[Segment]:
        """Return the segments with new entries in the given lanes."""
        own = self._store.own
        return [
            segment
            for lane in (own.lanes[lanes] if own is not None else ())
            for segment in tuple(lane)
            if segment.ready and segment.last > self._mark
        ]

    def _mark_backlog(self, requests: int, max_entries: int, max_bytes: int) -> None:
        """Turn new entries into a backlog if they fill a segment and more than `requests` requests.

        Later entries go to new segments, so they need not wait until the whole backlog is sent.
        """
        new = self._new(_ALL)
        count = sum(segment.ready for segment in new)
        size = sum(segment.size - segment.taken for segment in new)
        is_more = count > requests * max_entries or size > requests * max_bytes
        if not is_more or all(segment.is_open for segment in new):
            return
        self._mark = self._segments.ledger.sequence
        for segment in new:
            self._segments.seal(segment)
