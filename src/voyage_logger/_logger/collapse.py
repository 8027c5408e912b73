"""Flood control: identical entries of a burst become one, with an exact count.

What must stay true: nothing is held here. The first entry of a burst goes into the queue as any
other, and is amended there while it waits; once it is on its way, or shed, the next one starts
afresh. So flush, exit and a full queue need to know of nothing, and the sum of all counts is the
number of log calls. Nothing of a caller's own is merged away: what differs makes another entry, and
an entry with one of the names that are written here is left alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from voyage_logger._entry.field_types import as_mapping
from voyage_logger._entry.trimming import STAMPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._delivery.pipeline import Pipeline
    from voyage_logger._logger.call_counts import CallCounts
    from voyage_logger._queue.contract import Queue

_MOST_BURSTS = 1000
_TRIES = 16
_WRITTEN = ("repeat_count", "last_logged_at")


def stamps_in(fields: dict[str, Any], given: object) -> dict[str, Any]:
    """The time and the id that an entry's meta_data has not from the caller.

    Args:
        fields: The fields of the entry, filled.
        given: The meta_data of the log call.
    """
    own, meta_data = as_mapping(given), as_mapping(fields.get("meta_data"))
    return {name: meta_data[name] for name in STAMPS if name in meta_data and name not in own}


def _is_text(found: object, text: str) -> bool:
    return type(found) is str and found == text


class _Burst:
    """An entry that waits in a queue and stands for several; its count is guarded by the queue."""

    __slots__ = ("began_at", "count", "payload", "queue", "sequence", "stamps")

    def __init__(
        self,
        queue: Queue,
        sequence: int,
        payload: bytearray,
        stamps: dict[str, Any],
        began_at: float,
    ) -> None:
        self.queue = queue
        self.sequence = sequence
        self.payload = payload
        self.stamps = stamps
        self.began_at = began_at
        self.count = 1


class FloodControl:
    """Hands entries over to a pipeline, of identical ones the first.

    Args:
        window: Seconds from the first of a burst within which others are added to it.
        pipeline: Where the entries go.
        encode: Makes an entry's bytes.
        counts: Where the entries that are not sent are counted.
        clock: The monotonic clock, seconds.

    Thread-safe.
    """

    def __init__(
        self,
        window: float,
        pipeline: Pipeline,
        encode: Callable[[dict[str, Any]], bytes],
        counts: CallCounts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window = window
        self._pipeline = pipeline
        self._encode = encode
        self._counts = counts
        self._clock = clock
        self._bursts: dict[tuple[int, bytes], _Burst] = {}  # guarded by the queue's lock

    def submit(self, entry: dict[str, Any], lane: int, stamps: dict[str, Any]) -> None:
        """Takes in an entry, or adds it to the one that waits.

        Args:
            entry: The entry.
            lane: Its lane.
            stamps: What `stamps_in` has found in it.
        """
        meta_data = entry.get("meta_data", {})
        if type(meta_data) is not dict or any(name in meta_data for name in _WRITTEN):
            self._pipeline.submit(self._encode(entry), lane)
            return
        # Not what `before_send` has put in their place.
        stamps = {
            name: stamp for name, stamp in stamps.items() if _is_text(meta_data.get(name), stamp)
        }
        data = {name: value for name, value in meta_data.items() if name not in stamps}
        key = (lane, self._encode({**entry, "meta_data": data}))
        for _ in range(_TRIES):
            burst = self._bursts.get(key)
            if burst is None or not self._is_open(burst):
                break
            count = burst.count
            repeat = {"repeat_count": count + 1}
            if "logged_at" in stamps:
                repeat["last_logged_at"] = stamps["logged_at"]
            payload = self._encode({**entry, "meta_data": {**burst.stamps, **data, **repeat}})
            with burst.queue.lock:
                if burst.count != count:
                    continue  # another thread was faster
                if not burst.queue.amend(lane, burst.sequence, burst.payload, payload):
                    break
                burst.count = count + 1
            self._counts.collapsed += 1
            return
        self._begin(key, entry, stamps)

    def _is_open(self, burst: _Burst) -> bool:
        is_here = burst.queue is self._pipeline.queue  # and not the one before a fork
        return is_here and self._clock() - burst.began_at < self._window

    def _begin(self, key: tuple[int, bytes], entry: dict[str, Any], stamps: dict[str, Any]) -> None:
        payload, lane = bytearray(self._encode(entry)), key[0]
        began_at, queue = self._clock(), self._pipeline.queue
        sequence = self._pipeline.submit(payload, lane)
        if sequence is None:
            return
        with queue.lock:
            self._bursts.pop(key, None)
            if len(self._bursts) >= _MOST_BURSTS:
                del self._bursts[next(iter(self._bursts))]
            self._bursts[key] = _Burst(queue, sequence, payload, stamps, began_at)
