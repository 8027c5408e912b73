"""`voyage-logger spool`: show, send or remove the entries in a spool folder.

This table shows which file contains which commands:

    _listing.py    ls            _showing.py    show, export
    _replaying.py  replay        _purging.py    purge
    _terminal.py   exit codes and texts for all commands
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from voyage_logger._base.settings import SPOOL_VARIABLE, with_home
from voyage_logger._queue.spool.folder import SpoolUnusable, words_of
from voyage_logger._queue.spool.inspection import View
from voyage_logger.cli._output import flush
from voyage_logger.cli.spool import _listing, _purging, _replaying, _showing
from voyage_logger.cli.spool._terminal import FAILED, UNUSABLE, complain

if TYPE_CHECKING:
    from collections.abc import Callable

_FOLDER = "the spool folder"
_CODES = """\
exit codes:
  0  done; replay and purge: no entry or file is left to send or remove
  1  an entry or file is left, was rejected, or could not be read or written
  2  wrong usage: wrong arguments, no credentials, or no terminal for the question of purge
  3  the folder cannot be used: it does not exist, is a link, or belongs to another user
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `spool` and its subcommands to the command line."""
    parser = subparsers.add_parser(
        "spool",
        help="show, send or remove the entries in a spool folder",
        description="Show, send or remove the entries in the folder of the option `spool_dir`.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (_listing, _showing, _replaying, _purging):
        for name, help_, add_options, act in module.COMMANDS:
            command = commands.add_parser(
                name,
                help=help_,
                description=f"{help_[0].upper()}{help_[1:]}.",
                epilog=_CODES,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            _add_folder(command, name)
            add_options(command)
            command.set_defaults(run=partial(_run, act, command))


def _add_folder(command: argparse.ArgumentParser, name: str) -> None:
    if name == "purge":  # no default: a purge of the wrong folder cannot be undone
        command.add_argument("folder", type=_folder, metavar="FOLDER", help=_FOLDER)
    else:
        help_ = f"{_FOLDER} (default: {SPOOL_VARIABLE})"
        command.add_argument("folder", type=_folder, nargs="?", metavar="FOLDER", help=help_)


def _folder(text: str) -> Path:
    """Replace `~` with the home folder, like the option `spool_dir`. Not every shell does this."""
    return Path(with_home(text))


def _run(
    act: Callable[[View, argparse.Namespace], int],
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
) -> int:
    if options.folder is None:
        named = os.environ.get(SPOOL_VARIABLE, "").strip()
        if not named:
            parser.error(f"no FOLDER is given, and {SPOOL_VARIABLE} is not set")
        options.folder = _folder(named)
    try:
        return _act(act, options)
    except SpoolUnusable as error:
        complain(f"{options.folder}: {error}")
        return UNUSABLE
    except OSError as error:
        complain(f"{options.folder}: {words_of(error)}")
        return FAILED


def _act(act: Callable[[View, argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Open the folder and run the command. Print a message for each unreadable file."""
    view = View(options.folder)
    code = act(view, options)
    flush()
    for trouble in view.troubles:
        complain(trouble)
    return max(code, FAILED) if view.troubles else code
