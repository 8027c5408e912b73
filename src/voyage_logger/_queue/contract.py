"""What a queue does that keeps entries elsewhere than in memory: here nothing.

What must stay true: the worker and the pipeline call these of every queue, and none raises.
"""

from __future__ import annotations


class Keeping:
    """The part of a queue that `SpoolQueue` has something to do in.

    Attributes:
        is_durable: Whether what is left at the end is kept for the next process.
        place: The folder where it is kept.
        tend_interval: The most seconds between two calls of `maintain`; None: none is needed.
        is_ending: True once the time that is left is limited, for good.
        kept: Of the rejected entries, notices apart, those that a person can find on the disk.
    """

    is_durable = False
    place = ""
    maintenance_interval: float | None = None
    is_ending = False
    kept = 0

    def maintain(self) -> None:
        """Does what is to be done from time to time, outside the lock: the worker's call."""

    def maintain_every(self, seconds: float) -> None:
        """Has `maintain` called so often, where there is something to maintain."""

    def release(self) -> None:
        """Frees, at the end of the process or of the logger, what is not memory."""

    def release_in_child(self) -> None:
        """Lets go, in a forked child, of what belongs to the parent; takes no lock."""
