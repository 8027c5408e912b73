"""Makes spool folders for the tests of `voyage-logger spool`, and runs the command."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import resource
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from tests.support import processes
from tests.support.loggers import until
from tests.support.processes import python
from voyage_logger import VoyageLogger
from voyage_logger.cli import main
from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AWAY = "http://127.0.0.1:9"  # no program listens on the port "discard"


def log(logger: VoyageLogger, messages: tuple[str, ...]) -> None:
    """Log messages such as "info one": the first word is the level."""
    for message in messages:
        logger.log(message.partition(" ")[0], message)


def leave(folder: Path, *messages: str, base_url: str = AWAY) -> str:
    """Write entries of a dead owner to the folder, and return the owner's name."""
    before = set(owners(folder))
    threads = set(threading.enumerate())
    logger = VoyageLogger(
        "app",
        spool_dir=folder,
        base_url=base_url,
        api_key="k",
        api_secret="s",
        flush_interval=600,
    )
    log(logger, messages)
    logger.close(timeout=0)
    (owner,) = set(owners(folder)) - before
    until(lambda: set(threading.enumerate()) <= threads)  # the worker closes its files a bit later
    return owner


def owners(folder: Path) -> list[str]:
    return sorted(path.name[3:-5] for path in folder.glob("v1.*.lock"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def spool(*words: object) -> int:
    return main(["spool", *map(str, words)])


def reject(server: DevServer, folder: Path, *messages: str) -> None:
    """Write dead letters to the folder: entries that the server has rejected."""
    for message in messages:
        server.script(Fault(status=422, body=json.dumps({"detail": "no \x1b[2J such"})))
        logger = VoyageLogger(
            "app",
            spool_dir=folder,
            base_url=server.url,
            api_key=server.api_key,
            api_secret=server.api_secret,
            batch_size=1,
        )
        log(logger, (message,))
        logger.flush()
        assert logger.stats().rejected == 1
        logger.close()


def letters(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(folder.glob("v1.*.dead.ndjson"))
        for line in path.read_text().splitlines()
    ]


def spoil(folder: Path) -> Path:
    """Replace the segment of the level info with a folder, so that it cannot be read."""
    (path,) = folder.glob("*.info.*")
    path.unlink()
    path.mkdir()
    return path


def rename(folder: Path, owner: str, *, with_lock: bool) -> None:
    """Rename the files of an owner, so that they seem to belong to another dead process."""
    ended = python("-c", "import os; print(os.getpid())")
    began, _, token = owner.split("-")
    other = f"{began}-{int(ended.stdout)}-{token}"
    for path in folder.glob(f"v1.{owner}.*"):
        path.rename(folder / path.name.replace(owner, other))
    if not with_lock:
        (folder / f"v1.{other}.lock").unlink()


def run(*words: str) -> processes.Child:
    return processes.Child("-W", "error", "-m", "voyage_logger", "spool", *words)


def at_terminal(
    *words: str, answer: str = "", meanwhile: Callable[[], object] = lambda: None
) -> tuple[int, str]:
    """Run a command in a terminal, and return its exit code and its output.

    Args:
        words: The arguments after `voyage-logger spool`.
        answer: The answer to the question of `purge`.
        meanwhile: A function that is called before the answer is sent.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "voyage_logger", "spool", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # reading from a closed terminal raises an error
        while data := os.read(ours, 4096):
            shown += data
            if shown.endswith(b"[y/N] "):
                meanwhile()
                os.write(ours, f"{answer}\n".encode())
    os.close(ours)
    return process.wait(30), shown.decode()


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Limit the size of the files that this process writes. The limit acts like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
