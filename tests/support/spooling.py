"""Processes that log to a spool. Tests can kill these processes."""

from __future__ import annotations

import json
import os
import textwrap
import threading
from typing import TYPE_CHECKING

from tests.support import processes
from tests.support.processes import UNMEASURED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest

    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer

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
        queue._failure.look_at = 0.0
        queue.maintain()

    def import_all():
        # Another user may have no right to read the modules of Python.
        logger = VoyageLogger("app")
        logger.verify()
        logger.close()

    folder = sys.argv[1]
"""


class Child(processes.Child):
    """A process that logs to a spool, and exchanges lines with the test.

    Args:
        server: The server to which the loggers of the process send entries.
        folder: The folder of the spool. In the code, the variable `folder` holds its path.
        code: The program of the process, which runs after `PRELUDE`.
        arguments: More arguments for the program, in `sys.argv[2:]`.
    """

    def __init__(self, server: DevServer, folder: Path, code: str, *arguments: object) -> None:
        program = textwrap.dedent(PRELUDE) + textwrap.dedent(code)
        # A program that changes its user cannot write the files of coverage.
        unmeasured = UNMEASURED if "seteuid" in code else {}
        environ = {**server.environ, **unmeasured}
        super().__init__("-W", "error", "-c", program, folder, *arguments, environ=environ)


def lines(folder: Path) -> int:
    """Return the number of entries in the folder's segments, including sent entries."""
    return sum(
        path.read_bytes().count(b"\n")
        for path in folder.glob("v1.*.ndjson")
        if ".dead." not in path.name
    )


def look(logger: VoyageLogger) -> None:
    """Run the maintenance of a logger's spool immediately, in the test's thread."""
    queue = logger._pipeline.queue
    queue._failure.look_at = 0.0  # type: ignore[attr-defined]
    queue.maintain()


def slow_down(
    monkeypatch: pytest.MonkeyPatch,
    released: threading.Event,
    reading: threading.Event,
    *,
    seconds: float,
) -> None:
    """Delay the worker's first read, for some seconds or until `released` is set."""
    read = os.read

    def slow(descriptor: int, count: int) -> bytes:
        if threading.current_thread().name == "voyage-logger" and not released.is_set():
            reading.set()
            released.wait(seconds)
            released.set()
        return read(descriptor, count)

    monkeypatch.setattr(os, "read", slow)


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
    """Write the files that a dead process leaves, in the documented format.

    Returns:
        The path of the segment.
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
    # The lock file is made last and in one step: another process might lock it immediately.
    facts = {"pid": 7, "started": "", "destination": destination or server.url}
    lock = folder.parent / f"{owner}.being-made"
    lock.write_text(json.dumps(facts) + "\n")
    lock.replace(folder / f"v1.{owner}.lock")
    return path
