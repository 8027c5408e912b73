"""Decide how large the next request may be. This module has no clock and no thread.

Usually, a request has at most `batch_size` entries. If the number of waiting entries has grown
during the last request, the next request takes all waiting entries. So no entry waits for more than
two requests. Requests also grow if the queue fills up, or if the time for sending is limited.

A server may refuse a request size for a short time only, for example while a proxy is configured
wrongly. So the client later tries a refused size again, but less often after each refusal.
"""

from __future__ import annotations

from voyage_logger._base.wire import BODY_OVERHEAD

BEHIND = 0.25  # The client is behind if more than a quarter of the queue is full.
_MOST = 1 << 13  # The most entries of a request. Most requests reach the bound in bytes earlier.
_LEAST_BY_ONE = 16 << 10  # Bytes. The refusal of a single entry lowers the bound only to this size.

# After this many delivered requests in a row at a lowered bound, the client doubles the bound. If
# the server refuses the larger size, this number of requests doubles.
_PATIENCE = 16
_MOST_PATIENCE = 1 << 12


class _Bound:
    """A bound that each refusal lowers. Delivered requests slowly raise the bound to `most`."""

    __slots__ = ("_before", "_most", "_patience", "_taken", "now")

    def __init__(self, most: int) -> None:
        self.now = self._most = most
        self._before = 0  # The bound before its latest growth, or 0 after a refusal.
        self._patience = _PATIENCE
        self._taken = 0  # How many requests in a row at the bound were delivered.

    @property
    def is_lowered(self) -> bool:
        """True while the bound is below its maximum."""
        return self.now < self._most

    def note_refused(self, amount: int, least: int) -> None:
        """Lower the bound because the server refused the size `amount`, but not below `least`."""
        lesson = amount // 2
        if self._before:
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
            if self._before < amount:
                lesson = self._before  # The server has accepted this size before.
        self.now = min(self.now, max(least, lesson))
        self._before = self._taken = 0

    def note_taken(self, amount: int) -> None:
        """While the bound is lowered, count delivered requests of more than half the bound."""
        if self.is_lowered and 2 * amount > self.now:
            self._taken += 1
            if self._taken >= self._patience:
                self._before, self._taken = self.now, 0
                self.now = min(2 * self.now, self._most)


class RequestSize:
    """The bounds of the next request. Only the worker's thread may use an instance.

    The next request has at most `entries` entries. The JSON of these entries, with one comma for
    each entry, has at most `bytes` bytes. `is_taught` is True from the first refusal until both
    bounds have grown back to their maximum.
    """

    def __init__(self, batch_size: int, max_bytes: int) -> None:
        self._batch_size = batch_size
        self._by_entries = _Bound(max(_MOST, batch_size))
        self._by_bytes = _Bound(max_bytes - BODY_OVERHEAD + 1)  # n entries have n - 1 commas.
        self._left: int | None = None  # The number of entries that waited before the last request.
        self.entries = batch_size
        self._conclude()

    @property
    def lessons(self) -> tuple[int, int]:
        """The two bounds. The caller restores the bounds if the size did not cause the refusal."""
        return self.bytes, self._most

    @lessons.setter
    def lessons(self, lessons: tuple[int, int]) -> None:
        self._by_bytes.now, self._by_entries.now = lessons
        self._conclude()

    def _conclude(self) -> None:
        """Copy the two bounds to the attributes that each request reads."""
        self.bytes, self._most = self._by_bytes.now, self._by_entries.now
        self.is_taught = self._by_bytes.is_lowered or self._by_entries.is_lowered

    def adapt(self, queued: int, *, is_behind: bool) -> None:
        """Make requests larger or smaller, depending on the number of waiting entries."""
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
        """Record that a request of `size` bytes and `count` entries was too large."""
        self._by_bytes.note_refused(size, 1 if count > 1 else _LEAST_BY_ONE)
        self._conclude()

    def learn_refused(self, count: int) -> None:
        """Record a refused request. The bound falls only if `count` is larger than `batch_size`."""
        if count > self._batch_size:
            self._by_entries.note_refused(count, self._batch_size)
            self._conclude()
            self.entries = min(self.entries, self._most)

    def learn_taken(self, size: int, count: int) -> None:
        """Count a delivered request. This call is needed only while `is_taught` is True."""
        self._by_bytes.note_taken(size)
        self._by_entries.note_taken(count)
        self._conclude()
