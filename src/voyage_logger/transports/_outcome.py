"""The outcome of one attempt to send a batch. `send` returns the outcome to the worker."""

from __future__ import annotations

from enum import Enum

from voyage_logger._base.errors import (
    AuthenticationError,
    ConnectionFailed,
    DeliveryError,
    VoyageError,
)
from voyage_logger._base.frozen import frozen
from voyage_logger._base.printable import printable


class Kind(Enum):
    """The kind of an outcome, which decides what the worker does next.

    Attributes:
        DELIVERED: The server has confirmed the batch.
        TRY_AGAIN: A temporary failure, such as an outage, a rate limit or a network error.
        UNAUTHORIZED: The server refused the token. The next attempt signs in again.
        BLOCKED: A failure that a person must fix, such as wrong credentials or a wrong URL.
        TOO_LARGE: The request was too large for the server.
        REFUSED: The server refused the batch, because at least one entry is not acceptable.
        DISCARDED: The transport sent nothing, because it has no server.
    """

    DELIVERED = "delivered"
    TRY_AGAIN = "try again"
    UNAUTHORIZED = "unauthorized"
    BLOCKED = "blocked"
    TOO_LARGE = "too large"
    REFUSED = "refused"
    DISCARDED = "discarded"


RETRY_AFTER_CAP = 300.0  # If a server asks for a longer pause, wait only this many seconds.

# After these failures, pauses are longer than usual, because a person must often fix the cause.
PERSISTENT = (Kind.BLOCKED, Kind.UNAUTHORIZED)


@frozen
class Outcome:
    """The result of one attempt.

    Attributes:
        kind: The kind of the outcome.
        detail: A description for people. The description contains no secrets and no entries.
        status: The HTTP status, or None if the server did not answer.
        retry_after: How many seconds the server asked the client to wait, or None.
        is_sign_in: True if the sign-in failed before the batch was sent.
    """

    kind: Kind
    detail: str = ""
    status: int | None = None
    retry_after: float | None = None
    is_sign_in: bool = False

    def __bool__(self) -> bool:
        return self.kind is Kind.DELIVERED


def error_of(outcome: Outcome) -> VoyageError:
    """Return an error with the detail of the outcome, and with advice if a sign-in was refused."""
    detail = printable(outcome.detail)
    if outcome.is_sign_in and outcome.status in (401, 403):
        advice = "check the API key and secret (VOYAGE_LOGS_KEY, VOYAGE_LOGS_SECRET)"
        return AuthenticationError(f"{detail}: {advice}", outcome.status)
    if outcome.is_sign_in or outcome.kind is Kind.TRY_AGAIN:
        error = ConnectionFailed(detail, outcome.status)
        error.is_transient = outcome.kind is Kind.TRY_AGAIN
        return error
    return DeliveryError(detail, outcome.status)
