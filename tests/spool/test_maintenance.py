"""Tests of the command `voyage-logger spool` on a folder that other processes use."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.spooling import leave
from voyage_logger._queue.spool.file_names import lock_name
from voyage_logger._queue.spool.folder import Folder, SpoolUnusable, unlock
from voyage_logger._queue.spool.inspection import View
from voyage_logger._queue.spool.maintenance import redirect, remove, requeue_dead_letters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voyage_logger.devserver import DevServer

OWNER = "0000000007-7-00000007"
DEAD = f"v1.{OWNER}.dead.ndjson"
LETTER = b'{"reason":"HTTP 400","words":"no","at":1,"entry":{"level":"info","message":"a"}}\n'
ELSEWHERE = "https://elsewhere.example"


@pytest.fixture
def segment(server: DevServer, folder: Path) -> Path:
    """Make files of a dead owner, with one entry and one dead letter; return the segment."""
    path = leave(folder, server, ["a"])
    (folder / DEAD).write_bytes(LETTER)
    return path


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock the lock file of the owner, as a running process does."""
    lock = Folder(folder).lock(lock_name(OWNER))
    assert lock is not None
    yield
    unlock(lock)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_of_a_running_process_are_not_changed(folder: Path, segment: Path) -> None:
    """If a process takes over files after they were listed, the command does not change them."""
    before = content(folder)
    with held(folder):
        assert redirect(Folder(folder), OWNER, ELSEWHERE) is False
        assert requeue_dead_letters(Folder(folder), OWNER, ELSEWHERE) == 0
        assert remove(Folder(folder), OWNER, names_in(folder), only_dead_letters=False) is None
    assert content(folder) == before


def test_process_without_its_lock_file_counts_as_running(folder: Path, segment: Path) -> None:
    """If a process has lost its lock file, the command does not change its files."""
    owner = f"0000000007-{os.getpid()}-00000007"
    (folder / lock_name(OWNER)).unlink()
    segment.rename(folder / segment.name.replace(OWNER, owner))
    before = content(folder)

    assert remove(Folder(folder), owner, names_in(folder), only_dead_letters=False) is None
    assert redirect(Folder(folder), owner, ELSEWHERE) is False
    assert content(folder) == before


def test_unreadable_dead_letters_stay(folder: Path, segment: Path) -> None:
    """If no entry of a dead-letter file can be read, the file does not change."""
    (folder / DEAD).write_bytes(b"garbage\n")
    before = content(folder)

    assert requeue_dead_letters(Folder(folder), OWNER, ELSEWHERE) == 0
    assert content(folder) == before


def test_removed_dead_letters_are_not_counted(folder: Path, segment: Path) -> None:
    """If another process has removed the dead letters, the command does not count them."""
    (folder / DEAD).unlink()

    removed = remove(Folder(folder), OWNER, names_in(folder), only_dead_letters=True)

    assert removed is not None
    assert (removed.files, removed.size, removed.left) == (0, 0, ())
    assert segment.exists()


def test_dead_letters_stay_if_they_cannot_be_written_to_segments(
    folder: Path, segment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk is full, the dead letters stay, and the command leaves no new file."""
    before = content(folder)
    open_file = os.open

    def full(name: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT and ".info." in str(name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open_file(name, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space"):
        requeue_dead_letters(Folder(folder), OWNER, ELSEWHERE)

    assert content(folder) == before


def test_dead_letters_stay_if_another_process_takes_the_new_lock(
    folder: Path, segment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another process locks the command's new lock file first, the dead letters stay."""
    flock, others = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name != lock_name(OWNER):
            others.append(os.open(path, os.O_RDWR))
            flock(others[-1], operation)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(SpoolUnusable, match="another process"):
        requeue_dead_letters(Folder(folder), OWNER, ELSEWHERE)

    assert (folder / DEAD).read_bytes() == LETTER
    assert len(list(folder.glob("*.info.*"))) == 1
    os.close(*others)


def test_files_that_vanish_during_a_view_are_no_trouble(folder: Path, segment: Path) -> None:
    """If files vanish while the command shows the folder, the command shows the other files."""
    view = View(folder)
    (owner,) = view.owners()
    segment.unlink()
    (folder / DEAD).unlink()

    assert list(view.pending(owner)) == []
    assert list(view.dead_letters(owner)) == []
    assert view.troubles == []


def test_segment_that_vanishes_after_the_listing_is_left_out(
    folder: Path, segment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a segment vanishes after the listing, its owner is shown without this segment."""
    list_folder = os.listdir

    def list_then_remove(where: Any) -> list[str]:
        names = list_folder(where)
        segment.unlink()
        return names

    view = View(folder)
    monkeypatch.setattr(os, "listdir", list_then_remove)
    (owner,) = view.owners()

    assert (owner.name, owner.parts, view.troubles) == (OWNER, (), [])


def test_dead_letter_that_a_person_has_changed_has_no_entry(folder: Path, segment: Path) -> None:
    """If a person has changed the JSON of a dead letter, the dead letter is shown as unreadable."""
    facts = {**json.loads(LETTER), "note": "seen by a person"}
    line = json.dumps(facts, separators=(",", ":")).encode() + b"\n"
    (folder / DEAD).write_bytes(line)
    view = View(folder)
    (owner,) = view.owners()
    (letter,) = view.dead_letters(owner)

    assert (letter.reason, letter.entry, letter.line) == ("unreadable", None, line)


def test_made_up_name_of_an_owner_is_shown(folder: Path, segment: Path) -> None:
    """An owner is shown even if the time and the process id in its name are impossible."""
    (folder / lock_name(OWNER)).unlink()
    made_up = f"{'9' * 20}-{'9' * 30}-00000007"
    segment.rename(folder / segment.name.replace(OWNER, made_up))
    view = View(folder)
    owner = {each.name: each for each in view.owners()}[made_up]

    assert (owner.pid, owner.started) == (None, None)
    assert owner.is_alive  # this process runs, so the command does not change its files
