"""The command line: `voyage-logger dev`, `voyage-logger demo` and `voyage-logger spool`.

Each command is a module with `add_parser`, which sets `run`; a command's exit code is what its
`run` returns. 2 stands for wrong usage, as argparse has it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from voyage_logger._entry.json_codecs import dumps, quick_dumps
from voyage_logger._version import __version__
from voyage_logger.cli import _demo, _dev, spool

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: The command's words; default: those of the process.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="voyage-logger",
        description="Tools around the logging client for the Voyage AI Logs API.",
    )
    version = f"voyage-logger {__version__} ({_encoder()})"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _demo.add_parser(commands)
    _dev.add_parser(commands)
    spool.add_parser(commands)
    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code


def _encoder() -> str:
    """Whether log calls are encoded by orjson, which is to be seen nowhere else."""
    if quick_dumps is dumps:
        return "without orjson"
    import orjson  # noqa: PLC0415 - optional

    return f"orjson {orjson.__version__}"
