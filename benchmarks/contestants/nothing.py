"""No client at all: what the harness itself costs, and what the machine's noise is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contestants._base import Contestant

if TYPE_CHECKING:
    from benchmarks.contestants._base import Place


class Nothing(Contestant):
    """Takes a call and returns."""

    def __init__(self, place: Place) -> None:
        pass

    def log(self, n: int, session: str) -> None:
        pass

    def flush(self, seconds: float) -> None:
        pass
