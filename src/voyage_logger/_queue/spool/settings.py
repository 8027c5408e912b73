"""What a logger's spool is told: where to keep entries, how many, how long, and for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """Where and how to keep entries.

    Attributes:
        path: The folder.
        max_bytes: The most bytes that one logger has in it.
        max_age: After how many seconds entries are given up, or None.
        destination: Where entries are sent: those for another place are not adopted.
    """

    path: Path
    max_bytes: int
    max_age: float | None
    destination: str
