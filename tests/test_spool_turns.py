"""Whose entries have the next request while a backlog lasts."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from spooling import leave
from voyage_logger._diagnostics import Diagnostics
from voyage_logger._levels import CRITICAL, TICKET_LANE
from voyage_logger.spool import SpoolQueue, SpoolSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    MakeQueue = Callable[..., SpoolQueue]

KIB = 1024
NOWHERE: Any = SimpleNamespace(url="nowhere")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def make_queue(folder: Path) -> Iterator[MakeQueue]:
    """Makes a queue that has taken over so many entries of a dead process."""
    made: list[SpoolQueue] = []

    def make(adopted: int = 0, max_bytes: int = 2 << 20) -> SpoolQueue:
        if adopted:
            leave(folder, NOWHERE, [f"old {number}" for number in range(adopted)])
        spool = SpoolSettings(folder, max_bytes, None, NOWHERE.url)
        made.append(SpoolQueue(10_000, 1 << 20, spool, Diagnostics()))
        made[-1].tend()
        assert made[-1].stats().adopted == adopted
        return made[-1]

    yield make
    for queue in made:
        queue.close("closed")


def entry(text: object, size: int = 0) -> bytes:
    return json.dumps({"message": str(text), "tags": ["x" * size]}).encode()


def request(queue: SpoolQueue, entries: int = 100, size: int = 1 << 20) -> list[str]:
    """The messages of the next request, which the server takes."""
    batch = queue.take(entries, size)
    queue.settle(len(batch))
    return [json.loads(payload)["message"] for *_, payload in batch]


@pytest.mark.parametrize("lane", [CRITICAL, TICKET_LANE])
def test_what_is_urgent_has_the_next_request(make_queue: MakeQueue, lane: int) -> None:
    """Each time, a critical or ticket entry goes before what dead processes have left."""
    queue = make_queue(1000)
    for number in range(5):
        assert request(queue, 10) == [f"old {10 * number + count}" for count in range(10)]
        queue.append(entry("now"), lane)
        queue.is_urgent = False  # as the worker leaves it before it takes
        assert request(queue, 10) == ["now"]
