"""The log levels, their order, and the lanes of the queue.

A *rank* is the position of a level in `LEVELS`. A *lane* is a part of the queue. Each level has its
own lane, and the number of this lane is the rank of the level. Two more lanes have higher numbers:
one lane is for entries that open a ticket, and one lane is for the client's own notices of lost
entries. A full queue first sheds entries of the lane with the lowest number.

Source: vendor docs, `LogLevel`.
"""

from __future__ import annotations

LEVELS = ("debug", "info", "warn", "error", "critical")
DEBUG, INFO, WARN, ERROR, CRITICAL = range(len(LEVELS))

TICKET_LANE = len(LEVELS)
NOTICE_LANE = TICKET_LANE + 1
LANES = (*LEVELS, "ticket", "notice")

_ALIASES = {
    **{name: rank for rank, name in enumerate(LEVELS)},
    "notset": DEBUG,
    "trace": DEBUG,
    "warning": WARN,
    "exception": ERROR,
    "fatal": CRITICAL,
}
# The lowest `logging` number for each level. For example, the numbers from 30 to 39 become WARN.
_STDLIB_STEPS = ((50, CRITICAL), (40, ERROR), (30, WARN), (20, INFO))


def rank_of(level: object) -> int | None:
    """Return the rank of a level name, alias or `logging` number. Return None for other values."""
    if isinstance(level, str):
        return _ALIASES.get(level.strip().lower())
    if isinstance(level, int) and not isinstance(level, bool):
        return next((rank for floor, rank in _STDLIB_STEPS if level >= floor), DEBUG)
    return None
