"""Programs that log, run in processes of their own, and what became of them.

A program says by `ending()` when its own work is over: the exit takes from there to the process's
end, both by the machine's one monotonic clock, so that a busy machine's start-up does not count. An
exit hook that runs after all others says how much of that is the hooks'.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from voyage_logger.devserver import DevServer

SHUTDOWN = 5.0  # seconds, given to the loggers; a healthy server takes a part of that
BRIEF = 0.4  # the same, where it is used up because the server is away
SLACK = 4.0  # seconds: one is promised beyond the limit, the rest is a busy machine's
TIME_LIMIT = 60.0

# Python 3.12 and later warn of a fork in a process that has threads.
FORKING = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")

# For programs that signal handlers, collected objects or another user's rights meet anywhere:
# coverage takes a lock in each traced call, in which a handler that waits for another thread hangs.
UNMEASURED = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

# A time that passes in which a program does something else: the clock of the limits is set forward.
AN_HOUR_LATER = (
    "from voyage_logger._delivery import pipeline, process; clock = process.monotonic; "
    "process.monotonic = pipeline.monotonic = lambda: clock() + 3600"
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


@dataclass(frozen=True)
class Done:
    """A program that has come to its end.

    Attributes:
        code: The exit status, as `subprocess` has it.
        out, err: What it printed.
        said: The lines given to `say`.
        exit_seconds: From `ending()` to the end of the process; -1 if it was not called.
        hook_seconds: From there to the end of the last exit hook; -1 if none was run.
    """

    code: int
    out: str
    err: str
    said: tuple[str, ...]
    exit_seconds: float
    hook_seconds: float

    @property
    def losses(self) -> list[str]:
        """The lines on stderr that tell of lost entries, without what the last attempt came to.

        Whether an attempt at the end has one is a matter of its last moment.
        """
        lines = [line for line in self.err.splitlines() if re.search(r"\blost\b", line)]
        return [line.partition("; the last attempt: ")[0] for line in lines]


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what a developer has set for the package."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("VOYAGE_")}
    return {**own, **extra}


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
    """Runs code that logs with `logger` in a process of its own, to its end.

    Args:
        server: Whose variables the process sees.
        code: The program, after a prelude that makes the logger.
        flags: Arguments of the interpreter.
        environ: Environment variables that differ.
        shutdown: The logger's `shutdown_timeout`.
        closed_stderr: Start it as a daemon's parent does.
        meanwhile: What to do as soon as the process runs.
    """
    reading, control = os.pipe()
    program = _PRELUDE.format(control=control, shutdown=shutdown) + textwrap.dedent(code)
    without_stderr = ["sh", "-c", 'exec "$@" 2>&-', "sh"] if closed_stderr else []
    lines: list[str] = []

    def listen() -> None:  # at once, for a full pipe would hold up who speaks
        with os.fdopen(reading) as said:
            lines.extend(said.read().splitlines())

    listener = threading.Thread(target=listen)
    with subprocess.Popen(
        [*without_stderr, sys.executable, *flags, "-c", program],
        env=environment({**server.environ, **(environ or {})}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[control],
        text=True,
    ) as process:
        os.close(control)
        listener.start()
        try:
            meanwhile(process)
            out, err = process.communicate(timeout=TIME_LIMIT)
        finally:
            ended_at = time.monotonic()
            process.kill()
    listener.join()
    times = [line for line in lines if re.fullmatch(_TIME, line)]
    begin = max([float(line) for line in times if line[0].isdigit()], default=0.0)
    hooks_until = max([float(line.split()[-1]) for line in times if line[0] == "h"], default=0.0)
    return Done(
        code=process.returncode,
        out=out,
        err=err,
        said=tuple(line for line in lines if line not in times),
        exit_seconds=ended_at - begin if begin else -1.0,
        hook_seconds=hooks_until - begin if begin and hooks_until else -1.0,
    )


def once_more_if_slow(run_once: Callable[[], Done], limit: float) -> Done:
    """Runs a program again if its exit took too long.

    A busy machine holds up any process, now and then; a limit that is not kept shows each time.
    """
    done = run_once()
    return done if done.exit_seconds < limit else run_once()


def run_script(
    server: DevServer, path: str | os.PathLike[str], *arguments: str, flags: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs a file, for children that import the module they were started from."""
    return subprocess.run(
        [sys.executable, *flags, os.fspath(path), *arguments],
        env=environment(server.environ),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


def messages(server: DevServer) -> list[str]:
    return [entry["message"] for entry in server.entries()]
