"""The command line: `voyage-logger dev`, `voyage-logger demo` and `voyage-logger spool`.

This room may import all other rooms. No other room imports `cli`. Each command has a function that
returns the exit code. You can read the files in any order.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from voyage_logger._entry.json_codecs import dumps, quick_dumps
from voyage_logger._version import __version__
from voyage_logger.cli import _demo, _dev, spool
from voyage_logger.cli._output import OutputFailed, abandon, flush, standard_streams

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130  # The exit code that shells give to a program that Ctrl-C has ended.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments` (default: `sys.argv[1:]`), and return the exit code."""
    with standard_streams():
        try:
            return _run(arguments)
        except OutputFailed as failed:
            return abandon(failed)
        except KeyboardInterrupt:
            return _INTERRUPTED


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(arguments)
        code: int = options.run(options)
        return code
    finally:
        # Without this call, Python would write the last lines after the end of `main`, and would
        # print an error if it cannot write them.
        flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="voyage-logger", description="Tools for the logging client of the Voyage AI Logs API."
    )
    version = f"voyage-logger {__version__} ({_encoder()})"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _demo.add_parser(commands)
    _dev.add_parser(commands)
    spool.add_parser(commands)
    return parser


def _encoder() -> str:
    """Return "orjson" and its version, or "without orjson" if log calls do not use orjson."""
    if quick_dumps is dumps:
        return "without orjson"
    import orjson  # noqa: PLC0415 - orjson is optional

    return f"orjson {orjson.__version__}"
