"""How long to wait after a failure: pure functions of an outcome, an attempt's number and chance.

Jitter spreads the clients of a fleet, so that they do not return as one wave. A pause that the
server asked for is a minimum; the clients return spread over the same time after the minimum.

`benchmarks/fleet.py` chose the numbers, and docs/fleet.md has their effect. Jitter is the upper
half of each pause. With jitter over the whole pause, an outage would cost half as many attempts
more, and the peak after the outage would be higher but not shorter.

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

INTERVAL_JITTER = 0.1  # part of an interval, in both directions


def pause(outcome: Outcome, attempt: float, random: Callable[[], float]) -> float:
    """Return the seconds to wait before the same batch is sent again.

    The result is at most `RETRY_AFTER_CAP + BLOCKED_CAP`.

    Args:
        outcome: The result of the last attempt.
        attempt: The number of failed attempts, from 1, as `Failures.add` returns the number.
        random: A source of numbers from 0 to below 1.
    """
    if outcome.kind is Kind.UNAUTHORIZED and attempt == 1:
        return 0.0  # a new token is worth one attempt at once: the old one may be revoked
    cap = BLOCKED_CAP if outcome.kind in PERSISTENT else CAP
    growth: float = 2.0 ** min(attempt - 1, 16)
    ceiling = min(cap, BASE * growth)
    wish = min(max(0.0, outcome.retry_after or 0.0), RETRY_AFTER_CAP)
    chance = random()
    if wish > 0:  # the server may have told all clients the same time
        return wish + chance * max(ceiling, min(wish, CAP))
    return ceiling * (1 + chance) / 2


def interval(flush_interval: float, random: Callable[[], float]) -> float:
    """Return the flush interval with jitter, so that the flushes of a fleet spread."""
    return flush_interval * (1 - INTERVAL_JITTER + 2 * INTERVAL_JITTER * random())


def phase(flush_interval: float, random: Callable[[], float]) -> float:
    """Return the first interval after a start or after an interval without entries.

    This spreads the flushes of a fleet that was started or woken at once. With the jitter of
    `interval` alone, the flushes would stay in step for minutes.
    """
    return flush_interval * (INTERVAL_JITTER + random())
