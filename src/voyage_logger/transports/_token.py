"""Read the access token from the answer to a sign-in, and decide when to renew the token.

Source: vendor docs, "sign-in-keys".
"""

from __future__ import annotations

import json
from math import inf
from typing import TYPE_CHECKING, NoReturn

from voyage_logger._base import wire
from voyage_logger._base.frozen import frozen
from voyage_logger.transports._endpoint import is_header_safe

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger.transports._verdict import Answer

# The client renews a token 300 to 600 seconds before the token expires. The vendor's reference
# classes renew a token 300 seconds before the token expires.
RENEWAL = 300.0
RENEWAL_SHARE = 0.2  # Renew a token with a short lifetime after 60 % to 80 % of the lifetime.
# If a renewal fails, the next renewal waits for 30 to 60 seconds. The pause is at most a quarter of
# the time until the token expires, so the client tries several times before the token expires.
_RENEWAL_PAUSE = 60.0
_PAUSE_SHARE = 0.25


@frozen
class Token:
    """An access token. `renew_at` is the monotonic time at which the client renews the token.

    From the monotonic time `expires_at` on, the server refuses the token.
    """

    value: str
    renew_at: float
    expires_at: float = inf

    def __repr__(self) -> str:
        return f"Token(renew_at={self.renew_at!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")


def token_in(answer: Answer) -> tuple[str, float] | None:
    """Return the token and its lifetime in seconds. If the answer has no token, return None."""
    if not answer.is_success or answer.is_page:
        return None
    try:
        found = json.loads(answer.body)["data"][0]
        value, life = found["access_token"], found.get("expires_in")
        is_number = isinstance(life, (int, float)) and not isinstance(life, bool)
        seconds = float(life) if is_number else 0.0
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    if not isinstance(value, str) or not is_header_safe(value):
        return None
    if not 0 < seconds < inf:
        seconds = wire.DEFAULT_TOKEN_SECONDS
    return value, seconds


def renewal(life: float, random: Callable[[], float]) -> float:
    """Return how many seconds after the sign-in the client renews the token.

    A part of the result is random. Without the random part, clients that started at the same time
    would always renew their tokens at the same time.
    """
    return life - min(RENEWAL, life * RENEWAL_SHARE) * (1 + random())


def renewal_pause(remaining: float, random: Callable[[], float]) -> float:
    """Return the seconds until the next renewal, after a renewal of a valid token has failed.

    `remaining` is the number of seconds until the token expires.
    """
    return min(_RENEWAL_PAUSE, remaining * _PAUSE_SHARE) * (1 + random()) / 2
