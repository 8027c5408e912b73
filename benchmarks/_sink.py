"""Starts the process of the sink, and sends commands to the sink."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import _stored

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent


class Sink:
    """A local server that stores all requests. The file sink.c explains the commands.

    Attributes:
        kind: The language of the sink.
        quiet: If no data arrives for this number of seconds, the client has sent all its data.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path, kind: str) -> None:
        self._process = process
        self._dump = folder / "dump"
        self.kind = kind
        self.quiet = 0.3
        self.port = int(self._answer())
        self.url = f"http://127.0.0.1:{self.port}"

    def reset(self, delay_ms: float = 0) -> None:
        """Delete the stored requests, and answer each request after `delay_ms`."""
        self._order(f"reset {delay_ms}")

    def heal(self, delay_ms: float = 0) -> None:
        """From now on, answer all requests."""
        self._order(f"heal {delay_ms}")

    def swallow(self) -> None:
        """From now on, receive requests, but do not answer them."""
        self._order("swallow")

    def drop_new(self) -> None:
        """Close the port, so that the sink refuses connections."""
        self._order("refuse")

    def count(self) -> tuple[int, int]:
        """Return the numbers of requests and bytes since the last reset."""
        requests, size = self._order("count").split()
        return int(requests), int(size)

    def settle(self, more: float = 0.0, limit: float = 10.0) -> None:
        """Wait until no data has arrived for `quiet` plus `more` seconds."""
        end = time.monotonic() + limit
        seen, since = self.count(), time.monotonic()
        while time.monotonic() - since < self.quiet + more and time.monotonic() < end:
            time.sleep(0.02)
            if (now := self.count()) != seen:
                seen, since = now, time.monotonic()

    def stored(self) -> _stored.Stored:
        """Return all data that has arrived since the last reset."""
        self._order(f"dump {self._dump}")
        return _stored.read(self._dump)

    def _order(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the sink has ended")
        return line.strip()


@contextmanager
def running(*, in_python: bool = False) -> Iterator[Sink]:
    """Run the sink in C, or the sink in Python if there is no C compiler."""
    with tempfile.TemporaryDirectory(prefix="bench-sink-") as name:
        folder = Path(name)
        command = None if in_python else _compiled(folder)
        kind = "Python" if command is None else "C"
        with subprocess.Popen(
            command or [sys.executable, str(_HERE / "_python_sink.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield Sink(process, folder, kind)
            finally:
                process.kill()


def _compiled(folder: Path) -> list[str] | None:
    """Return the command of the sink in C, or None if the sink cannot be built."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":  # sink.c uses epoll
        return None
    program = folder / "sink"
    built = subprocess.run(
        [compiler, "-O2", "-o", str(program), str(_HERE / "sink.c")],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        print(
            f"sink.c cannot be built, the sink in Python takes over:\n{built.stderr}",
            file=sys.stderr,
        )
        return None
    return [str(program)]
