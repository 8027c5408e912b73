"""What a logger tells about itself: the values that `stats()` and `flush()` return."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - for `typing.get_type_hints`

from voyage_logger._base.frozen import frozen


@frozen
class Stats:
    """A logger's counts at one moment, taken under the queue's lock.

    Always true: `accepted == delivered + rejected + dropped + pending`. The counts are those of
    this process; after a fork the child starts at zero.

    Attributes:
        accepted: Entries that log calls have handed over, and the client's own notices of loss.
        delivered: Entries the server has confirmed.
        rejected: Entries the server refused for good.
        dropped: Entries given up by the client.
        pending: Entries queued or in a request that is under way.
        rejected_by: The rejected, by what the server said.
        dropped_by: The dropped, by reason: "queue_full", "closed", "shutdown", ...
        spooled: The pending that are on the disk, with `spool_dir`.
        adopted: The accepted that were left on the disk by processes that have ended.
        filtered: Entries that `before_send` or `sample` left out; they do not count as accepted.
        echoed: Log calls that came from the sending of entries itself, such as urllib3's records at
            DEBUG through a handler of the app's; they are left out and do not count as accepted.
        collapsed: Log calls that became part of the `repeat_count` of an entry that was waiting;
            they do not count as accepted either.
        pending_bytes: The memory of the pending entries, bytes, as `max_queue_bytes` counts it.
        requests: Attempts to send a batch.
        batches: Requests that the server confirmed.
        retries: Attempts that repeated an earlier one.
        sign_ins: Tokens obtained.
        last_delivery: When the server last confirmed a batch, epoch seconds, or None.
        last_problem: The latest trouble in words, or None once a batch went through again. Without
            credentials: what is missing.
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


@frozen
class FlushResult:
    """What became of the entries since the end of the previous `flush()`.

    True in a condition only if nothing is left waiting and nothing was lost.

    Attributes:
        delivered: Entries the server has confirmed.
        rejected: Entries the server refused for good.
        dropped: Entries given up by the client.
        pending: Entries logged before the call that are still waiting.
        elapsed: How long the call took, seconds.
    """

    delivered: int
    rejected: int
    dropped: int
    pending: int
    elapsed: float

    def __bool__(self) -> bool:
        return not (self.rejected or self.dropped or self.pending)
