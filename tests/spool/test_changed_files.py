"""If another program changes segments, the counts of the queue stay correct."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import assert_law
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import INFO
from voyage_logger._queue.lanes import LAST
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def queue(folder: Path) -> Iterator[SpoolQueue]:
    queue = SpoolQueue(1000, 1 << 20, SpoolSettings(folder, 1 << 20, None, "x"), Diagnostics())
    yield queue
    queue.close("closed")


def log(queue: SpoolQueue, *texts: str) -> None:
    for text in texts:
        queue.append(json.dumps({"message": text}).encode(), INFO)


def sent(queue: SpoolQueue) -> list[str]:
    """Take all entries, settle them as delivered, and return their texts."""
    found = []
    for _ in range(10):
        batch = queue.take(100, 1 << 20)
        found += [json.loads(payload)["message"] for *_, payload in batch]
        queue.settle(len(batch))
        assert_law(queue.stats())
    return found


def corrupt(folder: Path) -> list[str]:
    (path,) = folder.glob("*.dead.ndjson")
    return [json.loads(line)["line"] for line in path.read_text().splitlines()]


ENTRY = '{"spool_seq":7,"message":"forged"}\n'


@pytest.mark.parametrize(
    ("added", "arrive", "lost"),
    [
        ("\n" * 200, ["a", "b", "c", "d"], 200),
        ("junk\n", ["a", "b", "c", "d"], 1),
        (ENTRY, ["a", "b", "forged", "c", "d"], 0),
        ("half of", ["a", "b", "d"], 1),  # The next line completes this half line.
    ],
    ids=["empty", "junk", "entry", "half"],
)
def test_foreign_lines_in_a_segment_lose_no_other_line(
    queue: SpoolQueue, folder: Path, added: str, arrive: list[str], lost: int
) -> None:
    """Each entry arrives, or is kept in a dead letter together with the foreign bytes."""
    log(queue, "a", "b")
    (path,) = folder.glob("*.info.*")
    with path.open("a") as file:
        file.write(added)
    log(queue, "c", "d")

    assert sent(queue) == arrive
    stats = queue.stats()
    assert (stats.delivered, stats.dropped, stats.pending) == (len(arrive), lost, 0)
    assert len(queue) == stats.spooled == queue._store.size == 0
    assert not path.exists()
    if added.strip() and lost:
        (line,) = corrupt(folder)
        assert line.startswith(added.strip())
    log(queue, "later")
    assert sent(queue) == ["later"]


@pytest.mark.parametrize(("old", "new", "lost"), [(b"}\n{", b"},{", 2), (b",", b"\n", 4)])
def test_changed_lines_are_counted_again(
    queue: SpoolQueue, folder: Path, old: bytes, new: bytes, lost: int
) -> None:
    """The queue does not wait for lines that another program has removed."""
    log(queue, "a", "b", "c")
    (path,) = folder.glob("*.info.*")
    content = path.read_bytes()
    place = content.index(b"\n") + 1
    with path.open("r+b") as file:
        file.write(content[:place] + content[place:].replace(old, new))

    assert sent(queue) == ["a"]
    stats = queue.stats()
    assert (stats.delivered, stats.dropped_by) == (1, {"corrupt": lost})
    assert (stats.pending, stats.spooled, len(queue)) == (0, 0, 0)
    log(queue, "later")
    assert sent(queue) == ["later"]


def test_overwritten_lines_of_a_large_file_lose_no_other_line(folder: Path) -> None:
    """If another program overwrites lines of a large file, the other lines still arrive."""
    spool = SpoolSettings(folder, 1 << 28, None, "x")
    queue = SpoolQueue(1000, 1 << 20, spool, Diagnostics())
    long = "x" * 150_000  # The first piece that the queue reads ends before the second entry.
    log(queue, *(f"{name}{long}" for name in "abc"))
    (path,) = folder.glob("*.ndjson")
    with path.open("r+b") as file:
        file.write(b"{}\n{}\n")

    assert [text.strip("x") for text in sent(queue)] == ["b", "c"]
    log(queue, "later")
    assert sent(queue) == ["later"]
    assert not queue.is_pending(LAST)
    queue.close("closed")
