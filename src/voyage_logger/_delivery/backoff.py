"""When to try again: pure functions of an outcome, the attempt's number, the clock and chance.

Jitter spreads the clients of a fleet, so that they do not come back as one wave; a pause that the
server asked for is a minimum, after which they come back spread over as long again.

The numbers are chosen by `benchmarks/fleet.py`, and docs/fleet.md has what they are worth. Jitter
is the upper half of each pause: from 0 on (full jitter) there would be half as many attempts more
in an outage, and a higher peak after it, which would be over no sooner.

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

INTERVAL_JITTER = 0.1  # of an interval, either way


def pause(outcome: Outcome, attempt: float, random: Callable[[], float]) -> float:
    """How long to wait before the same batch is sent again.

    Args:
        outcome: What the last attempt came to.
        attempt: How many attempts have failed so far, from 1, as `Failures` counts them; for a
            refused token, how many of them in a row for that reason.
        random: A source of numbers from 0 to below 1.

    Returns:
        Seconds, at most `RETRY_AFTER_CAP + BLOCKED_CAP`.
    """
    if outcome.kind is Kind.UNAUTHORIZED and attempt == 1:
        return 0.0  # the token may just have been revoked; a new one is worth one try at once
    cap = BLOCKED_CAP if outcome.kind in PERSISTENT else CAP
    growth: float = 2.0 ** min(attempt - 1, 16)
    ceiling = min(cap, BASE * growth)
    wish = min(max(0.0, outcome.retry_after or 0.0), RETRY_AFTER_CAP)
    chance = random()
    if wish > 0:  # all clients may have been told the same moment
        return wish + chance * max(ceiling, min(wish, CAP))
    return ceiling * (1 + chance) / 2


def interval(flush_interval: float, random: Callable[[], float]) -> float:
    """The flush interval with its jitter, so that a fleet's flushes do not fall together."""
    return flush_interval * (1 - INTERVAL_JITTER + 2 * INTERVAL_JITTER * random())


def phase(flush_interval: float, random: Callable[[], float]) -> float:
    """The first interval after a start, or after a quiet one.

    Whatever started or woke a whole fleet at once, its flushes are spread evenly from then on: by
    the jitter of `interval` alone it would take minutes.
    """
    return flush_interval * (INTERVAL_JITTER + random())
