"""The schedule: when the worker maintains the spool the next time. The ledger's lock guards it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 30.0  # between two looks at the folder
_SECONDS_WHILE_FAILING = 1.0  # between two looks at the folder while the disk fails


class Schedule:
    """The time of the next look at the folder.

    Attributes:
        interval: The seconds between two looks.
        due_at: The time of the next look, by the monotonic clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.interval = self._usual = _SECONDS
        self.due_at = clock()

    def is_due(self) -> bool:
        """Return True if it is time for the next look."""
        return self._clock() >= self.due_at

    def set_usual(self, seconds: float) -> None:
        """Change the usual interval."""
        self.interval = self._usual = seconds

    def return_to_usual(self) -> None:
        """Use the usual interval again, because the disk works."""
        self.interval = self._usual

    def postpone(self) -> None:
        """Begin the next interval now."""
        self.due_at = self._clock() + self.interval

    def look_now(self) -> None:
        """Make the next look come at once."""
        self.due_at = self._clock()

    def hurry(self) -> None:
        """Make the next look come soon, because the disk fails or a file cannot be read."""
        self.interval = min(_SECONDS_WHILE_FAILING, self._usual)
        self.postpone()
