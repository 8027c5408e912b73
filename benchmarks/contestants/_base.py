"""The methods that each contestant must have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """The address of the sink, and the options that differ from the defaults."""

    port: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Contestant:
    """One client, with the setup that its documentation recommends. Constructors can connect.

    Attributes:
        takes_options: True if a benchmark can change the default options.
        gate: If a benchmark must not lose any entry, the harness pauses when this many entries
            wait. The number is half of the default size of the client's queue.
    """

    takes_options = False
    gate = 5_000

    def __init__(self, place: Place) -> None:
        raise NotImplementedError

    def log(self, n: int, session: str) -> None:
        """One log call.

        Each contestant writes out all fields of the entry, as users of the client would do. A
        shared function for the arguments would add its own time to the measurement.
        """
        raise NotImplementedError

    def waiting(self) -> int:
        """Return how many entries wait in the client's queue, or 0 if the number is unknown."""
        return 0

    def flush(self, seconds: float) -> None:
        """Send all waiting entries in the way that the documentation of the client describes."""
        raise NotImplementedError
