"""A folder with the files of many dead owners costs little, and no file is overlooked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.spooling import leave
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings
from voyage_logger._queue.spool.file_names import lock_name
from voyage_logger._queue.spool.folder import Folder, unlock
from voyage_logger.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from voyage_logger._queue.spool.open_file import OpenFile
    from voyage_logger.devserver import DevServer

    MakeQueue = Callable[[], SpoolQueue]

COUNT = 40  # owners
KIB = 1024


def name_of(number: int) -> str:
    return f"{number:010d}-{number}-{number:08x}"


@pytest.fixture
def make_queue(server: DevServer, folder: Path) -> Iterator[MakeQueue]:
    queues: list[SpoolQueue] = []

    def make() -> SpoolQueue:
        spool = SpoolSettings(folder, 256 * KIB, None, server.url)
        queues.append(SpoolQueue(100, 1 << 20, spool, Diagnostics()))
        return queues[-1]

    yield make
    for queue in queues:
        queue.close("closed")


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that gets an item for each listing of a folder."""
    found: list[object] = []
    real = os.listdir

    def counted(place: Any) -> list[str]:
        found.append(place)
        return real(place)

    monkeypatch.setattr(os, "listdir", counted)
    return found


def look(queue: SpoolQueue) -> int:
    """Run the maintenance, and return how many entries the queue has adopted."""
    queue._failure.look_at = 0.0
    queue.maintain()
    return queue.stats().adopted


def lock(folder: Path, owner: str) -> OpenFile:
    """Lock the files of an owner, as a running process does."""
    held = Folder(folder).lock(lock_name(owner))
    assert held is not None
    return held


def fill(folder: Path, server: DevServer, kind: str) -> None:
    """Leave the files of `COUNT` dead owners whose entries cannot be adopted."""
    for number in range(1, COUNT + 1):
        owner = name_of(number)
        is_large = kind == "too large" or number == 1
        path = leave(folder, server, ["x" * 1000] * (200 if is_large else 1), owner=owner)
        if kind == "unreadable" and number > 1:
            path.unlink()
            path.symlink_to("nowhere")
        elif kind == "only dead letters" and number > 1:
            path.rename(folder / f"v1.{owner}.dead.ndjson")


@pytest.mark.parametrize("kind", ["too large", "unreadable", "only dead letters"])
def test_a_look_lists_the_folder_a_few_times_for_any_number_of_owners(
    server: DevServer, folder: Path, make_queue: MakeQueue, listings: list[object], kind: str
) -> None:
    """The cost of a look grows in proportion to the number of owners, and not faster."""
    fill(folder, server, kind)
    queue = make_queue()
    for _ in range(2):
        listings.clear()
        assert look(queue) == 200
        assert len(listings) <= 3


def test_delivery_of_many_owners_lists_the_folder_once_for_several_owners(
    server: DevServer, folder: Path, make_queue: MakeQueue, listings: list[object]
) -> None:
    """While the entries of many owners are delivered, each look takes over several owners."""
    for number in range(1, COUNT + 1):
        leave(folder, server, ["x"], owner=name_of(number))
    queue = make_queue()
    while queue.stats().delivered < COUNT:
        queue.maintain()
        queue.settle(len(queue.take(100, 1 << 20)))

    assert len(listings) <= COUNT // 4 + 2
    assert list(folder.iterdir()) == []


def test_purge_lists_the_folder_a_few_times_for_any_number_of_owners(
    server: DevServer, folder: Path, listings: list[object]
) -> None:
    """`purge` removes the files of many owners with only a few listings of the folder."""
    fill(folder, server, "too large")

    assert main(["spool", "purge", "--yes", str(folder)]) == 0
    assert len(listings) <= 3
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("is_known", [False, True], ids=["alive", "was dead before"])
def test_segment_that_an_owner_adds_after_the_listing_is_adopted(
    server: DevServer,
    folder: Path,
    make_queue: MakeQueue,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_known: bool,
) -> None:
    """If an owner adds a segment and dies after the folder was listed, the segment is adopted.

    An owner that has lost its lock and then locks its files again seems to be dead for a moment.
    """
    leave(folder, server, ["x" * 1000] * 200, owner=name_of(1))
    leave(folder, server, ["x" * 1000] * 200, owner=name_of(2))
    queue = make_queue()
    if is_known:
        assert look(queue) == 200  # there is no room for the files of the second owner
    held = lock(folder, name_of(2))
    assert look(queue) == 200
    real = os.listdir

    def list_then_add(place: Any) -> list[str]:
        monkeypatch.undo()
        names = real(place)
        (folder / f"v1.{name_of(2)}.error.000001.ndjson").write_bytes(line)
        unlock(held)
        return names

    (path,) = folder.glob(f"v1.{name_of(2)}.info.*")
    line = path.read_bytes().splitlines(keepends=True)[0]
    queue.settle(len(queue.take(1000, 1 << 20)))
    monkeypatch.setattr(os, "listdir", list_then_add)

    assert look(queue) == 401


def test_process_that_has_adopted_many_owners_adopts_no_more(
    make_queue: MakeQueue, server: DevServer, folder: Path
) -> None:
    """While the entries of eight dead owners are not sent, a look adopts no other owner."""
    queue = make_queue()
    for number in range(1, 11):
        leave(folder, server, ["x"], owner=name_of(number))

    assert [look(queue), look(queue)] == [8, 8]
