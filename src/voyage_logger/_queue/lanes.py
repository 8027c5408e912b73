"""Records and lanes. A record is an encoded entry. A lane lists all records of one level.

What must stay true: each lane starts with its oldest record. If a signal handler changes a lane
while a function of this module reads the lane, the function does not raise an error.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate, islice
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence

# A record is the tuple (sequence number, lane, encoded entry). Python creates tuples quickly.
Record = tuple[int, int, "bytes | bytearray"]

# How many bytes of memory a waiting entry needs in addition to its JSON text, for example for the
# headers of Python objects. This number was measured on 64-bit CPython 3.10 to 3.13 and rounded up.
RECORD_OVERHEAD = 160

NEVER = 1 << 62  # This number means "no entry". No entry has this sequence number.
LAST = NEVER - 1  # The highest possible sequence number. `is_pending(LAST)` checks all entries.

payload_of = itemgetter(2)  # This function returns the encoded entry of a record.


def first(lane: deque[Record], count: int) -> list[Record]:
    """Return the first entries of a lane: `count` entries, or all if the lane has fewer."""
    while True:
        try:
            return list(islice(lane, count))
        except RuntimeError:  # noqa: PERF203 - a signal handler has changed the lane
            continue


def json_bytes(records: Sequence[Record]) -> int:
    """Return the size of the records as JSON in bytes, including one comma for each record."""
    return sum(map(len, map(payload_of, records))) + len(records)


def size_of(records: Sequence[Record]) -> int:
    """Return how many bytes of memory the records use."""
    return json_bytes(records) + (RECORD_OVERHEAD - 1) * len(records)


def fitting(run: Sequence[Record], room: int) -> int:
    """Return how many records from the start of `run` fit into `room` bytes of JSON."""
    if json_bytes(run) <= room:
        return len(run)
    return bisect([*accumulate(len(payload) + 1 for *_, payload in run)], room)


def head(lane: Sequence[Record] | deque[Record]) -> int:
    """Return the sequence number of the first entry of a lane, or `NEVER` if the lane is empty.

    The function catches `IndexError`, because a signal handler can empty the lane after any check.
    """
    try:
        return lane[0][0]
    except IndexError:
        return NEVER


def run_of(lanes: Sequence[deque[Record]], count: int) -> tuple[deque[Record], list[Record], bool]:
    """Find the lane with the oldest entry, and return the first entries of this lane.

    Return at most `count` entries. All of them are older than all entries of the other lanes. The
    third result is False if the next entry after the returned entries is in another lane.
    """
    lane, next_lane = sorted(lanes, key=head)[:2]
    following = head(next_lane)
    found = first(lane, count)
    run = found[: bisect(found, (following,))]
    return lane, run, len(run) == len(found)
