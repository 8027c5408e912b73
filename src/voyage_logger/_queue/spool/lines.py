"""The line formats of segments and dead-letter files.

A segment is a file of entries that will be sent. A dead-letter file keeps rejected entries and
corrupt lines. Each line of a segment is one entry as a JSON object. The first member of this object
is the sequence number of the log call::

    {"spool_seq":17,"message":"Order placed","level":"info",...}

The worker sorts the entries of several files by sequence number, and sends the entries in the order
of their log calls. The sequence number is not sent. The other members are sent unchanged.

What must stay true: each complete line counts either as an entry or as a corrupt line.
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
# The corrupt lines come directly before or after the entry, and are settled together with the
# entry. If a `Line` has only corrupt lines and no entry, the encoded entry is None.
Line = tuple[int, bytes | None, int, tuple[bytes, ...]]


def line_of(sequence: int, payload: bytes | bytearray) -> bytes:
    """Return an entry as a line of a segment. `sequence` is the log call's sequence number."""
    return _LINE % (sequence, payload[1:])


def count_of(line: Line) -> int:
    """Return how many lines of the file a `Line` contains, including corrupt lines."""
    _, payload, _, corrupt = line
    return len(corrupt) + (payload is not None)


def lines_in(data: bytes, begin: int, *, needs_check: bool) -> tuple[list[Line], int]:
    """Return the complete lines in `data`, and the file position after the last complete line.

    `begin` is the file position of the first byte in `data`. If `needs_check` is true, each line is
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
    if not 0 <= sequence < NEVER:  # the line is corrupt if its sequence number is out of range
        return None
    return sequence, b"{" + line[comma + 1 :]


def remove_half(descriptor: int, size: int, since: int) -> bytes:
    """Remove an incomplete line from a file. `since` is the number of bytes after this line.

    The complete line would have `size` bytes. The function first removes the incomplete line and
    all bytes after this line. Then the function writes the last `since` bytes again. If this write
    fails, the function returns the lost bytes. Otherwise the function returns `b""`.
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
    """Return a rejected entry as a dead letter: a line of the dead-letter file."""
    return b'%b,"entry":%b}\n' % (_facts(reason, words), bytes(payload))


def dead_letter_of_line(line: bytes, reason: str, words: str) -> bytes:
    """Return a corrupt line as a dead letter. Bytes that are not valid UTF-8 become surrogates."""
    text = json.dumps(line.decode("utf-8", "surrogateescape"))
    return b'%b,"line":%b}\n' % (_facts(reason, words), text.encode())


def _facts(reason: str, words: str) -> bytes:
    facts = {"reason": reason, "words": words, "at": round(time.time(), 3)}
    return json.dumps(facts, separators=(",", ":")).encode()[:-1]
