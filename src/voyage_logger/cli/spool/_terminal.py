"""What the commands share: exit codes, and lines for people, in which foreign text is escaped."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from voyage_logger._entry.readable_line import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voyage_logger._queue.spool.inspection import Owner

DONE = 0
FAILED = 1  # something is left, was refused, or could not be read or written
WRONG_USAGE = 2  # as argparse has it
UNUSABLE = 3  # the folder

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_TIMES = ((86_400, "d"), (3600, "h"), (60, "min"))


def say(line: str = "", file: TextIO | None = None) -> None:
    """Prints a line; what the terminal's encoding lacks is escaped.

    Args:
        line: Text, in which anything foreign has been made `printable`.
        file: Where to; default: standard output.
    """
    file = file or sys.stdout
    encoding = file.encoding or "ascii"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=file)


def is_encodable(text: str) -> bool:
    """True if standard output takes the text as it is."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def complain(line: str) -> None:
    """One line on stderr, in which everything is made printable."""
    say(f"voyage-logger spool: {printable(line)}", sys.stderr)


def size_of(size: int) -> str:
    """Bytes, for people."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def age_of(seconds: float | None) -> str:
    """A time, for people."""
    if seconds is None:
        return "-"
    for unit, name in _TIMES:
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def living(owners: Iterable[Owner]) -> str:
    """How many of the owners have their files in use, and by whom: "2 alive, 1 adopted"."""
    states = Counter(owner.state for owner in owners)
    adopted = f", {states['adopted']} adopted" if states["adopted"] else ""
    return f"{states['alive']} alive{adopted}"


def counted(number: int, noun: str) -> str:
    """A number and its noun."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
