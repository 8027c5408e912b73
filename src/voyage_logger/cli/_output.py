"""Functions that write to stdout and stderr, for all commands.

What must stay true: if stdout or stderr is closed, full, or read by a program that has ended, no
command prints a traceback. If stdout fails, the command ends. If stderr fails, the command
continues, because its messages on stderr are not its result.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from voyage_logger._base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_FAILED = 1


class OutputFailed(Exception):  # noqa: N818 - the end of the reader is not an error
    """Raised if a command cannot write to stdout. It is not an OSError, which can have any cause.

    Attributes:
        reason: The reason in words, or "" if the program that reads the output has ended.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _ClosedOutput(io.TextIOBase):
    """Replaces stdout if stdout is closed. Python then sets `sys.stdout` to None."""

    def write(self, _text: str) -> int:
        raise OutputFailed("it is closed")


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Replace the missing ones of stdin, stdout and stderr.

    For each missing stream, open the null device. Otherwise the descriptor of the stream would go
    to the next socket or file, and a message of a C library could be written into the file.
    """
    missing = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    with contextlib.ExitStack() as stack:
        for name in missing:
            mode = "r" if name == "stdin" else "w"
            null = stack.enter_context(open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123 - not a path of the user
            setattr(sys, name, _ClosedOutput() if name == "stdout" else null)
            stack.callback(setattr, sys, name, None)
        yield


def has_output() -> bool:
    """Return False if stdout was closed before the command started."""
    return not isinstance(sys.stdout, _ClosedOutput)


def say(line: str = "", file: TextIO | None = None, end: str = "\n") -> None:
    """Print a line. If the text comes from an entry or a file, the caller must escape the text.

    Raises:
        OutputFailed: The line cannot be written to stdout.
    """
    file = file or sys.stdout
    try:
        print(encodable(line, file), end=end, file=file)
        if file is sys.stderr:  # a line without its end stays in the buffer
            file.flush()
    except OSError as error:
        if file is not sys.stderr:
            raise _failed(error) from error
        _discard(file)


def flush() -> None:
    """Write the buffered lines to stdout.

    Raises:
        OutputFailed: The lines cannot be written.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _failed(error) from error


def complain(command: str, line: str) -> None:
    """Escape control characters in an error message of a command, and print it to stderr."""
    say(f"{command}: {printable(line)}", sys.stderr)


def abandon(failed: OutputFailed) -> int:
    """Stop writing to stdout, print the reason, and return the exit code."""
    _discard(sys.stdout)
    if not failed.reason:  # `head` has enough lines
        return 0
    complain("voyage-logger", f"cannot write to standard output: {failed.reason}")
    return _FAILED


def encodable(text: str, file: TextIO) -> str:
    """Escape all characters that the encoding of `file` cannot represent."""
    encoding = file.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _discard(stream: TextIO) -> None:
    """Send what is left in the buffer of a stream, and all later lines, to the null device.

    At the end of the process, Python writes the buffers. If this failed, the exit code would
    be 120.
    """
    with contextlib.suppress(OSError):  # an object that replaces the stream may have no descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, stream.fileno())
        finally:
            os.close(null)


def _failed(error: OSError) -> OutputFailed:
    return OutputFailed("" if isinstance(error, BrokenPipeError) else error.strerror or str(error))
