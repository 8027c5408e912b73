"""Decide how long to wait after a failed attempt. Clients must not all retry at the same moment.

What must stay true: this module does not read a clock, start a thread or generate random numbers.
So `benchmarks/fleet.py` can simulate ten thousand clients in one process.

The constants below are the result of simulations with `benchmarks/fleet.py`. The results are in
docs/fleet.md. The length of a pause is random, from 50 % to 100 % of its maximum. If a pause could
be 0 % of its maximum, clients would make about 50 % more attempts during an outage.

The method is from https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger.transports import PERSISTENT, RETRY_AFTER_CAP, Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

# The next three constants are in seconds.
BASE = 0.5
CAP = 40.0
BLOCKED_CAP = 60.0

FORGIVENESS = 0.5  # After a success, the count of failures falls by this number.
_MOST = 8.0  # After eight failures, pauses have reached their maximum and do not grow further.


def pause(outcome: Outcome, attempt: float, random: Callable[[], float]) -> float:
    """Return the seconds to wait before the same batch is sent again.

    If the server asked for a pause, the result is that pause plus a random number of seconds.
    `attempt` is the number that `Failures.add` returned. `random` returns a number that is at least
    0 and less than 1. The result is at most `RETRY_AFTER_CAP + BLOCKED_CAP`.
    """
    if outcome.kind is Kind.UNAUTHORIZED and attempt == 1:
        return 0.0  # If the server refused the token for the first time, immediately sign in again.
    cap = BLOCKED_CAP if outcome.kind in PERSISTENT else CAP
    growth: float = 2.0 ** min(attempt - 1, 16)
    ceiling = min(cap, BASE * growth)
    wish = min(max(0.0, outcome.retry_after or 0.0), RETRY_AFTER_CAP)
    chance = random()
    if wish > 0:  # Add random seconds: the server might send the same Retry-After to all clients.
        return wish + chance * max(ceiling, min(wish, CAP))
    return ceiling * (1 + chance) / 2


class Failures:
    """Counts failed attempts, to compute the next pause. Only the worker uses this class.

    A failure raises the count by 1, and a success lowers the count by 0.5. So pauses grow if more
    than a third of the attempts fail. If each success reset the count to 0, the pause after the
    next failure would be at most half a second, even if the server is overloaded.

    `in_a_row` is the number of failures since the last success. `unauthorized` is the number of
    times in a row that the server has refused a token.
    """

    __slots__ = ("_level", "in_a_row", "unauthorized")

    def __init__(self) -> None:
        self._level = 0.0
        self.in_a_row = self.unauthorized = 0

    def add(self, kind: Kind) -> float:
        """Count a failed attempt. Return the number to pass to `pause` as `attempt`."""
        self._level = min(self._level + 1, _MOST)
        self.in_a_row += 1
        self.unauthorized = self.unauthorized + 1 if kind is Kind.UNAUTHORIZED else 0
        return self.unauthorized or self._level

    def ease(self) -> None:
        """Set the count of failures to 0, so that the next pauses are short."""
        self._level = 0.0

    def make_up(self) -> None:
        """Lower the count after a success. A refused batch counts, too: the server works."""
        self._level = max(0.0, self._level - FORGIVENESS)
        self.in_a_row = self.unauthorized = 0
