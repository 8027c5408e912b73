"""The return types of `stats()` and `flush()`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - for `typing.get_type_hints`
from typing import Any

from voyage_logger._base.frozen import as_dict, frozen

# The client's reasons for dropping entries: the keys of `Stats.dropped_by`.
QUEUE_FULL = "queue_full"
SPOOL_FULL = "spool_full"
SPOOL_DELETED = "spool_deleted"
EXPIRED = "expired"
UNREADABLE = "unreadable"
CORRUPT = "corrupt"
CLOSED = "closed"
SHUTDOWN = "shutdown"
BEFORE_SEND = "before_send"
UNCONFIGURED = "unconfigured"


@frozen
class Stats:
    """The counts of one logger in this process at one moment.

    It is always true that `accepted == delivered + rejected + dropped + pending`. The counts of a
    forked child process start at zero.

    Attributes:
        accepted: Entries of log calls, adopted entries, and the client's own notices of losses.
        delivered: Entries that the server has confirmed.
        rejected: Entries that the server has refused for good.
        dropped: Entries that the client gave up before they were delivered.
        pending: Entries that are queued or are being sent.
        rejected_by: The number of rejected entries for each answer of the server.
        dropped_by: The number of dropped entries for each reason, such as "queue_full", "closed" or
            "shutdown".
        spooled: Pending entries that are stored on the disk, or 0 if `spool_dir` is not set.
        adopted: Entries on the disk that this process adopted from processes that have ended.
        filtered: Entries that `before_send` or `sample` removed before they were accepted.
        echoed: Log calls that made no entry, because the client caused them when it sent entries.
            For example, an app can log each record that urllib3 writes for a request.
        collapsed: Log calls that made no entry, but increased the `repeat_count` of a queued entry.
        pending_bytes: The memory that the pending entries use, in bytes (see `max_queue_bytes`).
        requests: Attempts to send a batch.
        batches: Batches that the server confirmed.
        retries: Attempts to send entries again after a failed attempt.
        sign_ins: Successful sign-ins.
        last_delivery: The time in epoch seconds when the server last confirmed a batch, or None.
        last_problem: A text that describes the latest problem, such as missing credentials. None if
            there was no problem, or if a batch was delivered after the problem.
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
        """Return the counts as a dict that can be written as JSON."""
        copies = {"rejected_by": dict(self.rejected_by), "dropped_by": dict(self.dropped_by)}
        return {**as_dict(self), **copies}


@frozen
class FlushResult:
    """What happened to the entries since the end of the previous `flush()`.

    `bool(result)` is True only if the counts `rejected`, `dropped` and `pending` are all 0.

    Attributes:
        delivered: Entries that the server has confirmed.
        rejected: Entries that the server has refused for good.
        dropped: Entries that the client gave up before they were delivered.
        pending: Entries that were logged before the `flush()` call and are not delivered yet.
        elapsed: The duration of the `flush()` call in seconds.
    """

    delivered: int
    rejected: int
    dropped: int
    pending: int
    elapsed: float

    def __bool__(self) -> bool:
        return not (self.rejected or self.dropped or self.pending)
