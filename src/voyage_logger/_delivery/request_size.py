"""How large the next request may be: pure bookkeeping, without clock or thread.

A request carries `batch_size` entries. If more entries than that were queued during the last
request, the next request takes all waiting entries, so that no entry waits for more than two round
trips. Requests also grow if the queue fills up or the time for sending is limited.

The server may refuse a size for a short time only, such as with a 413 of a wrong proxy. So the
client tries a refused size again, but less often after each refusal.
"""

from __future__ import annotations

from voyage_logger._base.wire import BODY_OVERHEAD

BEHIND = 0.25  # the part of the queue's bound above which the client is behind
_MOST = 1 << 13  # entries; a request reaches the bound in bytes much earlier
_LEAST_BY_ONE = 16 << 10  # bytes; the refusal of one entry says little about requests

# After so many requests in a row at a lowered bound, the client tries twice the bound. A refusal of
# the trial doubles this number.
_PATIENCE = 16
_MOST_PATIENCE = 1 << 12


class _Bound:
    """A bound that each refusal lowers. Successful requests slowly raise the bound to `most`."""

    __slots__ = ("_before", "_most", "_patience", "_taken", "now")

    def __init__(self, most: int) -> None:
        self.now = self._most = most
        self._before = 0  # the bound before the latest growth; 0 after a refusal
        self._patience = _PATIENCE
        self._taken = 0  # requests in a row at the bound

    @property
    def is_lowered(self) -> bool:
        """True while the bound has not grown back."""
        return self.now < self._most

    def note_refused(self, amount: int, least: int) -> None:
        """Lower the bound after a refusal of `amount`, but not below `least`."""
        lesson = amount // 2
        if self._before:
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
            if self._before < amount:
                lesson = self._before  # the server took this much
        self.now = min(self.now, max(least, lesson))
        self._before = self._taken = 0

    def note_taken(self, amount: int) -> None:
        """Count a request that the server took, if the bound limited the request."""
        if self.is_lowered and 2 * amount > self.now:
            self._taken += 1
            if self._taken >= self._patience:
                self._before, self._taken = self.now, 0
                self.now = min(2 * self.now, self._most)


class RequestSize:
    """The bounds of the next request. Only the worker's thread may use an object.

    The next request has at most `entries` entries. With a comma for each, they have at most `bytes`
    bytes. `is_taught` is True from a refusal until the bounds have grown back.
    """

    def __init__(self, batch_size: int, max_bytes: int) -> None:
        self._batch_size = batch_size
        self._by_entries = _Bound(max(_MOST, batch_size))
        self._by_bytes = _Bound(max_bytes - BODY_OVERHEAD + 1)  # n entries have n - 1 commas
        self._left: int | None = None  # entries that waited before the last request
        self.entries = batch_size
        self._conclude()

    @property
    def lessons(self) -> tuple[int, int]:
        """The two bounds. The caller restores them if a refusal was not about the size."""
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
        """Make requests larger or smaller, for the number of entries that wait."""
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
        """Note that a request of `size` bytes with `count` entries is too large."""
        self._by_bytes.note_refused(size, 1 if count > 1 else _LEAST_BY_ONE)
        self._conclude()

    def learn_refused(self, count: int) -> None:
        """Note that the server refused a request, if it had more than `batch_size` entries."""
        if count > self._batch_size:
            self._by_entries.note_refused(count, self._batch_size)
            self._conclude()
            self.entries = min(self.entries, self._most)

    def learn_taken(self, size: int, count: int) -> None:
        """Count a request that the server has taken; needed only while `is_taught`."""
        self._by_bytes.note_taken(size)
        self._by_entries.note_taken(count)
        self._conclude()
