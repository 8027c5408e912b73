"""Runs Python programs in separate processes. A program can exchange lines with its test."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from voyage_logger.devserver import DevServer

SHUTDOWN = 5.0  # Seconds that loggers get at exit; with a working server, less time is enough.
BRIEF = 0.4  # Seconds that loggers get at exit if no server answers.
SLACK = 4.0  # Seconds by which an exit on a busy machine can exceed its limit.
TIME_LIMIT = 60.0  # Seconds for one program, or for one line from a program.

# Python 3.12 and later warn if a process that has threads forks.
FORKING = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")

# These variables turn coverage off in a child process. With coverage, a signal handler that waits
# for another thread would hang in a lock. Other users cannot write the files of coverage.
UNMEASURED = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

# This code moves the clock of the time limits forward by one hour.
AN_HOUR_LATER = (
    "from voyage_logger._delivery import exit_and_fork, pipeline; "
    "clock = exit_and_fork.monotonic; "
    "exit_and_fork.monotonic = pipeline.monotonic = lambda: clock() + 3600"
)

_TIME = r"(hooks until )?\d+\.\d+"
_PRELUDE = """\
import atexit, os, signal, sys, threading, time
atexit.register(lambda: os.write({control}, b"hooks until %r\\n" % time.monotonic()))
import voyage_logger
from voyage_logger import VoyageLogger, flush_on_sigterm

def ending(): os.write({control}, b"%r\\n" % time.monotonic())
def say(text): os.write({control}, f"{{text}}\\n".encode())

shutdown = {shutdown}
logger = VoyageLogger("app", shutdown_timeout=shutdown, flush_interval=600)
"""


class Child:
    """A Python process that exchanges lines with a test, through stdin and stdout.

    Args:
        arguments: The arguments of the interpreter, such as "-c" and a program.
        environ: Environment variables in addition to the variables of the test.
        cwd: The folder in which the process starts (default: the folder of the test).
        pass_fds: File descriptors that the process inherits.
        closed_stderr: Start the process without stderr, as the parent of a daemon does.
    """

    def __init__(
        self,
        *arguments: object,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Collection[int] = (),
        closed_stderr: bool = False,
    ) -> None:
        without_stderr = ["sh", "-c", 'exec "$@" 2>&-', "sh"] if closed_stderr else []
        self.process = subprocess.Popen(
            [*without_stderr, sys.executable, *map(str, arguments)],
            env={**os.environ, **(environ or {})},
            cwd=cwd,
            pass_fds=pass_fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def hears(self) -> str:
        """Return the next line on stdout, or "" if the process has ended."""
        assert self.process.stdout is not None
        # This loop reads single bytes. Later lines stay in the pipe, so that `end` can read them.
        descriptor, line = self.process.stdout.fileno(), b""
        while not line.endswith(b"\n"):
            is_said, _, _ = select.select([descriptor], [], [], TIME_LIMIT)
            assert is_said, f"nothing but {line!r} for {TIME_LIMIT} s"
            if not (character := os.read(descriptor, 1)):
                break
            line += character
        return line.decode().rstrip("\n")

    def tell(self, words: str = "") -> None:
        """Write a line to the stdin of the process."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Write an empty line to stdin, and return the next line of the process."""
        self.tell()
        return self.hears()

    def signal(self, number: int) -> None:
        """Send a signal to the process and its children."""
        os.killpg(self.process.pid, number)

    def kill(self) -> list[str]:
        """Kill the process and its children, and return the lines that `hears` has not read."""
        self.signal(signal.SIGKILL)
        return self.end()[0]

    def end(self) -> tuple[list[str], str]:
        """Wait for the end of the process. Return the unread lines and the text on stderr."""
        out, err = self.process.communicate(timeout=TIME_LIMIT)
        return out.splitlines(), err

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.process.communicate()


def python(
    *arguments: object,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = TIME_LIMIT,
) -> subprocess.CompletedProcess[str]:
    """Run Python with the arguments of `Child`, until it ends or the time limit is reached."""
    with Child(*arguments, environ=environ, cwd=cwd) as child:
        out, err = child.process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(child.process.args, child.process.returncode, out, err)


@dataclass(frozen=True)
class Done:
    """The results of a program that has ended.

    Attributes:
        code: The exit status, as `subprocess` returns it.
        out, err: The text on stdout and on stderr.
        said: The lines that the program wrote with `say`.
        exit_seconds: Seconds from the call of `ending` to the end of the process, or -1.
        hook_seconds: Seconds from the call of `ending` to the end of the exit hooks, or -1.
    """

    code: int
    out: str
    err: str
    said: tuple[str, ...]
    exit_seconds: float
    hook_seconds: float

    @property
    def losses(self) -> list[str]:
        """Return the lines about lost entries on stderr, without the text about the last attempt.

        This text is left out, because it is missing if the exit interrupts the last attempt.
        """
        lines = [line for line in self.err.splitlines() if re.search(r"\blost\b", line)]
        return [line.partition("; the last attempt: ")[0] for line in lines]


def run(
    server: DevServer,
    code: str,
    *,
    flags: Sequence[str] = ("-W", "error"),
    environ: Mapping[str, str] | None = None,
    shutdown: float = SHUTDOWN,
    closed_stderr: bool = False,
    meanwhile: Callable[[subprocess.Popen[str]], object] = lambda _: None,
) -> Done:
    """Run code that logs with `logger` in a separate process, and measure its exit.

    The code calls `ending()` before its exit begins. Therefore the measured time does not include
    the start of the process, which is slow on a busy machine.

    Args:
        server: The server whose environment variables the process gets.
        code: The program. A prelude makes `logger` before the program begins.
        flags: Arguments of the interpreter.
        environ: Environment variables that replace the variables of the server.
        shutdown: The logger's `shutdown_timeout`, in seconds.
        closed_stderr: Start the process without stderr, as the parent of a daemon does.
        meanwhile: This function is called with the process as soon as the process runs.
    """
    reading, control = os.pipe()
    program = _PRELUDE.format(control=control, shutdown=shutdown) + textwrap.dedent(code)
    with _read_in_a_thread(reading) as lines:
        try:
            child = Child(
                *flags,
                "-c",
                program,
                environ={**server.environ, **(environ or {})},
                pass_fds=[control],
                closed_stderr=closed_stderr,
            )
        finally:
            os.close(control)
        with child:
            meanwhile(child.process)
            out, err = child.process.communicate(timeout=TIME_LIMIT)
            ended_at = time.monotonic()
    return _done(child.process.returncode, out, err, lines, ended_at)


@contextlib.contextmanager
def _read_in_a_thread(descriptor: int) -> Iterator[list[str]]:
    """Read a pipe in a thread, because a full pipe would stop the program that writes."""
    lines: list[str] = []

    def read() -> None:
        with os.fdopen(descriptor) as pipe:
            lines.extend(pipe.read().splitlines())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield lines
    finally:
        reader.join()


def _done(code: int, out: str, err: str, lines: list[str], ended_at: float) -> Done:
    times = [line for line in lines if re.fullmatch(_TIME, line)]
    begin = max([float(line) for line in times if line[0].isdigit()], default=0.0)
    hooks_until = max([float(line.split()[-1]) for line in times if line[0] == "h"], default=0.0)
    return Done(
        code=code,
        out=out,
        err=err,
        said=tuple(line for line in lines if line not in times),
        exit_seconds=ended_at - begin if begin else -1.0,
        hook_seconds=hooks_until - begin if begin and hooks_until else -1.0,
    )


def once_more_if_slow(run_once: Callable[[], Done], limit: float) -> Done:
    """Run a program, and run it a second time if its exit took too long.

    A busy machine can delay one run. If the time limit does not work, both runs take too long.
    """
    done = run_once()
    return done if done.exit_seconds < limit else run_once()


def run_script(
    server: DevServer, path: str | os.PathLike[str], *arguments: str, flags: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program from a file, because child processes cannot import a program from a string."""
    return python(*flags, path, *arguments, environ=server.environ)


def messages(server: DevServer) -> list[str]:
    """Return the messages of the server's entries, in the order of their arrival."""
    return [entry["message"] for entry in server.entries()]


def lost(stderr: str) -> list[int]:
    """Return the number of lost entries from each line about lost entries."""
    return [int(line.split()[1]) for line in stderr.splitlines() if " lost (" in line]
