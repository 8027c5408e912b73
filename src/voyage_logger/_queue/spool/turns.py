"""This module decides whether the next request sends new entries or older entries (the backlog).

What must stay true: at most three requests send older entries before a new entry is sent. This
limit of three holds as long as one request can send all entries that are logged during four
requests. An urgent entry does not wait for older entries, unless the last three requests all sent
urgent entries. New entries are sent in the order of their log calls, and so are older entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._base.levels import CRITICAL, NOTICE_LANE

if TYPE_CHECKING:
    from voyage_logger._queue.spool.owner import OwnerFiles
    from voyage_logger._queue.spool.segment import Segment
    from voyage_logger._queue.spool.segments import Segments

_FRESH_TURN = 4  # While a backlog waits, every fourth request sends new entries.
_FRESH_TURN_AT_END = 2  # At the end of the process, every second request sends new entries.
_ALL, _URGENT = slice(None), slice(CRITICAL, NOTICE_LANE)  # all lanes, and the urgent lanes


def heads_of(owner_files: OwnerFiles | None, after: int) -> list[Segment]:
    """For each lane, return the first segment that has entries to take.

    Use only segments that have an entry with a sequence number higher than `after`.
    """
    heads = []
    for lane in owner_files.lanes if owner_files is not None else ():
        # `tuple` copies the lane in one call, because a signal handler can change the lane.
        segment = next((each for each in tuple(lane) if each.ready and each.last > after), None)
        if segment is not None:
            heads.append(segment)
    return heads


class Turns:
    """Chooses between new entries and the backlog. The ledger's lock guards all fields."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._memory, self._store = segments.memory, segments.store
        self._mark = 0  # Entries of this logger are new if their sequence number is above `_mark`.
        self._turn = 0  # `_turn` counts the requests since the last request with new entries.
        self._urgent_turns = 0  # `_urgent_turns` counts successive requests with urgent entries.

    def choose(
        self, max_entries: int, max_bytes: int, *, is_ending: bool
    ) -> tuple[OwnerFiles | None, int]:
        """Return two values: the files from which the next request takes entries, and a number.

        The request takes only entries whose sequence number is higher than the returned number.
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
        """Return the files with the oldest backlog entries, or None if there is no backlog."""
        for owner_files in self._store.adopted:
            if owner_files.ready:
                return owner_files
        own = self._store.own
        old = own.segments() if own is not None else ()
        return own if any(each.ready and each.last <= self._mark for each in old) else None

    def _has_new(self, lanes: slice) -> bool:
        return self._memory.has_queued(lanes) or bool(self._new(lanes))

    def _new(self, lanes: slice) -> list[Segment]:
        """Return all segments of the given lanes that contain new entries."""
        own = self._store.own
        return [
            segment
            for lane in (own.lanes[lanes] if own is not None else ())
            for segment in tuple(lane)
            if segment.ready and segment.last > self._mark
        ]

    def _mark_backlog(self, requests: int, max_entries: int, max_bytes: int) -> None:
        """If too many new entries wait, treat these entries as a backlog from now on.

        Too many entries wait if they fill at least one segment and more than `requests` requests.
        Entries that are logged later go to new segments, and can be sent before this backlog.
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
