"""Telling people of losses: a line while it happens, and an entry in the stream once it can.

What must stay true: every loss is told in both places, in totals that add up however seldom they
are told, and the loss of a notice causes no further notice.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from voyage_logger._base.diagnostics import QUIET_SECONDS, Diagnostics
from voyage_logger._base.errors import EntriesLost, entries, fate, tally
from voyage_logger._base.event_names import ENTRIES_LOST
from voyage_logger._base.levels import LANES, NOTICE_LANE
from voyage_logger._entry.line import printable
from voyage_logger._queue.ledger import Loss, by_reason
from voyage_logger.transports import UNCONFIGURED

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._queue.contract import Queue

_AT_END = {"closed", "shutdown"}  # reasons that do not say why


class LossTeller:
    """Keeps what has been told of one queue's losses.

    Thread-safe: what is news is found out, and from then on old, under the queue's lock.

    Args:
        queue: Whose losses to tell.
        diagnostics: Where lines go.
        clock: The monotonic clock, seconds.
    """

    def __init__(self, queue: Queue, diagnostics: Diagnostics, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._diagnostics = diagnostics
        self._clock = clock
        self._told: Counter[Loss] = Counter()  # on stderr
        self._told_at: float | None = None
        self._noted: Counter[Loss] = Counter()  # in the stream
        self._told_kept = self._noted_kept = 0  # how many of those are no more than rejected

    def claim(
        self, words: str, *, at_once: bool = False, problem: str | None = None
    ) -> EntriesLost | None:
        """Finds out what was lost since the last report: the caller is to report it.

        Args:
            words: What the server said of the last entry that it rejected.
            at_once: Do so even if the last report is less than a minute old.
            problem: At the end, what the last attempt came to, if it failed.

        Returns:
            None if there is nothing to report, or it has to wait.
        """
        now = self._clock()
        with self._queue.lock:
            is_soon = self._told_at is not None and now - self._told_at < QUIET_SECONDS
            losses = self._all()
            news = losses - self._told
            if not news or (is_soon and not at_once):
                return None
            self._told, self._told_at = losses, now
            kept, self._told_kept = self._queue.kept - self._told_kept, self._queue.kept
        reasons = by_reason(news)
        if not reasons.keys() & self._queue.stats().rejected_by.keys():
            words = ""
        if not reasons.keys() & _AT_END:
            problem = None
        return EntriesLost(news.total(), _levels(news), reasons, words, kept, problem or "")

    def report(self, error: EntriesLost) -> None:
        """Tells people; not to be called under the queue's lock."""
        advice = ""
        if error.kept and self._queue.place:
            from shlex import quote  # noqa: PLC0415 - rarely wanted

            folder = printable(quote(self._queue.place))
            advice = f"; see `voyage-logger spool show --dead-letters {folder}`"
        self._diagnostics.report("lost", error, suffix=advice, at_once=True)

    def notice(self) -> dict[str, Any] | None:
        """The fields of an entry on the losses since the last such entry, or None."""
        with self._queue.lock:
            losses = self._all()
            news = losses - self._noted
            if not news:
                return None
            self._noted = losses
            kept, self._noted_kept = self._queue.kept - self._noted_kept, self._queue.kept
        count = news.total()
        what = f": {fate(count, kept)}" if kept else f" lost {entries(count)}"
        return {
            "message": f"voyage-logger{what}: {tally(by_reason(news))}",
            "event_name": ENTRIES_LOST,
            "meta_data": {
                "lost": count,
                "levels": _levels(news),
                "reasons": by_reason(news),
                **({"kept": kept} if kept else {}),
            },
        }

    def _all(self) -> Counter[Loss]:
        """All losses so far, but for notices, and entries that were printed instead."""
        losses = self._queue.losses()
        for reason, lane in list(losses):
            if lane == NOTICE_LANE or reason == UNCONFIGURED:
                del losses[reason, lane]
        return losses


def _levels(losses: Counter[Loss]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for (_, lane), count in sorted(losses.items()):
        counts[LANES[lane]] += count
    return dict(counts)
