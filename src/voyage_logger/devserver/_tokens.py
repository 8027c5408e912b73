"""The valid access tokens. A sign-in issues a token, which later expires or is revoked."""

from __future__ import annotations

import math
import secrets
import sys
import threading
from typing import TYPE_CHECKING

from voyage_logger._base.wire import DEFAULT_TOKEN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable


class Tokens:
    """The valid tokens of one server. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # The lock guards this dict: {token: (expiry time, number of stored batches)}.
        self._live: dict[str, tuple[float, int]] = {}

    def issue(self, expires_in: object) -> str:
        """Return a token that is valid for `expires_in` seconds (3600 if the number is invalid)."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._live[token] = (self._clock() + _life(expires_in), 0)
        return token

    def is_live(self, token: str) -> bool:
        """Return True if this server issued the token and the token is not revoked or expired."""
        with self._lock:
            return token in self._live and self._clock() < self._live[token][0]

    def count_batch(self, token: str, revoke_after: int | None) -> None:
        """Count a batch that used this token. After `revoke_after` batches, revoke the token."""
        with self._lock:
            if token not in self._live:  # `revoke_all` can run while a batch is being stored.
                return
            ends, batches = self._live.pop(token)
            if revoke_after is None or batches + 1 < revoke_after:
                self._live[token] = (ends, batches + 1)

    def revoke_all(self) -> None:
        """Revoke all tokens."""
        with self._lock:
            self._live.clear()


def _life(expires_in: object) -> float:
    if not isinstance(expires_in, (int, float)) or isinstance(expires_in, bool):
        return DEFAULT_TOKEN_SECONDS
    if not 0 < expires_in < math.inf:
        return DEFAULT_TOKEN_SECONDS
    # Adding a larger number to the time would raise OverflowError.
    return min(expires_in, sys.float_info.max)
