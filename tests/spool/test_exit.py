"""At exit, a process with a spool waits for a slow server, but not for a dead server."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import messages
from tests.support.spooling import Child, leave, lines
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import INFO
from voyage_logger._queue.spool import SpoolQueue, SpoolSettings
from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# At exit, these tests wait only 0.1 seconds for a server that might be dead. `SLOW` is longer.
PATIENCE = "    voyage_logger._delivery.pipeline._DURABLE_PATIENCE = 0.1\n"
SLOW = 0.6
SOON = 15  # seconds; the limit of an exit is 60 seconds, and the limit of a request is 30 seconds
SHORT = (
    PATIENCE
    + """\
    import atexit
    logger = logger_on(folder, shutdown_timeout=60, timeout=(30, 30))
    atexit.register(lambda: say(time.monotonic() - began))
    logger.info(sys.argv[2])
    began = time.monotonic()
"""
)
# `verify()` waits for the first answer of the server, so this answer comes before the exit.
SLOWLY = SHORT.replace("    logger.info", "    logger.verify()\n    logger.info")


def test_exit_waits_for_the_answer_of_a_slow_server(server: DevServer, folder: Path) -> None:
    """A short process waits for a slow server, and delivers each entry once."""
    leave(folder, server, ["left"])
    server.script(*[Fault(delay=SLOW)] * 10)
    with Child(server, folder, SLOWLY, "own") as child:
        _, words = child.end()

    assert words == ""
    assert sorted(messages(server)) == ["left", "own"]
    assert server.duplicates() == {}
    assert list(folder.iterdir()) == []


@pytest.mark.soak
def test_short_processes_deliver_a_backlog_to_a_slow_server(
    server: DevServer, folder: Path
) -> None:
    """Several short processes deliver a backlog in parts, and no entry is sent twice."""
    for number in range(3):
        leave(
            folder,
            server,
            [f"left {number}-{count}" for count in range(100)],
            owner=f"000000000{number}-7-00000007",
        )
    server.script(*[Fault(delay=SLOW)] * 40)
    runs = 0
    while list(folder.iterdir()):
        with Child(server, folder, SLOWLY, f"own {runs}") as child:
            assert child.end()[1] == ""
        runs += 1
        assert f"own {runs - 1}" in messages(server)
        assert runs <= 6
    assert server.count() == 300 + runs
    assert server.duplicates() == {}


def test_close_with_a_timeout_waits_that_long(server: DevServer, folder: Path) -> None:
    """`close(timeout=...)` waits up to its timeout for a server that has not answered yet."""
    server.script_sign_in(Fault(delay=SLOW))
    code = (
        PATIENCE
        + """\
    logger = logger_on(folder)
    logger.info("own")
    say(logger.close(timeout=30).pending)
    """
    )
    with Child(server, folder, code) as child:
        assert child.end() == (["0"], "")
    assert messages(server) == ["own"]


@pytest.fixture(params=["refusing", "silent", "unresolvable"])
def dead_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the URL of a server that never answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if request.param == "silent":  # connections succeed, but no program answers
            taken.listen(64)
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        yield (
            "http://voyage-logger.invalid" if request.param == "unresolvable" else f"http://{where}"
        )


def test_exit_does_not_wait_for_a_dead_server(
    server: DevServer, folder: Path, dead_url: str
) -> None:
    """If the server is dead, the process ends quickly, and its entries stay in the folder."""
    code = SHORT.replace("logger_on(folder, ", f"logger_on(folder, base_url={dead_url!r}, ")
    with Child(server, folder, code, "own") as child:
        (seconds,), words = child.end()

    assert float(seconds) < SOON
    assert "lost" not in words
    assert lines(folder) == 1


def test_exit_does_not_wait_for_a_server_that_stopped_working(
    server: DevServer, folder: Path
) -> None:
    """If the server's last answer was an error, the exit does not wait for the server."""
    tried_again = "    while logger.stats().requests < 2: logger.flush(timeout=0.1)\n"
    code = SLOWLY.replace("    began = ", f"{tried_again}    began = ")
    server.script(Fault(status=503), *[Fault(hang=True)] * 10)
    with Child(server, folder, code, "own") as child:
        (seconds,), words = child.end()

    assert float(seconds) < SOON
    assert "lost" not in words
    assert lines(folder) == 1


def test_exit_sends_own_entries_with_every_second_request(server: DevServer, folder: Path) -> None:
    """At the end of a process, every second request carries the process's own entries."""
    leave(folder, server, [f"{number}" for number in range(100)])
    spool = SpoolSettings(folder, 1 << 28, None, server.url)
    queue = SpoolQueue(1000, 1 << 20, spool, Diagnostics())
    queue.maintain()
    assert queue.stats().adopted == 100

    def turns(count: int) -> list[bool]:
        """Return a list: True for each request that carries this process's entries, else False."""
        own = []
        for _ in range(count):
            queue.append(b'{"message":"own"}', INFO)
            batch = queue.take(2, 1 << 20)
            own.append("own" in [json.loads(payload)["message"] for *_, payload in batch])
            queue.settle(len(batch))
        return own

    assert turns(4) == [False, False, False, True]
    queue.is_ending = True
    assert turns(4) == [False, True, False, True]
    queue.close("closed")


HOOK = """\
    import atexit, pathlib
    logger = logger_on(folder, shutdown_timeout=60)
    def log_on():
        for number in range(20): logger.info("late")
        say(len(list(pathlib.Path(folder).glob("*.lock"))))
    atexit.register(log_on)  # runs after the logger's own hook
    logger.info("first")
"""


def test_entries_of_an_exit_hook_share_a_file(server: DevServer, folder: Path) -> None:
    """One file holds all entries that exit hooks log, because the file stays open until the end."""
    server.refuse_connections()
    with Child(server, folder, HOOK) as child:
        assert child.end() == (["1"], "")
    assert lines(folder) == 21
