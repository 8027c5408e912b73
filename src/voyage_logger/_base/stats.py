"""The values that `stats()` and `flush()` return."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - for `typing.get_type_hints`
from typing import Any

from voyage_logger._base.frozen import as_dict, frozen


@frozen
class Stats:
    """The counts of one logger in this process at one moment.

    Always true: `accepted == delivered + rejected + dropped + pending`. The counts of a forked
    child start at zero.

    Attributes:
        accepted: Entries from log calls, adopted entries, and the client's own notices of loss.
        delivered: Entries that the server has confirmed.
        rejected: Entries that the server refused for good.
        dropped: Entries that the client removed without delivery.
        pending: Entries that are queued or in a request.
        rejected_by: The number of rejected entries by the server's answer.
        dropped_by: The number of dropped entries by reason: "queue_full", "closed", "shutdown", ...
        spooled: Pending entries that are on the disk, with `spool_dir`.
        adopted: Accepted entries that ended processes had left on the disk.
        filtered: Entries that `before_send` or `sample` left out; these are not accepted.
        echoed: Log calls that were caused by the sending of entries, such as urllib3's records at
            DEBUG in a handler of the app; these are not accepted.
        collapsed: Log calls that only raised the `repeat_count` of a queued entry; these are not
            accepted.
        pending_bytes: The memory of the pending entries, bytes, as `max_queue_bytes` counts it.
        requests: Attempts to send a batch.
        batches: Requests that the server confirmed.
        retries: Attempts that repeated an earlier attempt.
        sign_ins: Tokens that the client obtained.
        last_delivery: When the server last confirmed a batch, epoch seconds, or None.
        last_problem: The latest problem in words, or None if a batch was delivered since then.
            Missing credentials are a problem, too.
    """

    accepted: int
    delivered: int
    rejected: int
    dropped: int
    pending: int
    rejected_by: Mapping[str, int]
    dropped_by: Mapping[str, int]
    pending_bytes: int
    spooled: int = 0
    adopted: int = 0
    filtered: int = 0
    echoed: int = 0
    collapsed: int = 0
    requests: int = 0
    batches: int = 0
    retries: int = 0
    sign_ins: int = 0
    last_delivery: float | None = None
    last_problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the counts by name, as JSON data."""
        copies = {"rejected_by": dict(self.rejected_by), "dropped_by": dict(self.dropped_by)}
        return {**as_dict(self), **copies}


@frozen
class FlushResult:
    """The result of the entries since the end of the previous `flush()`.

    In a condition, the result is true if no entry was rejected or dropped and none is pending.

    Attributes:
        delivered: Entries that the server has confirmed.
        rejected: Entries that the server refused for good.
        dropped: Entries that the client removed without delivery.
        pending: Entries that were logged before the call and are not delivered yet.
        elapsed: The duration of the call, seconds.
    """

    delivered: int
    rejected: int
    dropped: int
    pending: int
    elapsed: float

    def __bool__(self) -> bool:
        return not (self.rejected or self.dropped or self.pending)
