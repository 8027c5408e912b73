"""Records and lanes: encoded entries in the order of their log calls, one lane for each level.

What must stay true: no function raises if a signal handler logs, and so changes a lane, meanwhile.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate, islice
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence

# (sequence number, lane, encoded entry). A tuple, because each log call makes one.
Record = tuple[int, int, "bytes | bytearray"]

# The memory of a waiting entry beside its JSON: the header of the bytes object, the tuple, the
# numbers and the slot of the deque, rounded up. Measured on CPython 3.10 to 3.13, 64 bits.
RECORD_OVERHEAD = 160

NEVER = 1 << 62  # a sequence number that no entry ever has
LAST = NEVER - 1  # up to this number: all entries, also those of later log calls

payload_of = itemgetter(2)  # of a record


def first(lane: deque[Record], count: int) -> list[Record]:
    """Return at most `count` entries from the head of a lane."""
    while True:
        try:
            return list(islice(lane, count))
        except RuntimeError:  # noqa: PERF203 - a handler has logged between the two calls
            continue


def json_bytes(records: Sequence[Record]) -> int:
    """Return the bytes of JSON of some records, with one comma for each."""
    return sum(map(len, map(payload_of, records))) + len(records)


def size_of(records: Sequence[Record]) -> int:
    """Return the memory of some records, in bytes."""
    return json_bytes(records) + (RECORD_OVERHEAD - 1) * len(records)


def fitting(run: Sequence[Record], room: int) -> int:
    """Return how many of the first records fit into `room` bytes of JSON."""
    if json_bytes(run) <= room:
        return len(run)
    return bisect([*accumulate(len(payload) + 1 for *_, payload in run)], room)


def head(lane: Sequence[Record] | deque[Record]) -> int:
    """Return the sequence number of the first entry of a lane, `NEVER` if the lane is empty.

    The exception is needed, because a handler can empty the lane between a check and the access.
    """
    try:
        return lane[0][0]
    except IndexError:
        return NEVER


def run_of(lanes: Sequence[deque[Record]], count: int) -> tuple[deque[Record], list[Record], bool]:
    """Find the lane with the oldest entry, and its entries that are older than all other lanes.

    Args:
        lanes: All lanes.
        count: The most entries to return.

    Returns:
        The lane, the entries, and False if an entry of another lane has ended the run.
    """
    lane, next_lane = sorted(lanes, key=head)[:2]
    following = head(next_lane)
    found = first(lane, count)
    run = found[: bisect(found, (following,))]
    return lane, run, len(run) == len(found)
