"""Exit codes and texts for all commands of `voyage-logger spool`.

What must stay true: text from an entry or from a file is escaped before it is printed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from voyage_logger.cli import _output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voyage_logger._queue.spool.inspection import Owner

DONE = 0
FAILED = 1  # Some entries or files remain, were rejected, or could not be read or written.
WRONG_USAGE = 2  # `argparse` also uses exit code 2.
UNUSABLE = 3  # The spool folder cannot be used.

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_TIMES = ((86_400, "d"), (3600, "h"), (60, "min"))


def complain(line: str) -> None:
    """Escape control characters in an error message, and print the message to stderr."""
    _output.complain("voyage-logger spool", line)


def size_of(size: int) -> str:
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def age_of(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, name in _TIMES:
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def running(owners: Iterable[Owner]) -> str:
    """Return the number of alive and adopted owners as text, for example "2 alive, 1 adopted"."""
    states = Counter(owner.state for owner in owners)
    adopted = f", {states['adopted']} adopted" if states["adopted"] else ""
    return f"{states['alive']} alive{adopted}"


def counted(number: int, noun: str) -> str:
    """Return a number and a noun as text, for example "1 entry" or "2 entries"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
