"""`voyage-logger spool purge` asks for confirmation, and then removes the files of dead owners."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from voyage_logger._queue.spool.file_names import files_by_owner
from voyage_logger._queue.spool.folder import Folder, words_of
from voyage_logger._queue.spool.maintenance import remove
from voyage_logger.cli._output import say
from voyage_logger.cli.spool._terminal import (
    DONE,
    FAILED,
    WRONG_USAGE,
    complain,
    counted,
    running,
    size_of,
)

if TYPE_CHECKING:
    import argparse

    from voyage_logger._queue.spool.inspection import Owner, View


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dead-letters", action="store_true", help="remove only dead letters")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _purge(view: View, options: argparse.Namespace) -> int:
    owners = view.owners()
    alive = [owner for owner in owners if owner.is_alive]
    dead = [owner for owner in owners if not owner.is_alive]
    chosen = [owner for owner in dead if owner.has_dead_letters or not options.dead_letters]
    if alive:
        say(f"{counted(len(alive), 'owner')} ({running(alive)}): left alone", sys.stderr)
    if not chosen:
        say("There is nothing to remove.")
        return DONE
    if not options.yes:
        if not sys.stdin.isatty():
            complain("standard input is not a terminal: use --yes to remove without a question")
            return WRONG_USAGE
        if not _is_agreed(_summary(view, chosen, only_dead_letters=options.dead_letters)):
            say("Nothing was removed.")
            return FAILED
    return _remove(options, chosen)


def _summary(view: View, owners: list[Owner], *, only_dead_letters: bool) -> str:
    entries = sum(view.count(owner)[0].total() for owner in owners)
    letters = sum(1 for owner in owners for _ in view.dead_letters(owner))
    what = [] if only_dead_letters else [counted(entries, "pending entry")]
    what.append(counted(letters, "dead letter"))
    return f"{' and '.join(what)} of {counted(len(owners), 'dead owner')}"


def _is_agreed(summary: str) -> bool:
    say(f"Remove {summary} for good? [y/N] ", sys.stderr, end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _remove(options: argparse.Namespace, owners: list[Owner]) -> int:
    folder = Folder(options.folder)
    names = files_by_owner(folder.names())
    files = size = 0
    problems = []
    for owner in owners:
        try:
            mine = names.get(owner.name, [])
            removed = remove(folder, owner.name, mine, only_dead_letters=options.dead_letters)
        except OSError as error:
            problems.append(f"the files of {owner.name} cannot be removed: {words_of(error)}")
            continue
        if removed is None:
            problems.append(f"{owner.name}: a running process has just taken over its files")
            continue
        problems += [f"{name} cannot be removed: {words_of(why)}" for name, why in removed.left]
        files += removed.files
        size += removed.size
    for problem in problems:
        complain(problem)
    say(f"Removed {counted(files, 'file')}, {size_of(size)}.")
    return FAILED if problems else DONE


COMMANDS = (("purge", "remove the files of dead owners, after a question", _add_options, _purge),)
