"""How large the next request may be: pure bookkeeping, without clock or thread.

A request carries `batch_size` entries. Only a client that falls behind sends more, for a request
costs a round trip whatever it carries; and what the server has found too much is never tried again.

It falls behind while more entries come during a request than it carries: then the next takes all
that wait, so none waits for more than two round trips. What waits and gets no more, as before a
flush, goes in ordinary requests; unless the queue is filling up or time is running out.
"""

from __future__ import annotations

from voyage_logger._wire import BODY_OVERHEAD

BEHIND = 0.25  # of the queue's bound
_MOST = 1 << 13  # entries; the bound in bytes ends the growth long before


class RequestSize:
    """The bounds of the next request.

    Args:
        batch_size: Entries of a request in quiet times.
        max_bytes: The most bytes of a request's body.

    Attributes:
        entries: The most entries of the next request.
        bytes: The most bytes that its entries may have, one comma each included.

    Not thread-safe: the worker's own.
    """

    def __init__(self, batch_size: int, max_bytes: int) -> None:
        self._batch_size = batch_size
        self._most = _MOST
        self._left: int | None = None  # how many waited at the last request that did not take all
        self.entries = batch_size
        self.bytes = max_bytes - BODY_OVERHEAD + 1  # n entries have n - 1 commas

    @property
    def lessons(self) -> tuple[int, int]:
        """What refusals have taught so far, to be put back if it turns out to be no lesson."""
        return self.bytes, self._most

    @lessons.setter
    def lessons(self, lessons: tuple[int, int]) -> None:
        self.bytes, self._most = lessons

    def adapt(self, queued: int, *, is_behind: bool) -> None:
        """Grows or shrinks with the backlog.

        Args:
            queued: How many entries wait.
            is_behind: True if that is more than the client can let pass.
        """
        most = max(self._most, self._batch_size)
        is_growing = self._left is not None and queued > self._left
        self._left = queued if queued > self._batch_size else None
        if is_growing:
            while self.entries < min(queued, most):
                self.entries = min(self.entries * 2, most)
        elif is_behind:
            self.entries = min(self.entries * 2, most)
        elif queued <= self._batch_size:
            self.entries = self._batch_size

    def learn_too_large(self, size: int) -> None:
        """Remembers that a request with that many bytes of entries is too large."""
        self.bytes = min(self.bytes, max(1, size // 2))

    def learn_refused(self, count: int) -> None:
        """Remembers that a request of more than `batch_size` entries was refused."""
        if count > self._batch_size:
            self._most = max(self._batch_size, min(self._most, count // 2))
            self.entries = min(self.entries, self._most)
