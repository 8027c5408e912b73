"""The levels, their order, and the lanes of the queue.

A *rank* is the position of a level in `LEVELS`. A *lane* is a rank or one of two places above all
levels: one for entries that open a ticket, one for the client's own notices of loss. A full queue
sheds entries from the lowest lane first.

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
# A level number of `logging` counts as the highest level that the number reaches.
_STDLIB_STEPS = ((50, CRITICAL), (40, ERROR), (30, WARN), (20, INFO))


def rank_of(level: object) -> int | None:
    """Return the rank of a name, alias or `logging` number: "INFO", "warning", 30; else None."""
    if isinstance(level, str):
        return _ALIASES.get(level.strip().lower())
    if isinstance(level, int) and not isinstance(level, bool):
        return next((rank for floor, rank in _STDLIB_STEPS if level >= floor), DEBUG)
    return None
