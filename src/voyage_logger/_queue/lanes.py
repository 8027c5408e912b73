"""Records: encoded entries with their place in the order of all, and the lanes that hold them.

What must stay true: nothing here raises for what a re-entrant log call does to a lane between two
steps; and what is said to happen in one step is one call of a function written in C, in which no
foreign code can run.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from itertools import accumulate, islice, repeat, starmap
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator, Sequence

# (sequence number, lane, encoded entry). A tuple, because one is made per log call.
Record = tuple[int, int, "bytes | bytearray"]

# (reason, lane) of entries that were lost.
Loss = tuple[str, int]

# What an entry takes in memory beside its JSON: the bytes object's header, the tuple, the numbers
# and the deque's slot, rounded up. Measured on CPython 3.10 to 3.13, 64 bits.
RECORD_OVERHEAD = 160

NEVER = 1 << 62  # a sequence number that no entry ever has
LAST = NEVER - 1  # up to this: all entries, also those to come

payload_of = itemgetter(2)  # of a record


def leave() -> None:
    """Stands for a lane's `popleft` where nothing is to be taken."""


def pop(lane: deque[Record]) -> Record | None:
    """Takes a lane's first entry, or None if there is none (any more: see `head`)."""
    try:
        return lane.popleft()
    except IndexError:
        return None


def first(lane: deque[Record], count: int) -> list[Record]:
    """A lane's first entries, `count` at most."""
    while True:
        try:
            return list(islice(lane, count))
        except RuntimeError:  # noqa: PERF203 - a re-entrant `append` came between the two calls
            continue


def moves(lane: deque[Record], count: int) -> tuple[Iterator[Record], Iterator[Record]]:
    """Two iterators, to choose from by a flag.

    Returns:
        An empty one, and one that takes a lane's first `count` entries from it as it is read.
    """
    return iter(()), starmap(lane.popleft, repeat((), count))


def json_bytes(records: list[Record]) -> int:
    """How much JSON that is, one comma each included."""
    return sum(map(len, map(payload_of, records))) + len(records)


def size_of(records: list[Record]) -> int:
    """How much memory that is."""
    return json_bytes(records) + (RECORD_OVERHEAD - 1) * len(records)


def fitting(run: list[Record], room: int) -> int:
    """How many of the first entries have room for their JSON, one comma each included."""
    if json_bytes(run) <= room:
        return len(run)
    return bisect([*accumulate(len(payload) + 1 for *_, payload in run)], room)


def head(lane: deque[Record]) -> int:
    """The sequence number of a lane's first entry, `NEVER` if there is none.

    By the exception, for between a look and the access a re-entrant `append` may shed the entry.
    """
    try:
        return lane[0][0]
    except IndexError:
        return NEVER


def run_of(lanes: Sequence[deque[Record]], count: int) -> tuple[deque[Record], list[Record], bool]:
    """The lane with the oldest entry, and those of it that come before any of another lane.

    Args:
        lanes: All lanes.
        count: How many entries at the most.

    Returns:
        The lane, the entries, and whether no other lane's has cut the run short.
    """
    lane, next_lane = sorted(lanes, key=head)[:2]
    following = head(next_lane)
    found = first(lane, count)
    run = found[: bisect(found, (following,))]
    return lane, run, len(run) == len(found)


def by_reason(losses: dict[Loss, int]) -> dict[str, int]:
    """How many entries were lost for each reason, in whatever lane."""
    counts: Counter[str] = Counter()
    for (reason, _), count in losses.items():
        counts[reason] += count
    return dict(+counts)  # without the zeros that `EntryQueue._shed` may leave
