"""What one attempt to deliver a batch came to: the word that passes from transport to worker."""

from __future__ import annotations

from enum import Enum

from voyage_logger._base.errors import (
    AuthenticationError,
    ConnectionFailed,
    DeliveryError,
    VoyageError,
)
from voyage_logger._base.frozen import frozen


class Kind(Enum):
    """What the worker has to do next.

    Attributes:
        DELIVERED: The server has the batch.
        TRY_AGAIN: A passing trouble: an outage, a limit, the network.
        UNAUTHORIZED: The token was refused; the next attempt signs in anew.
        BLOCKED: Not the entries' fault and not passing by itself: wrong credentials, a wrong URL.
        TOO_LARGE: The request is larger than the server takes.
        REFUSED: The server finds fault with an entry of the batch.
        DISCARDED: The transport has no server to give the batch to.
    """

    DELIVERED = "delivered"
    TRY_AGAIN = "try again"
    UNAUTHORIZED = "unauthorized"
    BLOCKED = "blocked"
    TOO_LARGE = "too large"
    REFUSED = "refused"
    DISCARDED = "discarded"


RETRY_AFTER_CAP = 300.0  # seconds: a server may ask for hours

# Kinds that mostly do not pass by themselves: worth asking less often.
PERSISTENT = (Kind.BLOCKED, Kind.UNAUTHORIZED)


@frozen
class Outcome:
    """The result of one attempt.

    Attributes:
        kind: What to do next.
        detail: What happened, in words fit for a person; never a secret, never an entry.
        status: The HTTP status, if there was an answer.
        retry_after: The least time to wait that the server asked for, seconds, or None.
        is_sign_in: True if it was the sign-in that failed, so no batch was sent.
    """

    kind: Kind
    detail: str = ""
    status: int | None = None
    retry_after: float | None = None
    is_sign_in: bool = False

    def __bool__(self) -> bool:
        return self.kind is Kind.DELIVERED


def error_of(outcome: Outcome) -> VoyageError:
    """The outcome as an error for people: what happened, and where it helps, what to do."""
    if outcome.is_sign_in and outcome.status in (401, 403):
        advice = "check the API key and secret (VOYAGE_LOGS_KEY, VOYAGE_LOGS_SECRET)"
        return AuthenticationError(f"{outcome.detail}: {advice}", outcome.status)
    if outcome.is_sign_in or outcome.kind is Kind.TRY_AGAIN:
        error = ConnectionFailed(outcome.detail, outcome.status)
        error.is_transient = outcome.kind is Kind.TRY_AGAIN
        return error
    return DeliveryError(outcome.detail, outcome.status)
