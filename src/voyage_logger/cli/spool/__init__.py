"""`voyage-logger spool`: a look at a spool's folder, and what a person may do with it.

_listing.py   ls            _showing.py   show, export
_replaying.py replay        _purging.py   purge
_terminal.py  what they share: exit codes, lines for people
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from voyage_logger._base.settings import SPOOL_VARIABLE
from voyage_logger._queue.spool.folder import SpoolUnusable, words_of
from voyage_logger._queue.spool.inspection import View
from voyage_logger.cli.spool import _listing, _purging, _replaying, _showing
from voyage_logger.cli.spool._terminal import FAILED, UNUSABLE, complain

if TYPE_CHECKING:
    from collections.abc import Callable

_FOLDER = "the spool's folder"
_CODES = """\
exit codes:
  0  done; after replay and purge: nothing is left of what they were to send or remove
  1  something is left, was refused, or could not be read or written
  2  wrong usage: arguments, missing credentials, or no terminal for purge to ask at
  3  the folder cannot be used: it is not there, a link, or another user's
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "spool",
        help="look at the entries that are kept on the disk, send or remove them",
        description="Looks at a folder given as `spool_dir`, and sends or removes what is in it.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (_listing, _showing, _replaying, _purging):
        for name, help_, options, act in module.COMMANDS:
            command = commands.add_parser(
                name,
                help=help_,
                description=f"{help_[0].upper()}{help_[1:]}.",
                epilog=_CODES,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            if name == "purge":  # what is not to be had back is named each time
                command.add_argument("folder", type=Path, metavar="FOLDER", help=_FOLDER)
            else:
                help_folder = f"{_FOLDER} (default: {SPOOL_VARIABLE})"
                command.add_argument(
                    "folder", type=Path, nargs="?", metavar="FOLDER", help=help_folder
                )
            options(command)
            command.set_defaults(run=_runner(act, command))


def _runner(
    act: Callable[[View, argparse.Namespace], int], parser: argparse.ArgumentParser
) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        """Opens the folder, runs the command, and says what went wrong in a line."""
        if options.folder is None:
            named = os.environ.get(SPOOL_VARIABLE, "").strip()
            if not named:
                parser.error(f"no FOLDER is given, and {SPOOL_VARIABLE} is not set")
            options.folder = Path(named)
        try:
            view = View(options.folder)
        except SpoolUnusable as error:
            complain(f"{options.folder}: {error}")
            return UNUSABLE
        try:
            code = act(view, options)
            sys.stdout.flush()
        except BrokenPipeError:  # who read the lines has gone, as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except SpoolUnusable as error:
            complain(f"{options.folder}: {error}")
            return UNUSABLE
        except OSError as error:
            complain(f"{options.folder}: {words_of(error)}")
            return FAILED
        for trouble in view.troubles:
            complain(trouble)
        return max(code, FAILED) if view.troubles else code

    return run
