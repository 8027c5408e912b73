"""What other threads tell the worker to do: flush, drain, stop.

What must stay true: the queue's lock guards all orders, and each new order wakes the worker.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from voyage_logger._queue.lanes import LAST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voyage_logger._queue.contract import Queue


class Orders:
    """The orders of one worker.

    Attributes:
        flush_until: The sequence number up to which entries are sent at once.
        deadline: The monotonic time at which sending ends; None: sending has no time limit.
        stops_when_empty: True if the worker ends once the queue is empty.
        is_stopped: True if the worker makes no further attempt.
        is_flush_new: True from a flush to the next attempt.

    Thread-safe.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.flush_until = 0
        self.deadline: float | None = None
        self.stops_when_empty = self.is_stopped = self.is_flush_new = False

    def flush(self, until: int) -> None:
        """Make the worker send all entries up to a sequence number now.

        A flush ends a pause between attempts, unless the server asked for the pause.
        """
        with self._queue.lock:
            self.flush_until = max(self.flush_until, until)
            self.is_flush_new = True
            self._queue.changed.notify_all()

    def drain(self, deadline: float) -> None:
        """Make the worker send every present and later entry at once, until `deadline`."""
        with self._queue.lock:
            self.deadline = deadline
            self.flush(LAST)

    def stop_when_empty(self) -> None:
        """Make the worker end once the queue is empty."""
        with self._queue.lock:
            self.stops_when_empty = True
            self._queue.changed.notify_all()

    def stop(self) -> None:
        """Make the worker end after the present attempt, and wake all threads that wait for it."""
        with self._queue.lock:
            self.is_stopped = True
            self._queue.changed.notify_all()
            self._queue.settled.notify_all()

    @contextmanager
    def drain_only(self, deadline: float) -> Iterator[None]:
        """Drain until `deadline` inside the context; afterwards the earlier orders hold again."""
        with self._queue.lock:
            earlier = self.flush_until, self.deadline, self.stops_when_empty, self.is_stopped
            self.drain(deadline)
            self.stop_when_empty()
        try:
            yield
        finally:
            with self._queue.lock:
                self.flush_until, self.deadline, self.stops_when_empty, self.is_stopped = earlier
