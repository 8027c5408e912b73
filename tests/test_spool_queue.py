"""The queue on the disk: it promises what the one in memory does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import queue_contract
from queue_contract import ROOMY, Interruption, alarm, assert_law, entry, payloads, queue
from voyage_logger._diagnostics import Diagnostics
from voyage_logger._levels import INFO
from voyage_logger._queue import NEVER
from voyage_logger.spool import SpoolQueue, SpoolSettings, _segment, _writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from queue_contract import MakeQueue

__all__ = ["alarm", "queue"]


@pytest.fixture
def make_queue(tmp_path: Path) -> Iterator[MakeQueue]:
    made: list[SpoolQueue] = []

    def make(max_entries: int) -> SpoolQueue:
        settings = SpoolSettings(tmp_path / "spool", ROOMY, None, "nowhere")
        made.append(SpoolQueue(max_entries, ROOMY, settings, Diagnostics()))
        return made[-1]

    yield make
    for each in made:
        each.close("closed")


class TestOrder(queue_contract.Order):
    pass


class TestTake(queue_contract.Take):
    pass


class TestSettle(queue_contract.Settle):
    pass


class TestWaking(queue_contract.Waking):
    pass


class TestThreads(queue_contract.Threads):
    pass


class TestSignals(queue_contract.Signals):
    pass


class TestReentry:
    def test_anywhere_in_a_log_call_keeps_the_accounts_right(self, make_queue: MakeQueue) -> None:
        """A handler that logs at any place while an entry is written spoils neither."""
        at = 0
        has_come = True
        while has_come:
            at += 1
            queue = make_queue(1000)
            files = (_writing.__file__, _segment.__file__)
            with Interruption(at, lambda queue=queue: queue.append(entry("y"), INFO), files) as it:  # type: ignore[misc]
                queue.append(entry("first"), INFO)
                queue.append(entry("x" * 70), INFO)
            has_come = it.has_come

            taken = payloads(queue.take(NEVER, NEVER))
            expected = [entry("first"), entry("x" * 70)] + [entry("y")] * has_come
            assert sorted(taken) == sorted(expected), f"place {at}"
            queue.settle(len(taken))
            stats = queue.stats()
            assert_law(stats)
            assert (stats.delivered, stats.pending, stats.spooled) == (2 + has_come, 0, 0)
            assert len(queue) == 0, f"place {at}"
            queue.close("closed")
        assert at > 20
