"""The format of a line in a segment and of a line in a dead-letter file.

A line of a segment is the JSON of an entry, with the number of its log call as the first member::

    {"spool_seq":17,"message":"Order placed","level":"info",...}

The number lets the worker send entries of several files in the order of their log calls. The other
bytes of the line are sent as they are.

What must stay true: each line of a file counts either as an entry or as a corrupt line.
"""

from __future__ import annotations

import json
import os
import time

from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool.folder import write_all

_OPEN = b'{"spool_seq":'
_LINE = _OPEN + b"%d,%b\n"

# A line as the reader gives it: (sequence number; encoded entry, or None if a piece has no entry;
# position of the end; neighbouring corrupt lines, which are taken and settled with the entry).
Line = tuple[int, bytes | None, int, tuple[bytes, ...]]


def line_of(sequence: int, payload: bytes | bytearray) -> bytes:
    """Return the line of an entry; `sequence` is the number of the log call of the owner."""
    return _LINE % (sequence, payload[1:])


def count_of(line: Line) -> int:
    """Return the number of lines that a `Line` has in the file, corrupt lines included."""
    _, payload, _, corrupt = line
    return len(corrupt) + (payload is not None)


def lines_in(data: bytes, begin: int, *, needs_check: bool) -> tuple[list[Line], int]:
    """Return the whole lines in a piece of a file, and the position where the last line ends.

    The piece starts at the position `begin`. `needs_check` means that each line must be parsed.
    """
    lines: list[Line] = []
    place = begin
    corrupt: list[bytes] = []
    for line in data.split(b"\n")[:-1]:
        place += len(line) + 1
        entry = _entry_in(line, needs_check=needs_check)
        if entry is None:
            corrupt.append(line)
            continue
        lines.append((*entry, place, tuple(corrupt)))
        corrupt.clear()
    if corrupt:
        sequence, payload, _, before = lines.pop() if lines else (0, None, 0, ())
        lines.append((sequence, payload, place, (*before, *corrupt)))
    return lines, place


def _entry_in(line: bytes, *, needs_check: bool) -> tuple[int, bytes] | None:
    """Return the number and the entry of a line, or None if the line is not an entry."""
    if not line.startswith(_OPEN):
        return None
    comma = line.find(b",", len(_OPEN))
    if comma < 0:
        return None
    try:
        if needs_check:
            json.loads(line)
        sequence = int(line[len(_OPEN) : comma])
    except (ValueError, RecursionError):
        return None
    if not 0 <= sequence < NEVER:  # no log call has such a number, and `NEVER` stands for "none"
        return None
    return sequence, b"{" + line[comma + 1 :]


def remove_half(descriptor: int, size: int, since: int) -> bytes:
    """Remove a half-written line of `size` bytes before the last `since` bytes of a file.

    The last `since` bytes stay in the file. If those bytes cannot be written again, they are the
    result.
    """
    end = os.fstat(descriptor).st_size - since
    os.lseek(descriptor, begin := max(0, end - size), os.SEEK_SET)
    data = os.read(descriptor, size + since)
    before, after = data[: end - begin], data[end - begin :]
    half = len(before) - before.rfind(b"\n") - 1
    if not half:
        return b""
    os.ftruncate(descriptor, end - half)
    os.lseek(descriptor, 0, os.SEEK_END)
    try:
        write_all(descriptor, after)
    except OSError:
        os.ftruncate(descriptor, end - half)
        return after
    return b""


def dead_letter_of(payload: bytes | bytearray, reason: str, words: str) -> bytes:
    """Return the dead letter of an entry that the server has rejected."""
    return b'%b,"entry":%b}\n' % (_facts(reason, words), bytes(payload))


def dead_letter_of_line(line: bytes, reason: str, words: str) -> bytes:
    """Return the dead letter of a corrupt line; a lone surrogate stands for each invalid byte."""
    text = json.dumps(line.decode("utf-8", "surrogateescape"))
    return b'%b,"line":%b}\n' % (_facts(reason, words), text.encode())


def _facts(reason: str, words: str) -> bytes:
    facts = {"reason": reason, "words": words, "at": round(time.time(), 3)}
    return json.dumps(facts, separators=(",", ":")).encode()[:-1]
