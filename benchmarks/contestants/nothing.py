"""No client: the results show the cost of the harness and the noise of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contestants._base import Contestant

if TYPE_CHECKING:
    from benchmarks.contestants._base import Place


class Nothing(Contestant):
    """A client that does nothing."""

    def __init__(self, place: Place) -> None:
        pass

    def log(self, n: int, session: str) -> None:
        pass

    def flush(self, seconds: float) -> None:
        pass
