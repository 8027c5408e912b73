"""Decide the next pause after a failed attempt. Jitter spreads the retries of many clients.

What must stay true: this module has no clock, thread or source of chance, so that
`benchmarks/fleet.py` can run the code of ten thousand processes in one.

`benchmarks/fleet.py` chose the numbers, and docs/fleet.md has their effect. Jitter is the upper
half of each pause. Jitter over the whole pause would add half as many attempts to an outage, and
the peak of requests after the outage would be higher but not shorter.

Source of the method: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger.transports import PERSISTENT, RETRY_AFTER_CAP, Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds.
BASE = 0.5
CAP = 40.0
BLOCKED_CAP = 60.0

FORGIVENESS = 0.5  # a success makes up for this part of a failure
_MOST = 8.0  # failures; after so many, every pause has reached its cap


def pause(outcome: Outcome, attempt: float, random: Callable[[], float]) -> float:
    """Return the seconds to wait before the same batch is sent again.

    If the server asked for a pause, the result is between that pause and about twice that pause.
    `Failures.add` returns the number of the attempt, and `random` returns a number from 0 to below
    1. The result is at most `RETRY_AFTER_CAP + BLOCKED_CAP`.
    """
    if outcome.kind is Kind.UNAUTHORIZED and attempt == 1:
        return 0.0  # a revoked token costs no pause, because a new token may work
    cap = BLOCKED_CAP if outcome.kind in PERSISTENT else CAP
    growth: float = 2.0 ** min(attempt - 1, 16)
    ceiling = min(cap, BASE * growth)
    wish = min(max(0.0, outcome.retry_after or 0.0), RETRY_AFTER_CAP)
    chance = random()
    if wish > 0:  # the server may have told all clients the same time
        return wish + chance * max(ceiling, min(wish, CAP))
    return ceiling * (1 + chance) / 2


class Failures:
    """Counts failed attempts for the next pause. Only the worker's thread may use an object.

    A success makes up for half a failure, so pauses grow while more than a third of the attempts
    fail. If a success made up for all failures, each client with a backlog would ask an overloaded
    server again within half a second of each refusal. `in_a_row` counts the failures since the last
    success. `unauthorized` counts the refused tokens since another result.
    """

    __slots__ = ("_level", "in_a_row", "unauthorized")

    def __init__(self) -> None:
        self._level = 0.0
        self.in_a_row = self.unauthorized = 0

    def add(self, kind: Kind) -> float:
        """Count a failure; return the number of the attempt for `pause`."""
        self._level = min(self._level + 1, _MOST)
        self.in_a_row += 1
        self.unauthorized = self.unauthorized + 1 if kind is Kind.UNAUTHORIZED else 0
        return self.unauthorized or self._level

    def ease(self) -> None:
        """Make the next pauses short again."""
        self._level = 0.0

    def make_up(self) -> None:
        """Count a success: the server has answered for a batch."""
        self._level = max(0.0, self._level - FORGIVENESS)
        self.in_a_row = self.unauthorized = 0
