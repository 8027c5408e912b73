"""How large the next request may be: pure bookkeeping, without clock or thread.

A request carries `batch_size` entries. Only a client that falls behind sends more, for a request
costs a round trip whatever it carries. What the server has found too much is tried again ever less
often: a moment's 413, of a proxy that was set up wrong, must not cost a request an entry for good.

It falls behind while more entries come during a request than it carries: then the next takes all
that wait, so none waits for more than two round trips. What waits and gets no more, as before a
flush, goes in ordinary requests; unless the queue is filling up or time is running out.
"""

from __future__ import annotations

from voyage_logger._base.wire import BODY_OVERHEAD

BEHIND = 0.25  # of the queue's bound
_MOST = 1 << 13  # entries; the bound in bytes ends the growth long before
_LEAST_BY_ONE = 16 << 10  # bytes; the refusal of one entry says little about requests

# After so many requests in a row at a learned bound, twice that is tried; each time that this is
# refused, twice as many have to come before the next.
_PATIENCE = 16
_MOST_PATIENCE = 1 << 12


class _Bound:
    """A bound that refusals lower, and that grows again with caution.

    Args:
        most: Where it begins, and ends growing.
    """

    __slots__ = ("_before", "_most", "_patience", "_taken", "now")

    def __init__(self, most: int) -> None:
        self.now = self._most = most
        self._before = 0  # the bound before it grew, as long as no refusal has come
        self._patience = _PATIENCE
        self._taken = 0  # requests in a row at the bound

    @property
    def is_lowered(self) -> bool:
        """True if it has not grown to where it began."""
        return self.now < self._most

    def note_refused(self, amount: int, least: int) -> None:
        """Learns that so much is too much; teaches nothing below `least`."""
        lesson = amount // 2
        if self._before:
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
            if self._before < amount:
                lesson = self._before  # that had worked
        self.now = min(self.now, max(least, lesson))
        self._before = self._taken = 0

    def note_taken(self, amount: int) -> None:
        """Counts a request that the server took, if the bound has made it as small as it was."""
        if self.is_lowered and 2 * amount > self.now:
            self._taken += 1
            if self._taken >= self._patience:
                self._before, self._taken = self.now, 0
                self.now = min(2 * self.now, self._most)


class RequestSize:
    """The bounds of the next request.

    Args:
        batch_size: Entries of a request in quiet times.
        max_bytes: The most bytes of a request's body.

    Attributes:
        entries: The most entries of the next request.
        bytes: The most bytes that its entries may have, one comma each included.
        is_taught: True from the first refusal until all its lessons are outgrown.

    Not thread-safe: the worker's own.
    """

    def __init__(self, batch_size: int, max_bytes: int) -> None:
        self._batch_size = batch_size
        self._by_entries = _Bound(max(_MOST, batch_size))
        self._by_bytes = _Bound(max_bytes - BODY_OVERHEAD + 1)  # n entries have n - 1 commas
        self._left: int | None = None  # how many waited at the last request that did not take all
        self.entries = batch_size
        self._conclude()

    @property
    def lessons(self) -> tuple[int, int]:
        """What refusals have taught so far, to be put back if it turns out to be no lesson."""
        return self.bytes, self._most

    @lessons.setter
    def lessons(self, lessons: tuple[int, int]) -> None:
        self._by_bytes.now, self._by_entries.now = lessons
        self._conclude()

    def _conclude(self) -> None:
        """Draws from the two bounds what is asked for with each request."""
        self.bytes, self._most = self._by_bytes.now, self._by_entries.now
        self.is_taught = self._by_bytes.is_lowered or self._by_entries.is_lowered

    def adapt(self, queued: int, *, is_behind: bool) -> None:
        """Grows or shrinks with the backlog.

        Args:
            queued: How many entries wait.
            is_behind: True if that is more than the client can let pass.
        """
        is_growing = self._left is not None and queued > self._left
        self._left = queued if queued > self._batch_size else None
        if is_growing:
            while self.entries < min(queued, self._most):
                self.entries = min(self.entries * 2, self._most)
        elif is_behind:
            self.entries = min(self.entries * 2, self._most)
        elif queued <= self._batch_size:
            self.entries = self._batch_size

    def learn_too_large(self, size: int, count: int) -> None:
        """Remembers that a request with that many bytes of so many entries is too large."""
        self._by_bytes.note_refused(size, 1 if count > 1 else _LEAST_BY_ONE)
        self._conclude()

    def learn_refused(self, count: int) -> None:
        """Remembers that a request of more than `batch_size` entries was refused."""
        if count > self._batch_size:
            self._by_entries.note_refused(count, self._batch_size)
            self._conclude()
            self.entries = min(self.entries, self._most)

    def learn_taken(self, size: int, count: int) -> None:
        """Counts a request that the server has taken: of no use unless `is_taught`."""
        self._by_bytes.note_taken(size)
        self._by_entries.note_taken(count)
        self._conclude()
