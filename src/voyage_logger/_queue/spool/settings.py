"""The settings of a logger's spool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """The settings of a logger's spool.

    Attributes:
        path: The folder.
        max_bytes: The most bytes that one logger may have in the folder.
        max_age: Seconds after which entries expire; None if entries never expire.
        destination: The server's address; entries for another server are not adopted.
    """

    path: Path
    max_bytes: int
    max_age: float | None
    destination: str
