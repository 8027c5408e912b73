"""Decide how large the next request can be. This module does not read a clock or start a thread.

Usually, a request has at most `batch_size` entries. If the number of waiting entries has grown
since the last request, the next request takes all waiting entries. So an entry waits for at most
two requests. Requests also grow if the queue fills up, or if the time for sending is limited.

Sometimes a server refuses large requests only for a while, for example because of a wrong setting
in a proxy. So the client later tries a refused size again, and waits longer before each try.
"""

from __future__ import annotations

from voyage_logger._base.wire import BODY_OVERHEAD

BEHIND = 0.25  # If the queue is filled to more than this share, the client sends larger requests.
_MOST = 1 << 13  # The largest number of entries in a request.
_LEAST_BY_ONE = 16 << 10  # The refusal of a single entry never lowers the limit below 16 KiB.

# A lowered limit is doubled after this many large requests in a row were delivered. If the server
# then refuses a request of the larger size, the number of required requests is doubled, too.
_PATIENCE = 16
_MOST_PATIENCE = 1 << 12


class _Bound:
    """A limit for the request size. Refusals lower the limit, and deliveries slowly raise it."""

    __slots__ = ("_before", "_delivered", "_most", "_patience", "now")

    def __init__(self, most: int) -> None:
        self.now = self._most = most
        self._before = 0  # The limit before it was last doubled, or 0 after a refusal.
        self._patience = _PATIENCE
        self._delivered = 0  # How many large requests in a row were delivered at the lowered limit.

    @property
    def is_lowered(self) -> bool:
        return self.now < self._most

    def note_refused(self, amount: int, least: int) -> None:
        """The server refused a request of size `amount`. Lower the limit, but not below `least`."""
        lesson = amount // 2
        if self._before:
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
            if self._before < amount:
                lesson = self._before  # The server has already accepted requests of this size.
        self.now = min(self.now, max(least, lesson))
        self._before = self._delivered = 0

    def note_delivered(self, amount: int) -> None:
        """Count the request if the limit is lowered and `amount` is more than half the limit."""
        if self.is_lowered and 2 * amount > self.now:
            self._delivered += 1
            if self._delivered >= self._patience:
                self._before, self._delivered = self.now, 0
                self.now = min(2 * self.now, self._most)


class RequestSize:
    """The limits of the next request. Only the worker's thread uses this class.

    The next request has at most `entries` entries. The JSON of the entries, with one comma for
    each entry, has at most `bytes` bytes. `is_taught` is True while a limit is below its maximum.
    """

    def __init__(self, batch_size: int, max_bytes: int) -> None:
        self._batch_size = batch_size
        self._by_entries = _Bound(max(_MOST, batch_size))
        # `json_bytes` counts a comma for each entry, but the last entry has no comma.
        self._by_bytes = _Bound(max_bytes - BODY_OVERHEAD + 1)
        self._left: int | None = None  # How many entries were waiting before the last request.
        self.entries = batch_size
        self._conclude()

    @property
    def lessons(self) -> tuple[int, int]:
        """Both limits. The caller restores both limits if the request size was not the problem."""
        return self.bytes, self._most

    @lessons.setter
    def lessons(self, lessons: tuple[int, int]) -> None:
        self._by_bytes.now, self._by_entries.now = lessons
        self._conclude()

    def _conclude(self) -> None:
        self.bytes, self._most = self._by_bytes.now, self._by_entries.now
        self.is_taught = self._by_bytes.is_lowered or self._by_entries.is_lowered

    def adapt(self, queued: int, *, is_behind: bool) -> None:
        """Make the next request larger or smaller, depending on the number of waiting entries."""
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
        """The server answered that a request with `size` bytes was too large. Lower the limit."""
        self._by_bytes.note_refused(size, 1 if count > 1 else _LEAST_BY_ONE)
        self._conclude()

    def learn_refused(self, count: int) -> None:
        """The server refused a request. Lower the limit if `count` is larger than `batch_size`."""
        if count > self._batch_size:
            self._by_entries.note_refused(count, self._batch_size)
            self._conclude()
            self.entries = min(self.entries, self._most)

    def learn_delivered(self, size: int, count: int) -> None:
        """Count a delivered request. A call is needed only if `is_taught` is True."""
        self._by_bytes.note_delivered(size)
        self._by_entries.note_delivered(count)
        self._conclude()
