"""The access tokens that are alive: given out at a sign-in, ended by time, use or decree."""

from __future__ import annotations

import math
import secrets
import threading
from typing import TYPE_CHECKING

from voyage_logger._base.wire import DEFAULT_TOKEN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable


class Tokens:
    """The live tokens of one server. Several are alive at once: each process signs in for itself.

    Args:
        clock: Seconds that never go back; injected, so that a test can age a token.

    Thread-safe.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # Both are guarded by the lock, and have the same keys.
        self._ends: dict[str, float] = {}
        self._batches: dict[str, int] = {}

    def issue(self, expires_in: object) -> str:
        """A new token that lives for `expires_in` seconds, or an hour if that is no such number."""
        token = secrets.token_urlsafe(24)
        ends = self._clock() + _life(expires_in)
        with self._lock:
            self._ends[token] = ends
            self._batches[token] = 0
        return token

    def is_live(self, token: str) -> bool:
        """True if the token was issued here, is not revoked and has not expired."""
        with self._lock:
            return token in self._ends and self._clock() < self._ends[token]

    def count_batch(self, token: str, revoke_after: int | None) -> None:
        """Notes a stored batch, and revokes the token if that was the last one it is good for."""
        with self._lock:
            if token not in self._batches:  # revoked by decree while its batch was being stored
                return
            self._batches[token] += 1
            if revoke_after is not None and self._batches[token] >= revoke_after:
                del self._batches[token], self._ends[token]

    def revoke_all(self) -> None:
        """Ends every token given out so far."""
        with self._lock:
            self._ends.clear()
            self._batches.clear()


def _life(expires_in: object) -> float:
    if not isinstance(expires_in, (int, float)) or isinstance(expires_in, bool):
        return DEFAULT_TOKEN_SECONDS
    return expires_in if 0 < expires_in < math.inf else DEFAULT_TOKEN_SECONDS
