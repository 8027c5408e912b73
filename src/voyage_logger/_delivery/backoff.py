"""Decide how long to wait after a failed attempt. Random pauses spread the retries of many clients.

What must stay true: this module has no clock, no thread and no random numbers of its own. So
`benchmarks/fleet.py` can run the code of ten thousand clients in one process.

The constants below were chosen with simulations by `benchmarks/fleet.py`; docs/fleet.md shows the
results. The upper half of each pause is random. If the whole pause were random, clients would make
about 50 % more attempts during an outage. The peak of requests after the outage would be higher,
but not shorter.

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

FORGIVENESS = 0.5  # Each success cancels half a failure.
_MOST = 8.0  # After eight failures, every pause has reached its cap.


def pause(outcome: Outcome, attempt: float, random: Callable[[], float]) -> float:
    """Return the seconds to wait before the same batch is sent again.

    If the server asked for a pause, the result is that pause plus a random time. `attempt` is the
    number that `Failures.add` returned. `random` returns a number from 0 to below 1. The result is
    at most `RETRY_AFTER_CAP + BLOCKED_CAP`.
    """
    if outcome.kind is Kind.UNAUTHORIZED and attempt == 1:
        return 0.0  # After the first refusal of a token, do not wait: a new token may work.
    cap = BLOCKED_CAP if outcome.kind in PERSISTENT else CAP
    growth: float = 2.0 ** min(attempt - 1, 16)
    ceiling = min(cap, BASE * growth)
    wish = min(max(0.0, outcome.retry_after or 0.0), RETRY_AFTER_CAP)
    chance = random()
    if wish > 0:  # The server may have asked all clients for the same pause.
        return wish + chance * max(ceiling, min(wish, CAP))
    return ceiling * (1 + chance) / 2


class Failures:
    """Counts failed attempts, to compute the next pause. Only the worker may use an instance.

    Each success cancels half a failure. So pauses grow while more than a third of the attempts
    fail. If one success canceled all failures, each client with a backlog would send its next
    request to an overloaded server within half a second after each refusal. `in_a_row` counts the
    failures since the last success. `unauthorized` counts how often in a row the server refused a
    token.
    """

    __slots__ = ("_level", "in_a_row", "unauthorized")

    def __init__(self) -> None:
        self._level = 0.0
        self.in_a_row = self.unauthorized = 0

    def add(self, kind: Kind) -> float:
        """Count a failed attempt. Return the number that `pause` needs as `attempt`."""
        self._level = min(self._level + 1, _MOST)
        self.in_a_row += 1
        self.unauthorized = self.unauthorized + 1 if kind is Kind.UNAUTHORIZED else 0
        return self.unauthorized or self._level

    def ease(self) -> None:
        """Make the next pauses short again."""
        self._level = 0.0

    def make_up(self) -> None:
        """Count a success. A refused batch also counts as a success, because the server works."""
        self._level = max(0.0, self._level - FORGIVENESS)
        self.in_a_row = self.unauthorized = 0
