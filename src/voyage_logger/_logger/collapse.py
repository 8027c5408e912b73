"""Implements the option `collapse`: identical entries become one entry with an exact count.

The first of several identical entries is queued as usual. While this first entry is in the queue,
each identical log call only increases the count in the queued entry. After the first entry is taken
or shed, the next identical entry is queued as a new first entry. So `flush`, the end of the program
and a full queue need no special code.

What must stay true: the sum of the counts in all entries is the number of log calls. Two entries
are never collapsed if they differ in a field that the caller has set. An entry is never collapsed
if the caller has set `repeat_count` or `last_logged_at`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from voyage_logger._entry.field_conversion import as_mapping
from voyage_logger._entry.trimming import STAMPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._delivery.pipeline import Pipeline
    from voyage_logger._queue.contract import Queue

_MOST_BURSTS = 1000
_TRIES = 16
_WRITTEN = ("repeat_count", "last_logged_at")


class _Burst(NamedTuple):
    """A queued entry that represents `calls` log calls."""

    queue: Queue
    sequence: int
    payload: bytearray
    stamps: dict[str, Any]
    began_at: float
    calls: int = 1


class Collapser:
    """Submits the first of several identical entries to a pipeline, and counts the later entries.

    Entries are counted only for `window` seconds after the first entry. Thread-safe.
    """

    def __init__(
        self,
        window: float,
        pipeline: Pipeline,
        encode: Callable[[dict[str, Any]], bytes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window = window
        self._pipeline = pipeline
        self._encode = encode
        self._clock = clock
        self._bursts: dict[tuple[int, bytes], _Burst] = {}  # The queue's lock guards `_bursts`.

    @staticmethod
    def stamps_in(fields: dict[str, Any], given: object) -> dict[str, Any]:
        """Return the values of `logged_at` and `log_id` that the client added to `meta_data`."""
        own, meta_data = as_mapping(given), as_mapping(fields.get("meta_data"))
        return {name: meta_data[name] for name in STAMPS if name in meta_data and name not in own}

    def submit(self, entry: dict[str, Any], lane: int, stamps: dict[str, Any]) -> bool:
        """If an identical entry is queued, count `entry` and return True. Else submit `entry`."""
        meta_data = entry.get("meta_data", {})
        if type(meta_data) is not dict or any(name in meta_data for name in _WRITTEN):
            self._pipeline.submit(self._encode(entry), lane)
            return False
        # If `before_send` has changed `logged_at` or `log_id`, the field counts as the caller's.
        stamps = {name: text for name, text in stamps.items() if _is(meta_data.get(name), text)}
        data = {name: value for name, value in meta_data.items() if name not in stamps}
        key = (lane, self._encode({**entry, "meta_data": data}))
        is_counted = self._count(key, entry, data, stamps)
        if not is_counted:
            self._begin(key, entry, stamps)
        return is_counted

    def _count(
        self,
        key: tuple[int, bytes],
        entry: dict[str, Any],
        data: dict[str, Any],
        stamps: dict[str, Any],
    ) -> bool:
        """Increase the count of an identical queued entry. Return False if no such entry exists."""
        for _ in range(_TRIES):  # pragma: no branch - no test makes all tries fail
            burst = self._bursts.get(key)
            if burst is None or not self._is_open(burst):
                break
            count = burst.calls + 1
            meta_data = {**burst.stamps, **data, **_repeats(count, stamps)}
            payload = self._encode({**entry, "meta_data": meta_data})
            with burst.queue.lock:
                if self._bursts.get(key) is not burst:
                    continue  # Another thread has just increased the count: try again.
                if not burst.queue.amend(key[0], burst.sequence, burst.payload, payload):
                    break
                self._bursts[key] = burst._replace(calls=count)
                return True
        return False

    def _is_open(self, burst: _Burst) -> bool:
        is_present = burst.queue is self._pipeline.queue  # A forked child gets a new queue.
        return is_present and self._clock() - burst.began_at < self._window

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


def _is(found: object, text: str) -> bool:
    return type(found) is str and found == text


def _repeats(count: int, stamps: dict[str, Any]) -> dict[str, Any]:
    repeats: dict[str, Any] = {"repeat_count": count}
    if "logged_at" in stamps:
        repeats["last_logged_at"] = stamps["logged_at"]
    return repeats
