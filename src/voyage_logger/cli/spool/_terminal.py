"""Exit codes and output that all commands share. Foreign text is escaped before it is printed."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from voyage_logger._entry.readable_line import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voyage_logger._queue.spool.inspection import Owner

DONE = 0
FAILED = 1  # an entry or file is left, was rejected, or could not be read or written
WRONG_USAGE = 2  # argparse uses the same number
UNUSABLE = 3  # the folder cannot be used

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_TIMES = ((86_400, "d"), (3600, "h"), (60, "min"))


def say(line: str = "", file: TextIO | None = None) -> None:
    """Print a line. Characters that the encoding does not have are escaped.

    Args:
        line: The text. The caller must escape foreign text with `printable`.
        file: The stream to write to. Default: standard output.
    """
    file = file or sys.stdout
    encoding = file.encoding or "ascii"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=file)


def is_encodable(text: str) -> bool:
    """Return True if the encoding of standard output has all characters of the text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def complain(line: str) -> None:
    """Print a line on stderr, with all foreign text escaped."""
    say(f"voyage-logger spool: {printable(line)}", sys.stderr)


def size_of(size: int) -> str:
    """Return a number of bytes as readable text."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def age_of(seconds: float | None) -> str:
    """Return a number of seconds as readable text."""
    if seconds is None:
        return "-"
    for unit, name in _TIMES:
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def running(owners: Iterable[Owner]) -> str:
    """Return the number of owners whose files are in use, such as "2 alive, 1 adopted"."""
    states = Counter(owner.state for owner in owners)
    adopted = f", {states['adopted']} adopted" if states["adopted"] else ""
    return f"{states['alive']} alive{adopted}"


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, in singular or plural."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
