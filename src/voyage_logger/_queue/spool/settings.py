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
        max_bytes: The largest total size of one logger's entries in the folder, in bytes.
        max_age: Entries expire after this number of seconds. None: entries never expire.
        destination: The URL of the server. Entries for another destination are not adopted.
    """

    path: Path
    max_bytes: int
    max_age: float | None
    destination: str
