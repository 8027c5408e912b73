"""The format of a line in a segment and of a line in a dead-letter file.

A segment is a file of entries that will be sent. A dead-letter file keeps rejected entries and
corrupt lines. A line of a segment is an entry as JSON. The first member of the JSON object is the
sequence number of the log call::

    {"spool_seq":17,"message":"Order placed","level":"info",...}

With the sequence numbers, the worker can send the entries of several files in the order of their
log calls. All other bytes of the line are sent unchanged.

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

# A `Line` is an entry from a file: (sequence number, encoded entry, end position, corrupt lines).
# The corrupt lines stand next to the entry in the file, and are settled together with the entry.
# The encoded entry is None if the data contains only corrupt lines.
Line = tuple[int, bytes | None, int, tuple[bytes, ...]]


def line_of(sequence: int, payload: bytes | bytearray) -> bytes:
    """Return the line that stores an entry. `sequence` is the number of the entry's log call."""
    return _LINE % (sequence, payload[1:])


def count_of(line: Line) -> int:
    """Return how many lines of the file a `Line` stands for, including corrupt lines."""
    _, payload, _, corrupt = line
    return len(corrupt) + (payload is not None)


def lines_in(data: bytes, begin: int, *, needs_check: bool) -> tuple[list[Line], int]:
    """Return the complete lines in `data`, and the position in the file where the last line ends.

    `data` was read from a file at the position `begin`. If `needs_check` is true, each line is
    parsed as JSON to find corrupt lines.
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
    """Return the sequence number and the entry in a line, or None if the line is corrupt."""
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
    if not 0 <= sequence < NEVER:  # the number is out of range, so the line is corrupt
        return None
    return sequence, b"{" + line[comma + 1 :]


def remove_half(descriptor: int, size: int, since: int) -> bytes:
    """Remove an incomplete line, which stands before the last `since` bytes of a file.

    The complete line would have `size` bytes. After the removal, the last `since` bytes are written
    again. If this second write fails, the function returns the lost bytes, otherwise no bytes.
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
    """Return a dead letter: the line that keeps a rejected entry in the dead-letter file."""
    return b'%b,"entry":%b}\n' % (_facts(reason, words), bytes(payload))


def dead_letter_of_line(line: bytes, reason: str, words: str) -> bytes:
    """Return the dead letter of a corrupt line. Each invalid byte becomes a surrogate."""
    text = json.dumps(line.decode("utf-8", "surrogateescape"))
    return b'%b,"line":%b}\n' % (_facts(reason, words), text.encode())


def _facts(reason: str, words: str) -> bytes:
    facts = {"reason": reason, "words": words, "at": round(time.time(), 3)}
    return json.dumps(facts, separators=(",", ":")).encode()[:-1]
