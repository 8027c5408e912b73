"""The levels of the wire, their order, and the lanes in which the queue keeps their entries.

A *rank* is a level's position in `LEVELS`. A *lane* is a rank, or one of two places above all
levels: entries that open a ticket, and the client's own notice of a loss. The queue sheds from
the lowest lane upward, so the order here is the order in which entries are given up.

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
# A number of the standard library's `logging` counts as the highest level it reaches.
_STDLIB_STEPS = ((50, CRITICAL), (40, ERROR), (30, WARN), (20, INFO))


def rank_of(level: object) -> int | None:
    """The rank of a level given as a name (any case), an alias, or a `logging` number.

    Args:
        level: What a caller passed: "INFO", "warning", 30, ...

    Returns:
        The rank, or None if nothing known goes by that name.
    """
    if isinstance(level, str):
        return _ALIASES.get(level.strip().lower())
    if isinstance(level, int) and not isinstance(level, bool):
        return next((rank for floor, rank in _STDLIB_STEPS if level >= floor), DEBUG)
    return None
