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
        path: The path of the spool folder.
        max_bytes: The most bytes of entries that one logger may have in the folder.
        max_age: The number of seconds after which entries expire, or None if they never expire.
        destination: The server's address. Entries for another server are not adopted.
    """

    path: Path
    max_bytes: int
    max_age: float | None
    destination: str
