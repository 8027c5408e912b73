"""`voyage-logger spool show` prints entries. `spool export` writes entries to a file or stdout."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voyage_logger._base.levels import DEBUG, INFO, LEVELS, rank_of
from voyage_logger._base.printable import printable
from voyage_logger._entry.readable_line import readable
from voyage_logger._queue.spool.file_names import dead_name
from voyage_logger._queue.spool.folder import FILE_MODE, words_of
from voyage_logger._queue.spool.os_locks import BINARY
from voyage_logger.cli._output import encodable, say
from voyage_logger.cli.spool._terminal import DONE, FAILED, complain, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voyage_logger._queue.spool.inspection import View

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY


def _add_show_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dead-letters", action="store_true", help="show the entries that the server has rejected"
    )
    parser.add_argument(
        "--level", type=_level, default=DEBUG, help=f"the lowest level: {', '.join(LEVELS)}"
    )
    parser.add_argument("--limit", type=_limit, help="the most entries to show (default: all)")
    parser.add_argument("--json", action="store_true", help="print NDJSON, with one entry a line")


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="a new file (default: standard output)"
    )


def _show(view: View, options: argparse.Namespace) -> int:
    source = _dead(view) if options.dead_letters else _pending(view)
    chosen = (found for found in source if not found[0] or _rank(found[0]) >= options.level)
    for entry, facts in islice(chosen, options.limit):
        if options.json:
            whole = {**facts, "entry": entry} if facts and entry else facts or entry
            say(json.dumps(whole, ensure_ascii=True))
            continue
        if facts:
            say(_rejection(facts))
        text = readable(entry, is_dated=True) if entry else f"    {printable(facts['line'])}"
        for line in text.splitlines():
            say(line)
    return DONE


def _pending(view: View) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for entry in _entries(view):
        yield json.loads(entry), {}


def _entries(view: View) -> Iterator[bytes]:
    """Yield all pending entries. Add a message about unreadable lines to `view.troubles`."""
    for owner in view.owners():
        corrupt = 0
        for *_, entry in view.pending(owner):
            if entry is None:
                corrupt += 1
            else:
                yield entry
        _note_left_out(view, corrupt, owner.name)


def _dead(view: View) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each dead letter as its entry and its facts. For corrupt lines, the entry is empty."""
    for owner in view.owners():
        unreadable = 0
        for letter in view.dead_letters(owner):
            facts = {"reason": letter.reason, "words": letter.words, "at": letter.at}
            if letter.entry is not None:
                yield json.loads(letter.entry), facts
            elif letter.corrupt is not None:
                yield {}, {**facts, "line": letter.corrupt}
            else:
                unreadable += 1
        _note_left_out(view, unreadable, dead_name(owner.name))


def _note_left_out(view: View, lines: int, what: str) -> None:
    if lines:
        view.troubles.append(f"{counted(lines, 'line')} of {what} cannot be read: left out")


def _rejection(facts: dict[str, Any]) -> str:
    when = ""
    if facts["at"] is not None:
        # If `at` is too large for a date, do not print a date.
        with contextlib.suppress(ValueError, OverflowError, OSError):
            when = time.strftime(" at %Y-%m-%dT%H:%M:%SZ", time.gmtime(facts["at"]))
    reason, words = facts["reason"], facts["words"]
    # If the error text begins with the reason (an HTTP status), do not print the reason twice.
    told = words if words.startswith(reason) else f"{reason}: {words}".removesuffix(": ")
    what = "left out" if "line" in facts else "rejected"
    return f"-- {what}{when}, {printable(told)}"


def _export(view: View, options: argparse.Namespace) -> int:
    if options.output is None:
        for entry in _entries(view):
            say(_as_text(entry))
        return DONE
    try:
        with os.fdopen(os.open(options.output, _NEW_FILE, FILE_MODE), "wb") as file:
            count = 0
            for count, entry in enumerate(_entries(view), 1):  # noqa: B007 - the last message prints `count`
                file.write(entry + b"\n")
    except OSError as error:
        complain(f"{options.output}: {words_of(error)}")
        return FAILED
    say(f"{counted(count, 'entry')} written to {printable(str(options.output))}", sys.stderr)
    return DONE


def _as_text(entry: bytes) -> str:
    """Return an entry as JSON. Escape characters that could control a terminal."""
    text = entry.decode("utf-8", "backslashreplace")
    is_harmless = text.isprintable() and encodable(text, sys.stdout) == text
    return text if is_harmless else json.dumps(json.loads(entry), separators=(",", ":"))


def _rank(entry: dict[str, Any]) -> int:
    rank = rank_of(entry.get("level"))
    return INFO if rank is None else rank


def _level(text: str) -> int:
    rank = rank_of(text)
    if rank is None:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(LEVELS)}, not {text!r}")
    return rank


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}")
    return int(text)


COMMANDS = (
    ("show", "print the pending entries, in order", _add_show_options, _show),
    ("export", "write the pending entries as NDJSON", _add_export_options, _export),
)
