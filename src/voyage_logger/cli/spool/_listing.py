"""`voyage-logger spool ls` lists the owners (loggers) in a folder, and counts their entries."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voyage_logger._base.printable import printable
from voyage_logger.cli._output import say
from voyage_logger.cli.spool._terminal import DONE, age_of, counted, running, size_of

if TYPE_CHECKING:
    import argparse

    from voyage_logger._queue.spool.inspection import Owner, View

_HEAD = ("OWNER", "STATE", "PID", "STARTED", "ENTRIES", "SIZE", "AGE", "DEAD LETTERS", "SENDS TO")

_MOST_NAMES = 5  # The largest number of names that are printed for each kind of unexpected file.


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


@dataclass(frozen=True, slots=True)
class _Row:
    owner: Owner
    pending: Counter[str]  # The number of entries in each lane.
    unreadable: int  # The number of unreadable lines.
    letters: Counter[str]  # The number of dead letters for each reason.


def _list(view: View, options: argparse.Namespace) -> int:
    rows = [_row(view, owner) for owner in view.owners()]
    newer, foreign = view.odd_names()
    if options.json:
        facts = {
            "folder": str(options.folder),
            "owners": [_facts(row) for row in rows],
            "newer_files": newer,
            "foreign_files": foreign,
            "troubles": view.troubles,
        }
        say(json.dumps(facts, indent=2))
        return DONE
    _print_table(rows)
    _print_names(newer, "a file of a newer version of this package, left alone")
    _print_names(foreign, "not a file of a spool, left alone")
    return DONE


def _print_names(names: list[str], what: str) -> None:
    for name in names[:_MOST_NAMES]:
        say(f"{printable(name)}: {what}")
    if len(names) > _MOST_NAMES:
        say(f"and {counted(len(names) - _MOST_NAMES, 'other')}: {what}")


def _row(view: View, owner: Owner) -> _Row:
    pending, unreadable = view.count(owner)
    letters = Counter(letter.reason for letter in view.dead_letters(owner))
    return _Row(owner, pending, unreadable, letters)


def _facts(row: _Row) -> dict[str, object]:
    owner = row.owner
    return {
        "owner": owner.name,
        "state": owner.state,
        "has_lock": owner.has_lock,
        "pid": owner.pid,
        "adopted_by": owner.adopted_by,
        "started": owner.started,
        "destination": owner.destination,
        "entries": row.pending.total(),
        "pending": dict(row.pending),
        "unreadable_lines": row.unreadable,
        "bytes": owner.size,
        "oldest_seconds": owner.age(),
        "dead_letters": dict(row.letters),
    }


def _print_table(rows: list[_Row]) -> None:
    if not rows:
        say("The folder has no entries.")
        return
    table = [_HEAD, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        say("  ".join(padded).rstrip())
    entries = sum(row.pending.total() for row in rows)
    letters = sum(row.letters.total() for row in rows)
    say()
    say(
        f"{counted(len(rows), 'owner')} ({running(row.owner for row in rows)}), "
        f"{counted(entries, 'entry')}, {counted(letters, 'dead letter')}"
    )


def _cells(row: _Row) -> tuple[str, ...]:
    owner = row.owner
    entries = _tally(row.pending)
    if row.unreadable:
        entries += f" (and {counted(row.unreadable, 'unreadable line')})"
    is_bare = owner.parts and not owner.has_lock
    state = owner.state + (", no lock file" if is_bare else "")
    pid = owner.pid if owner.adopted_by is None else owner.adopted_by
    return (
        owner.name,
        state,
        "-" if pid is None else str(pid),
        printable(owner.started or "-"),
        entries,
        size_of(owner.size),
        age_of(owner.age()),
        _tally(row.letters) if row.letters else "-",
        printable(owner.destination or "-"),
    )


def _tally(counts: Counter[str]) -> str:
    """Return the total and each count as text, for example `3 (info 2, error 1)`."""
    if not counts:
        return "0"
    parts = ", ".join(f"{printable(name)} {count}" for name, count in counts.items())
    return f"{counts.total()} ({parts})"


COMMANDS = (
    ("ls", "list the owners of entries: state, sizes, ages, dead letters", _add_options, _list),
)
