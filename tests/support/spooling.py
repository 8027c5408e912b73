"""Processes that log into a spool, for the tests that kill them."""

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

_TIME_LIMIT = 60  # seconds, for a line

PRELUDE = """\
    import errno, json, os, random, signal, sys, threading, time
    import voyage_logger
    from voyage_logger import VoyageLogger
    from voyage_logger._queue.spool import segments

    def logger_on(folder, **settings):
        return VoyageLogger("app", spool_dir=folder, **{"flush_interval": 600, **settings})

    def say(words):
        os.write(1, f"{words}\\n".encode())

    def look(logger):
        queue = logger._pipeline.queue
        queue._segments.look_at = 0.0
        queue.maintain()

    def import_all():
        # Python itself may be out of reach for another user.
        logger = VoyageLogger("app")
        logger.verify()
        logger.close()

    folder = sys.argv[1]
"""


class Child:
    """A process that runs code, says lines on its stdout and takes lines on its stdin.

    Args:
        server: Where its loggers send.
        folder: Their spool, `folder` in the code.
        code: What it runs, after `PRELUDE`.
        arguments: `sys.argv[2:]`.
    """

    def __init__(self, server: DevServer, folder: Path, code: str, *arguments: object) -> None:
        program = textwrap.dedent(PRELUDE) + textwrap.dedent(code)
        environ = {**os.environ, **server.environ}
        if "seteuid" in code:  # another user may not write what coverage measures
            environ.update(UNMEASURED)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, str(folder), *map(str, arguments)],
            env=environ,
            bufsize=0,  # else `end` would not see what `hears` has read ahead
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def hears(self) -> str:
        """The next line that it says; empty once it has ended."""
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
        """The line that it says to an empty one."""
        self.tell()
        return self.hears()

    def tell(self, words: str = "") -> None:
        """Has it read a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n".encode())
        self.process.stdin.flush()

    def signal(self, number: int) -> None:
        """Sends a signal to it and to its children."""
        os.killpg(self.process.pid, number)

    def kill(self) -> list[str]:
        """Kills it, its children too, and gives the lines that it had said."""
        self.signal(signal.SIGKILL)
        return self.end()[0]

    def end(self) -> tuple[list[str], str]:
        """Waits for its end; gives the lines that nobody had heard, and its stderr."""
        out, err = self.process.communicate(timeout=_TIME_LIMIT)
        return out.decode().splitlines(), err.decode()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.process.communicate()


def lines(folder: Path) -> int:
    """How many entries the folder's segments hold, sent ones included."""
    return sum(
        path.read_bytes().count(b"\n")
        for path in folder.glob("v1.*.ndjson")
        if ".dead." not in path.name
    )


def messages(server: DevServer) -> list[Any]:
    return [entry["message"] for entry in server.entries()]


def look(logger: VoyageLogger) -> None:
    """Has a logger of this process look after its folder now."""
    queue = logger._pipeline.queue
    queue._segments.look_at = 0.0  # type: ignore[attr-defined]
    queue.maintain()


def slow_down(
    monkeypatch: pytest.MonkeyPatch,
    released: threading.Event,
    reading: threading.Event,
    *,
    seconds: float,
) -> None:
    """Has the worker's first read, once it is `reading`, take so long, or until it is released."""
    read = os.read

    def slow(descriptor: int, count: int) -> bytes:
        if threading.current_thread().name == "voyage-logger" and not released.is_set():
            reading.set()
            released.wait(seconds)
            released.set()
        return read(descriptor, count)

    monkeypatch.setattr(os, "read", slow)


def assert_law(stats: Stats) -> None:
    """Accepted is delivered, rejected, dropped and pending; and the reasons add up."""
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
    """Leaves what a dead process would, as the documented format has it.

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
    # Last and at once: somebody who looks meanwhile is not to find half of it.
    facts = {"pid": 7, "started": "", "destination": destination or server.url}
    lock = folder.parent / f"{owner}.being-made"
    lock.write_text(json.dumps(facts) + "\n")
    lock.replace(folder / f"v1.{owner}.lock")
    return path
