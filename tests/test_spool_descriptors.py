"""The spool's descriptors: each is closed once, by whom it belongs to, and lost to no fork."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from voyage_logger._levels import INFO
from voyage_logger.spool._folder import Folder
from voyage_logger.spool._names import lock_name
from voyage_logger.spool._stream import Stream

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OWNER = "0000000007-7-00000007"


def test_a_stream_that_is_closed_while_it_is_closed_closes_each_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that was closed may be another file's: it is not closed a second time."""
    folder = Folder(tmp_path)
    lock = folder.lock(lock_name(OWNER), is_new=True)
    assert lock is not None
    stream = Stream(folder, OWNER, lock)
    segment = stream.open_segment(INFO)
    segment.write(b'{"spool_seq":1,"m":1}\n', 1, 0.0)
    segment.settle(segment.size, 1)
    stream.note_sent([segment])
    assert stream.bury([b"{}\n"], 1000) == 0
    close, closed = os.close, []

    def closing(descriptor: int) -> None:
        close(descriptor)
        closed.append(descriptor)
        stream.close()  # as a signal handler would

    monkeypatch.setattr(os, "close", closing)
    stream.close()
    monkeypatch.undo()

    assert len(closed) == 4  # the segment, the journal, the dead letters, the lock
    assert lock in closed
