"""A handler that logs while the process's first entry makes the spool's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queue_contract import Interruption, assert_law, entry, payloads
from voyage_logger._diagnostics import Diagnostics
from voyage_logger._levels import INFO
from voyage_logger._records import NEVER
from voyage_logger.spool import (
    SpoolQueue,
    SpoolSettings,
    _folder,
    _keeper,
    _queue,
    _reading,
    _stream,
    _writing,
)

if TYPE_CHECKING:
    from pathlib import Path

FILES = tuple(str(module.__file__) for module in (_folder, _keeper, _stream, _writing))


def test_anywhere_in_the_first_log_call_loses_no_entry(tmp_path: Path) -> None:
    """Both entries are found, wherever the handler comes, and one owner's files hold them."""
    at = 0
    has_come = True
    while has_come:
        at += 1
        folder = tmp_path / str(at)
        spool = SpoolSettings(folder, 1 << 20, None, "nowhere")
        queue = SpoolQueue(100, 1 << 20, spool, Diagnostics())
        with Interruption(at, lambda queue=queue: queue.append(entry("y"), INFO), FILES) as it:  # type: ignore[misc]
            queue.append(entry("x"), INFO)
        has_come = it.has_come

        assert len(list(folder.glob("*.lock"))) == 1, f"place {at}"
        taken = payloads(queue.take(NEVER, NEVER))
        assert sorted(taken) == [entry("x")] + [entry("y")] * has_come, f"place {at}"
        queue.settle(len(taken))
        stats = queue.stats()
        assert_law(stats)
        assert (stats.delivered, stats.pending) == (1 + has_come, 0), f"place {at}"
        queue.close("closed")
        assert list(folder.iterdir()) == [], f"place {at}"
    assert at > 50


def test_anywhere_in_a_take_changes_no_lane_under_it(tmp_path: Path) -> None:
    """The worker lives on though a handler's entry ends one segment and begins the next."""
    at = 0
    has_come = True
    while has_come:
        at += 1
        folder = tmp_path / str(at)
        spool = SpoolSettings(folder, 1 << 20, None, "nowhere")
        queue = SpoolQueue(100, 1 << 20, spool, Diagnostics())
        queue.append(entry("x" * 60_000), INFO)
        queue.take(NEVER, NEVER)
        queue.settle(1)  # the segment stays, for it is being written
        late = entry("y" * 10_000)
        with Interruption(
            at,
            lambda queue=queue, late=late: queue.append(late, INFO),  # type: ignore[misc]
            (str(_queue.__file__), str(_reading.__file__)),
        ) as it:
            queue.take(NEVER, NEVER)
        has_come = it.has_come

        assert payloads(queue.take(NEVER, NEVER)) == [late] * has_come, f"place {at}"
        queue.settle(has_come)
        assert_law(queue.stats())
        queue.close("closed")
        assert list(folder.iterdir()) == [], f"place {at}"
    assert at > 20
