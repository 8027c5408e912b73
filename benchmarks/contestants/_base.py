"""What a benchmark asks of a client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contestant sends to, and what a benchmark asks for beyond the defaults."""

    port: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Contestant:
    """One client, set up as its documentation says.

    The constructor sets it up; it may connect.

    Attributes:
        takes_options: Whether a benchmark may ask for more than the defaults.
        gate: How many entries may wait before the harness, where it is asked to lose nothing,
            holds the next call back: half of what the client's own queue takes by default.
    """

    takes_options = False
    gate = 5_000

    def __init__(self, place: Place) -> None:
        raise NotImplementedError

    def log(self, n: int, session: str) -> None:
        """One log call.

        Each contestant writes the entry out as its users would, and shares no code for it: to make
        the arguments is a part of the call, and a function for all would be timed as well.
        """
        raise NotImplementedError

    def waiting(self) -> int:
        """How many entries wait in the client's queue, as far as it can be asked."""
        return 0

    def flush(self, seconds: float) -> None:
        """Has all sent that waits, as its documentation says."""
        raise NotImplementedError
