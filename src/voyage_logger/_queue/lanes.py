"""Records and lanes. A record is an encoded entry. Each level has a lane of records, oldest first.

What must stay true: no function raises an error if a signal handler changes a lane meanwhile.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate, islice
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence

# A record is (sequence number, lane, encoded entry). The type is a tuple, which is fast to make.
Record = tuple[int, int, "bytes | bytearray"]

# The bytes of memory that a waiting entry needs in addition to its JSON: the header of the bytes
# object, the tuple, the numbers and the slot in the deque, rounded up. This number was measured on
# 64-bit CPython 3.10 to 3.13.
RECORD_OVERHEAD = 160

NEVER = 1 << 62  # Stands for "no entry": no entry has this sequence number.
LAST = NEVER - 1  # The highest possible sequence number, for calls that mean all entries.

payload_of = itemgetter(2)  # Returns the encoded entry of a record.


def first(lane: deque[Record], count: int) -> list[Record]:
    """Return the first entries of a lane, at most `count` entries."""
    while True:
        try:
            return list(islice(lane, count))
        except RuntimeError:  # noqa: PERF203 - a signal handler has changed the lane
            continue


def json_bytes(records: Sequence[Record]) -> int:
    """Return the number of bytes of the records as JSON, with one comma for each record."""
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

    The exception is needed, because a signal handler can empty the lane even after a check.
    """
    try:
        return lane[0][0]
    except IndexError:
        return NEVER


def run_of(lanes: Sequence[deque[Record]], count: int) -> tuple[deque[Record], list[Record], bool]:
    """Find the lane with the oldest entry, and the entries of this lane that come next.

    The returned entries are older than all entries of the other lanes.

    Args:
        lanes: All lanes of the queue.
        count: The largest number of entries to return.

    Returns:
        The lane, the entries that come next, and a bool. The bool is False if an entry of
        another lane comes after the returned entries.
    """
    lane, next_lane = sorted(lanes, key=head)[:2]
    following = head(next_lane)
    found = first(lane, count)
    run = found[: bisect(found, (following,))]
    return lane, run, len(run) == len(found)
