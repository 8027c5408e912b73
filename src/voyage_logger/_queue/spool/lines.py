"""What a line is, of a segment and of a dead-letter file.

A segment's is the entry's JSON with one more member in front, the place of its log call::

    {"spool_seq":17,"message":"Order placed","level":"info",...}

so that entries of several files can be sent in the order of their calls. The rest of the line is,
to the byte, what is sent.

What must stay true: whatever is in a file, each of its lines is an entry or corrupt, and counted.
"""

from __future__ import annotations

import json
import os
import time

from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool.folder import write_all

_OPEN = b'{"spool_seq":'
_LINE = _OPEN + b"%d,%b\n"

# (sequence number; encoded entry, or None if no line of a piece is one; where it ends; the corrupt
# lines next to it, which count with it)
Line = tuple[int, bytes | None, int, tuple[bytes, ...]]


def line_of(sequence: int, payload: bytes | bytearray) -> bytes:
    """The line of an entry.

    Args:
        sequence: The place of its log call among those of its owner.
        payload: The encoded entry, a JSON object with one member at least.
    """
    return _LINE % (sequence, payload[1:])


def count_of(line: Line) -> int:
    """How many lines of the file that is."""
    _, payload, _, corrupt = line
    return len(corrupt) + (payload is not None)


def lines_in(data: bytes, begin: int, *, needs_check: bool) -> tuple[list[Line], int]:
    """The whole lines of a piece of a file, and where they end.

    Args:
        data: The piece.
        begin: Where in the file it begins.
        needs_check: Whether each line has to be looked at closely.
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
    """A line's number and entry; None if it was torn, made by others, or changed by hand."""
    if not line.startswith(_OPEN):
        return None
    comma = line.find(b",", len(_OPEN))
    if comma < 0:
        return None
    try:
        if needs_check and type(json.loads(line)) is not dict:
            return None
        sequence = int(line[len(_OPEN) : comma])
    except (ValueError, RecursionError):
        return None
    if not 0 <= sequence < NEVER:  # as no log call has it, and beyond all that is compared with it
        return None
    return sequence, b"{" + line[comma + 1 :]


def remove_half(descriptor: int, size: int, since: int) -> bytes:
    """Removes a part of a line before the last `since` bytes of a file, if there is one.

    Args:
        descriptor: The file, open to be read and written.
        size: The bytes of the line, which are more than the part has.
        since: How many bytes come after it, which stay.

    Returns:
        Those bytes, if they have no place there any more.

    Raises:
        OSError: The file cannot be changed.
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
    """The dead letter of an entry that the server has rejected."""
    return b'%b,"entry":%b}\n' % (_facts(reason, words), bytes(payload))


def dead_letter_of_line(line: bytes, reason: str, words: str) -> bytes:
    """The dead letter of a line that is no entry; what is not UTF-8 is a lone surrogate there."""
    text = json.dumps(line.decode("utf-8", "surrogateescape"))
    return b'%b,"line":%b}\n' % (_facts(reason, words), text.encode())


def _facts(reason: str, words: str) -> bytes:
    facts = {"reason": reason, "words": words, "at": round(time.time(), 3)}
    return json.dumps(facts, separators=(",", ":")).encode()[:-1]
