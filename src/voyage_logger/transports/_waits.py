"""Remember the pauses that the server has asked for with `Retry-After`.

Several callers share a transport: the sign-in at the start of a worker, each batch, `verify()`, and
other loggers. If the server asks one caller to wait, the other callers must wait, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._base.frozen import replace
from voyage_logger.transports._outcome import Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

# After all other kinds, the next request is a different request: it has another token or size.
_HOLDING = (Kind.TRY_AGAIN, Kind.BLOCKED)


class Waits:
    """The pauses of one server, with a separate pause for each path. Thread-safe.

    No lock is needed: each method makes only one read or one write of the dict.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_path: dict[str, tuple[float, Outcome]] = {}

    def note(self, path: str, outcome: Outcome) -> Outcome:
        """Remember the pause that an answer asks for. Return the outcome."""
        if outcome.retry_after and outcome.kind in _HOLDING:
            self._by_path[path] = self._clock() + outcome.retry_after, outcome
        return outcome

    def held(self, path: str) -> Outcome | None:
        """Return the outcome for a request before the end of a pause, or None if none is held."""
        end, outcome = self._by_path.get(path, (0.0, None))
        remaining = end - self._clock()
        if outcome is None or remaining <= 0:
            return None
        detail = f"{outcome.detail}; the server asked to wait, for {remaining:.1f} s more"
        return replace(outcome, detail=detail, retry_after=remaining)
