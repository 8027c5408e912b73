"""The counts of log calls that make no entry of their own."""

from __future__ import annotations


class CallCounts:
    """What became of the log calls of one logger that have sent no entry, in this process.

    Attributes:
        filtered: Left out by `sample` or `before_send`.
        echoed: Refused because they come from the client's own sending.
        collapsed: Added to an identical entry in the queue.

    Thread-safe as far as the interpreter's additions are.
    """

    __slots__ = ("collapsed", "echoed", "filtered")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begins anew, in a forked child."""
        self.filtered = self.echoed = self.collapsed = 0
