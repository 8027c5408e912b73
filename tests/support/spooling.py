"""Processes that log into a spool, for tests that kill these processes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

from tests.support.processes import UNMEASURED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest

    from voyage_logger import Stats, VoyageLogger
    from voyage_logger.devserver import DevServer

_TIME_LIMIT = 60  # seconds to wait for a line

PRELUDE = """\
    import errno, json, os, random, signal, sys, threading, time
    import voyage_logger
    from voyage_logger import VoyageLogger
    from voyage_logger._queue.spool import writer

    def logger_on(folder, **settings):
        return VoyageLogger("app", spool_dir=folder, **{"flush_interval": 600, **settings})

    def say(words):
        os.write(1, f"{words}\\n".encode())

    def look(logger):
        queue = logger._pipeline.queue
        queue._maintain_at = 0.0
        queue.maintain()

    def import_all():
        # Another user may have no right to read the modules of Python.
        logger = VoyageLogger("app")
        logger.verify()
        logger.close()

    folder = sys.argv[1]
"""


class Child:
    """A process that runs code, prints lines to stdout and reads lines from stdin.

    Args:
        server: The server of the process's loggers.
        folder: The spool of these loggers; the code knows the path as `folder`.
        code: The code that runs after `PRELUDE`.
        arguments: The values of `sys.argv[2:]`.
    """

    def __init__(self, server: DevServer, folder: Path, code: str, *arguments: object) -> None:
        program = textwrap.dedent(PRELUDE) + textwrap.dedent(code)
        environ = {**os.environ, **server.environ}
        if "seteuid" in code:  # another user may not write the files of coverage
            environ.update(UNMEASURED)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, str(folder), *map(str, arguments)],
            env=environ,
            bufsize=0,  # a buffer would hide lines from `end`
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def hears(self) -> str:
        """Return the next line that the process prints; empty once the process has ended."""
        assert self.process.stdout is not None
        descriptor, line = self.process.stdout.fileno(), b""
        while not line.endswith(b"\n"):
            is_said, _, _ = select.select([descriptor], [], [], _TIME_LIMIT)
            assert is_said, f"nothing but {line!r} for {_TIME_LIMIT} s"
            if not (character := os.read(descriptor, 1)):
                break
            line += character
        return line.decode().strip()

    def answer(self) -> str:
        """Send an empty line, and return the line that the process prints next."""
        self.tell()
        return self.hears()

    def tell(self, words: str = "") -> None:
        """Send a line to the process."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n".encode())
        self.process.stdin.flush()

    def signal(self, number: int) -> None:
        """Send a signal to the process and its children."""
        os.killpg(self.process.pid, number)

    def kill(self) -> list[str]:
        """Kill the process and its children; return the lines that were not read yet."""
        self.signal(signal.SIGKILL)
        return self.end()[0]

    def end(self) -> tuple[list[str], str]:
        """Wait for the end; return the lines that were not read yet, and stderr."""
        out, err = self.process.communicate(timeout=_TIME_LIMIT)
        return out.decode().splitlines(), err.decode()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.process.communicate()


def lines(folder: Path) -> int:
    """Return the number of entries in the folder's segments, sent entries included."""
    return sum(
        path.read_bytes().count(b"\n")
        for path in folder.glob("v1.*.ndjson")
        if ".dead." not in path.name
    )


def messages(server: DevServer) -> list[Any]:
    return [entry["message"] for entry in server.entries()]


def look(logger: VoyageLogger) -> None:
    """Run the maintenance of a logger's spool now, in this thread."""
    queue = logger._pipeline.queue
    queue._maintain_at = 0.0  # type: ignore[attr-defined]
    queue.maintain()


def slow_down(
    monkeypatch: pytest.MonkeyPatch,
    released: threading.Event,
    reading: threading.Event,
    *,
    seconds: float,
) -> None:
    """Delay the worker's first read by so many seconds, or until `released` is set."""
    read = os.read

    def slow(descriptor: int, count: int) -> bytes:
        if threading.current_thread().name == "voyage-logger" and not released.is_set():
            reading.set()
            released.wait(seconds)
            released.set()
        return read(descriptor, count)

    monkeypatch.setattr(os, "read", slow)


def assert_law(stats: Stats) -> None:
    """Accepted is delivered, rejected, dropped and pending; the reasons add up, too."""
    assert stats.accepted == stats.delivered + stats.rejected + stats.dropped + stats.pending
    assert stats.rejected == sum(stats.rejected_by.values())
    assert stats.dropped == sum(stats.dropped_by.values())


def leave(
    folder: Path,
    server: DevServer,
    texts: Iterable[str],
    *,
    tail: bytes = b"",
    lane: str = "info",
    number: int = 1,
    sent: int | None = None,
    destination: str | None = None,
    owner: str = "0000000007-7-00000007",
) -> Path:
    """Make the files that a dead process leaves, in the documented format.

    Returns:
        The segment.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"v1.{owner}.{lane}.{number:06d}.ndjson"
    entries = [
        {
            "spool_seq": count,
            "message": text,
            "level": lane,
            "app_name": "app",
            "environment": "production",
            "meta_data": {"log_id": f"{owner}-{lane}-{number}-{count}"},
        }
        for count, text in enumerate(texts, 1)
    ]
    lines = [json.dumps(entry, separators=(",", ":")).encode() + b"\n" for entry in entries]
    path.write_bytes(b"".join(lines) + tail)
    if sent is not None:
        note = {"segment": path.name, "sent": sent}
        (folder / f"v1.{owner}.sent").write_text(json.dumps(note) + "\n")
    # The lock file comes last and complete, because a running process may see it at once.
    facts = {"pid": 7, "started": "", "destination": destination or server.url}
    lock = folder.parent / f"{owner}.being-made"
    lock.write_text(json.dumps(facts) + "\n")
    lock.replace(folder / f"v1.{owner}.lock")
    return path
