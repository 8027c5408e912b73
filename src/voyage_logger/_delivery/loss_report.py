"""Report lost entries with a line on stderr, and with a log entry when the server works again.

A *notice* is a log entry about lost entries. What must stay true: each loss is counted in exactly
one line and in at most one notice. The loss of a notice is not reported in another notice.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from voyage_logger._base.diagnostics import QUIET_SECONDS, Diagnostics
from voyage_logger._base.errors import EntriesLost, entries, fate, tally
from voyage_logger._base.fork_locks import loading
from voyage_logger._base.levels import LANES, NOTICE_LANE
from voyage_logger._base.printable import printable
from voyage_logger._base.stats import CLOSED, SHUTDOWN, UNCONFIGURED
from voyage_logger._base.wire import ENTRIES_LOST
from voyage_logger._queue.counts import Loss, by_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger._delivery.server_state import ServerState
    from voyage_logger._queue.contract import Queue

_LINE_SECONDS = 0.5  # At exit, a logger waits only this many seconds for reports by other threads.
_AT_END = {CLOSED, SHUTDOWN}  # After losses for these reasons, also report the last problem.


class LossReport:
    """Reports the losses of one queue. Thread-safe.

    `is_due` is True if a rejected entry has not been reported. To *claim* losses means to mark the
    losses as reported. The queue's lock makes sure that only one thread claims each loss.
    """

    def __init__(
        self,
        queue: Queue,
        server: ServerState,
        diagnostics: Diagnostics,
        write_notice: Callable[[dict[str, Any]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._server = server
        self._diagnostics = diagnostics
        self._write_notice = write_notice
        self._clock = clock
        self.is_due = False
        self._words = ""  # The server's answer for the last rejected entry.
        self._telling: Counter[int] = Counter()  # How many reports each thread is writing now.
        self._told: Counter[Loss] = Counter()  # The losses that were already reported on stderr.
        self._told_at: float | None = None
        self._noted: Counter[Loss] = Counter()  # The losses that were already reported in notices.
        self._noted_at = 0  # How many batches had been delivered before the last notice.
        self._told_kept = self._noted_kept = 0  # How many of the reported entries are dead letters.

    def expect(self, words: str) -> None:
        """Store the server's answer for a rejected entry. The caller holds the queue's lock."""
        self.is_due = True
        self._words = words

    def end(self) -> None:
        """Record that all losses were reported, and wake the threads that wait for the report."""
        with self._queue.lock:
            self.is_due = False
            self._queue.settled.notify_all()

    def tell(self, *, at_once: bool = False) -> None:
        """Report new losses. Unless `at_once` is True, report at most once a minute."""
        self.report(self._claim("", at_once=at_once))

    def tell_last(self, *, at_once: bool = False) -> None:
        """Report losses after the last attempt. The report says why the last attempt failed."""
        self.report(self.claim_last(at_once=at_once))

    def wait_for_others(self, limit: float) -> None:
        """Wait until other threads have written their lines, because exit ends these threads.

        Wait at most `_LINE_SECONDS`. If `limit` has passed, the wait ends `_LINE_SECONDS` after
        `limit`. So an `on_error` function that never returns delays the exit only once, and not for
        each logger. `limit` is measured with the monotonic clock.
        """
        deadline = min(self._clock(), limit) + _LINE_SECONDS
        with self._queue.lock:
            while (+self._telling).keys() - {threading.get_ident()}:
                remaining = deadline - self._clock()
                if remaining <= 0:
                    return
                self._queue.settled.wait(remaining)

    def claim_last(self, *, at_once: bool) -> EntriesLost | None:
        """After the last attempt, claim the losses. The caller must report the returned losses."""
        return self._claim(self._server.last_problem or "", at_once=at_once)

    def _claim(self, problem: str, *, at_once: bool) -> EntriesLost | None:
        """Claim the losses since the last report. Return None if no report is due."""
        now = self._clock()
        with self._queue.lock:
            is_soon = self._told_at is not None and now - self._told_at < QUIET_SECONDS
            losses = self._all()
            news = losses - self._told
            if not news or (is_soon and not at_once):
                return None
            self._told, self._told_at = losses, now
            self._telling[threading.get_ident()] += 1
            kept, self._told_kept = self._queue.kept - self._told_kept, self._queue.kept
        reasons = by_reason(news)
        is_rejected = reasons.keys() & self._queue.stats().rejected_by.keys()
        words = self._words if is_rejected else ""
        problem = problem if reasons.keys() & _AT_END else ""
        return EntriesLost(news.total(), _levels(news), reasons, words, kept, problem)

    def report(self, error: EntriesLost | None) -> None:
        """Report losses that were claimed. The caller must not hold the queue's lock."""
        if error is not None:
            try:
                advice = self._advice(error)
                self._diagnostics.report("lost", error, suffix=advice, at_once=True)
            finally:
                with self._queue.lock:
                    self._telling[threading.get_ident()] -= 1
                    self._queue.settled.notify_all()
            self._words = ""
        if self.is_due:
            self.end()

    def _advice(self, error: EntriesLost) -> str:
        if not error.kept or not self._queue.place:
            return ""
        with loading:
            from shlex import quote  # noqa: PLC0415 - This import is rarely needed.

        folder = printable(quote(self._queue.place))
        return f"; see `voyage-logger spool show --dead-letters {folder}`"

    def tell_all(self) -> None:
        """Report new losses. If a batch was delivered since the last notice, write a new notice."""
        with self._queue.lock:
            losses = self._all()
            news = losses - self._noted
            is_noted = news and self._server.batches != self._noted_at
            if is_noted:
                self._noted, self._noted_at = losses, self._server.batches
                kept, self._noted_kept = self._queue.kept - self._noted_kept, self._queue.kept
        if is_noted:
            self._write_notice(_notice(news, kept))
        if losses - self._told:
            self.tell()
        elif self.is_due:
            self.end()

    def _all(self) -> Counter[Loss]:
        """Return all losses so far, except lost notices and entries that were printed on stderr."""
        losses = self._queue.losses()
        for reason, lane in list(losses):
            if lane == NOTICE_LANE or reason == UNCONFIGURED:
                del losses[reason, lane]
        return losses


def _notice(news: Counter[Loss], kept: int) -> dict[str, Any]:
    """Return the fields of a log entry about losses."""
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


def _levels(losses: Counter[Loss]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for (_, lane), count in sorted(losses.items()):
        counts[LANES[lane]] += count
    return dict(counts)
