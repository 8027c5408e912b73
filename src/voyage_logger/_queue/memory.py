"""The entries that are not yet delivered, and the count of all that ever were.

What must stay true, at every moment another thread can look:
`accepted == delivered + rejected + dropped + pending`.

Entries wait in lanes by level (see `_levels`), so that a full queue can give up the lowest level
first; a sequence number keeps the order of the calls across lanes. Those handed to the worker are
*in flight*: settled from the left, never shed.

One re-entrant lock guards everything here. A signal handler or a `__del__` may log while its own
thread is inside a method of this class. Such an entry is kept and the counts stay right, because
CPython lets foreign code in only at calls and allocations: each method changes all counts in a run
of statements without a call, next to the one call that moves the entry.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque

from voyage_logger._base.levels import CRITICAL, LANES, NOTICE_LANE
from voyage_logger._base.stats import Stats
from voyage_logger._queue.contract import Keeping
from voyage_logger._queue.lanes import (
    NEVER,
    RECORD_OVERHEAD,
    Loss,
    Record,
    by_reason,
    first,
    fitting,
    head,
    leave,
    moves,
    pop,
    run_of,
    size_of,
)

SLICE = 500  # entries that are moved while the lock is held once
_LOOKS = 10  # at the counts, until one is not disturbed: where each allocation logs, none is
_SHORTEST_RUN = 16  # entries of a lane that are looked at in one go


class MemoryQueue(Keeping):
    """A queue of encoded entries, bounded in entries and in bytes.

    Args:
        max_entries: How many may wait.
        max_bytes: How much memory those waiting may take, `RECORD_OVERHEAD` each included.

    Thread-safe, and re-entrant: see the module's docstring.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._shed_reason = "queue_full"
        # Taken by itself, never through a condition: those are entered and left by Python code, and
        # an exception from a signal handler in there would leave the lock held for good.
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)  # the worker waits here for something to do
        self.settled = threading.Condition(self.lock)  # flush and exit wait here for fewer pending
        # All below is guarded by the lock.
        self.wake_at = NEVER  # as many queued entries as the worker wants to be woken for
        self.is_urgent = False  # a critical or ticket entry has come since the last take
        self._lanes: tuple[deque[Record], ...] = tuple(deque() for _ in LANES)
        self._flight: deque[Record] = deque()
        self._sequence = 0
        self._accepted = 0
        self._queued = 0
        self._queued_bytes = 0
        self._flight_bytes = 0
        self._delivered = 0
        self._amended = 0  # how often an entry was replaced while it waited
        self._in_flight = 0
        self._rejected: defaultdict[Loss, int] = defaultdict(int)
        self._dropped: defaultdict[Loss, int] = defaultdict(int)

    def append(self, payload: bytes | bytearray, lane: int) -> int:
        """Takes an entry in, and sheds from the lowest lane what then is too much.

        Returns:
            The entry's sequence number.
        """
        size = len(payload) + RECORD_OVERHEAD
        with self.lock:
            self._sequence = sequence = self._sequence + 1
            record = (sequence, lane, payload)
            put = self._lanes[lane].append
            self._accepted += 1
            self._queued += 1
            self._queued_bytes += size
            put(record)
            if self._queued > self._max_entries or self._queued_bytes > self._max_bytes:
                self._shed()
            if lane >= CRITICAL or self._queued >= self.wake_at:
                self._wake(lane)
        return sequence

    def amend(self, lane: int, sequence: int, payload: bytearray, amended: bytes) -> bool:
        """Replaces the bytes of an entry in place, if it is still waiting.

        Args:
            lane: The entry's lane.
            sequence: The entry's sequence number.
            payload: The very object that was appended.
            amended: Its new content.

        Returns:
            False if the entry is in flight already, or no longer here.
        """
        growth = len(amended) - len(payload)
        with self.lock:
            # Entries leave their lane in order, so this one is there if no later one is its head.
            if head(self._lanes[lane]) > sequence:
                return False
            self._amended += 1
            payload[:] = amended
            self._queued_bytes += growth
            if self._queued_bytes > self._max_bytes:
                self._shed()
        return True

    def _wake(self, lane: int) -> None:
        """Wakes the worker, for an urgent entry or for as many as it has asked for."""
        is_urgent = lane < NOTICE_LANE and lane >= CRITICAL and not self.is_urgent
        if is_urgent:
            self.is_urgent = True
        if is_urgent or len(self) >= self.wake_at:
            self.wake_at = NEVER  # once is enough: the worker sets it anew when it waits
            self.changed.notify()

    def wait_for_entries(self, count: int, time_limit: float | None) -> None:
        """Waits for so many queued entries, an urgent one, a notice of `changed`, or the limit.

        The caller holds the lock.

        Args:
            count: How many entries.
            time_limit: The most seconds to wait; None: as long as it takes.
        """
        self.wake_at = count
        self.changed.wait(time_limit)
        self.wake_at = NEVER

    def clear_urgent(self) -> None:
        """Begins to wait for the next urgent entry. The caller holds the lock."""
        self.is_urgent = False

    def drop_new(self, lane: int, reason: str) -> None:
        """Counts an entry that cannot be taken in as accepted and dropped."""
        loss = (reason, lane)
        with self.lock:
            self._dropped[loss] += 0  # see `_shed`
            self._accepted += 1
            self._dropped[loss] += 1

    def try_drop_new(self, lane: int, reason: str) -> None:
        """The same where the lock may be held for good: then the entry is not counted."""
        if self.lock.acquire(blocking=False):
            self.drop_new(lane, reason)
            self.lock.release()

    def take(self, max_entries: int, max_bytes: int) -> list[Record]:
        """Moves the oldest entries into flight; those already in flight come first, alone.

        Args:
            max_entries: How many at the most.
            max_bytes: How much JSON at the most, one comma an entry included; the first entry
                is taken whatever its size.
        """
        with self.lock:
            if self._in_flight:
                return list(self._flight)
        while True:  # in slices, for log calls wait meanwhile
            with self.lock:
                before = self._in_flight
                self._board(min(max_entries, before + SLICE), max_bytes)
                if self._in_flight < before + SLICE or self._in_flight >= max_entries:
                    return list(self._flight)

    def settle(self, count: int, *, rejected: str = "", dropped: str = "", words: str = "") -> None:
        """Ends the flight of the `count` oldest entries: delivered, unless a reason is given.

        Args:
            count: How many.
            rejected: Why the server refuses them for good.
            dropped: Why the client gives them up.
            words: What the server said of rejected ones, for whoever keeps them.
        """
        while count > 0:  # in slices, for log calls wait meanwhile
            with self.lock:
                self._settle(min(count, SLICE), rejected, dropped, words)
                count -= SLICE
                self.settled.notify_all()

    def _settle(self, count: int, rejected: str, dropped: str, words: str) -> None:  # noqa: ARG002 - a `SpoolQueue` keeps them
        # Fewer may be left than were sent: `drop_all` may have come in between.
        if not rejected and not dropped:
            self._settle_delivered(count)
            return
        counts = self._rejected if rejected else self._dropped
        for lane in range(len(LANES)):
            counts[rejected or dropped, lane] += 0  # see `_shed`
        for _ in range(count):
            if (record := pop(self._flight)) is None:
                return
            _, lane, payload = record
            size = len(payload) + RECORD_OVERHEAD
            loss = (rejected or dropped, lane)
            self._in_flight -= 1
            self._flight_bytes -= size
            counts[loss] += 1

    def _settle_delivered(self, count: int) -> None:
        """The same for delivered entries, all in one step: most are, and each costs CPU."""
        ended = first(self._flight, count)
        count, size = len(ended), size_of(ended)
        _, leaving = moves(self._flight, count)
        nowhere: deque[Record] = deque(maxlen=0)
        drop = nowhere.extend
        try:
            # Nothing may come between this look and the drop: see `_shed`. What is in flight
            # changes under our hands only by an `drop_all`, which leaves nothing of it.
            _ = self._flight[count - 1]
            self._in_flight -= count
            self._flight_bytes -= size
            self._delivered += count
            drop(leaving)
        except IndexError:
            return

    def replace_first(self, payload: bytes) -> None:
        """Puts a shorter encoding in the place of the oldest entry in flight."""
        with self.lock:
            try:
                sequence, lane, old = self._flight[0]
                record = (sequence, lane, payload)
                size = self._flight_bytes + len(payload) - len(old)
                self._flight[0], self._flight_bytes = record, size
            except IndexError:
                return  # abandoned meanwhile

    def drop_all(self, reason: str) -> int:
        """Drops everything queued or in flight, and says how many entries that were."""
        with self.lock:
            self._board(NEVER, NEVER)
            count = self._in_flight
            self.settle(count, dropped=reason)
            return count

    def close(self, reason: str) -> None:
        """Drops everything, and from now on whatever a log call under way still appends."""
        with self.lock:
            self.drop_all(reason)
            self._max_entries = 0
            self._shed_reason = reason

    def oldest(self) -> int:
        """The sequence number of the oldest pending entry, `NEVER` if there is none."""
        with self.lock:
            return min(map(head, (self._flight, *self._lanes)))

    def is_pending(self, sequence: int) -> bool:
        """True if an entry up to that sequence number is still pending."""
        return self.oldest() <= sequence

    def newest(self) -> int:
        """The sequence number of the entry that came last, 0 if none ever did."""
        return self._sequence

    def pending_until(self, sequence: int) -> int:
        """How many of the entries up to that sequence number are still pending."""
        with self.lock:
            lanes = [list(lane) for lane in (self._flight, *self._lanes)]
        return sum(record[0] <= sequence for lane in lanes for record in lane)

    def __len__(self) -> int:
        """How many entries wait; those in flight do not count."""
        return self._queued

    def fill(self) -> float:
        """How full the queue is, from 0 to 1, by entries or bytes, whichever is more."""
        with self.lock:
            return max(
                self._queued / (self._max_entries or 1), self._queued_bytes / self._max_bytes
            )

    def stats(self) -> Stats:
        """All counts, taken at one moment."""
        with self.lock:
            for _ in range(_LOOKS):
                accepted = self._accepted
                stats = self._snapshot()
                if self._accepted == accepted:  # no re-entrant call has come in between
                    break
            return stats

    def _snapshot(self) -> Stats:
        rejected, dropped = dict(self._rejected), dict(self._dropped)
        return Stats(
            accepted=self._accepted,
            delivered=self._delivered,
            rejected=sum(rejected.values()),
            dropped=sum(dropped.values()),
            pending=self._queued + self._in_flight,
            rejected_by=by_reason(rejected),
            dropped_by=by_reason(dropped),
            pending_bytes=self._queued_bytes + self._flight_bytes,
        )

    def losses(self) -> Counter[Loss]:
        """All entries lost so far, by reason and lane."""
        with self.lock:
            return Counter(self._rejected) + Counter(self._dropped)

    def _shed(self) -> None:
        for lane in self._lanes:
            drop = (leave, lane.popleft)
            while self._queued > self._max_entries or self._queued_bytes > self._max_bytes:
                try:
                    record = lane[0]
                    size = len(record[2]) + RECORD_OVERHEAD
                    loss = (self._shed_reason, record[1])
                    # A look for a key takes more stack than all below: at its end, it fails here.
                    self._dropped[loss] += 0
                    # A re-entrant `append` may have shed it by now. From this look to the drop
                    # there is no place for another: no call, and (for CPython 3.10) no jump.
                    is_first = lane[0] is record
                    self._queued -= is_first
                    self._queued_bytes -= size * is_first
                    self._dropped[loss] += is_first
                    drop[is_first]()
                except IndexError:  # noqa: PERF203 - see `head`; this is the rare path
                    break

    def _board(self, max_entries: int, max_bytes: int) -> None:
        """Moves the oldest queued entries into flight, in the order of their calls."""
        most = _SHORTEST_RUN
        while (wanted := max_entries - self._in_flight) > 0:
            lane, run, is_whole = run_of(self._lanes, min(most, wanted))
            if head(lane) == NEVER:
                return
            # Looks ahead as far as pays: runs are short where levels alternate.
            most = most * 2 if is_whole else _SHORTEST_RUN
            room = max_bytes - (self._flight_bytes - self._in_flight * (RECORD_OVERHEAD - 1))
            count = fitting(run, room)
            if count == 0 and not self._in_flight:
                count = 1
            if self._move(lane, run[:count]) and count < len(run):
                return

    def _move(self, lane: deque[Record], run: list[Record]) -> bool:
        """Moves the first entries of a lane into flight, all in one step.

        Returns:
            False if they are no longer the first: a re-entrant call has shed or amended some.
        """
        if not run:
            return True
        amended = self._amended
        count, size = len(run), size_of(run)
        boarding, put = moves(lane, count), self._flight.extend
        try:
            # Nothing may come between this look and the move: see `_shed`.
            is_same = (lane[0] is run[0]) & (self._amended == amended)
            self._queued -= count * is_same
            self._queued_bytes -= size * is_same
            self._in_flight += count * is_same
            self._flight_bytes += size * is_same
            put(boarding[is_same])
        except IndexError:
            return False
        return is_same
