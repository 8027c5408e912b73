"""The outcome of one attempt to send a batch. A transport returns the outcome to the worker."""

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
    """The kind of an outcome, which decides what the worker does next.

    Attributes:
        DELIVERED: The server has confirmed the batch.
        TRY_AGAIN: A temporary failure, such as an outage, a rate limit or a network error.
        UNAUTHORIZED: The server refused the token; the next attempt signs in again.
        BLOCKED: A failure that a person must fix, such as wrong credentials or a wrong URL.
        TOO_LARGE: The request is larger than the server accepts.
        REFUSED: The server refuses an entry of the batch.
        DISCARDED: The transport has no server to send the batch to.
    """

    DELIVERED = "delivered"
    TRY_AGAIN = "try again"
    UNAUTHORIZED = "unauthorized"
    BLOCKED = "blocked"
    TOO_LARGE = "too large"
    REFUSED = "refused"
    DISCARDED = "discarded"


UNCONFIGURED = "unconfigured"  # The reason of entries that are printed instead of sent.
RETRY_AFTER_CAP = 300.0  # The longest pause that a server can ask for, in seconds.

# After a failure of these kinds, the worker waits longer: usually a person must fix the cause.
PERSISTENT = (Kind.BLOCKED, Kind.UNAUTHORIZED)


@frozen
class Outcome:
    """The result of one attempt.

    Attributes:
        kind: The kind, which decides what the worker does next.
        detail: A description for people. It contains no secrets and no entries.
        status: The HTTP status, or None if there was no answer.
        retry_after: How many seconds the server asks the client to wait, or None.
        is_sign_in: True if the sign-in failed, so no batch was sent.
    """

    kind: Kind
    detail: str = ""
    status: int | None = None
    retry_after: float | None = None
    is_sign_in: bool = False

    def __bool__(self) -> bool:
        return self.kind is Kind.DELIVERED


def error_of(outcome: Outcome) -> VoyageError:
    """Return the outcome as an error that says what happened and what to do."""
    if outcome.is_sign_in and outcome.status in (401, 403):
        advice = "check the API key and secret (VOYAGE_LOGS_KEY, VOYAGE_LOGS_SECRET)"
        return AuthenticationError(f"{outcome.detail}: {advice}", outcome.status)
    if outcome.is_sign_in or outcome.kind is Kind.TRY_AGAIN:
        error = ConnectionFailed(outcome.detail, outcome.status)
        error.is_transient = outcome.kind is Kind.TRY_AGAIN
        return error
    return DeliveryError(outcome.detail, outcome.status)
