"""`voyage-logger dev`, in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import Child, python
from voyage_logger._base.wire import BATCH_PATH, SIGN_IN_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent")

MAIN = """
import argparse, sys
from voyage_logger.cli import _dev
parser = argparse.ArgumentParser()
_dev.add_parser(parser.add_subparsers(required=True))
options = parser.parse_args()
sys.exit(options.run(options))
"""
SECONDS = 20


class Dev:
    """A running `voyage-logger dev`, and what it printed about itself."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        program = ["-W", "error", "-c", MAIN, "dev", "--port", "0", *arguments]
        self.child = Child(*program, environ={"PYTHONIOENCODING": "utf-8", **environ})
        self.process = self.child.process
        self.line = self.child.hears
        self.head = head = [self.line() for _ in range(8)]
        self.variables = dict(
            line.removeprefix("export ").split("=", 1) for line in head if "export" in line
        )

    def send(self, *entries: dict[str, Any]) -> None:
        address = self.variables["VOYAGE_LOGS_URL"].removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=SECONDS)
        keys = {
            "x-api-key": self.variables["VOYAGE_LOGS_KEY"],
            "x-api-secret": self.variables["VOYAGE_LOGS_SECRET"],
        }
        connection.request("POST", SIGN_IN_PATH, headers=keys)
        token = json.loads(connection.getresponse().read())["data"][0]["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", BATCH_PATH, json.dumps({"logs": entries}).encode(), headers)
        # A server whose reader has gone may end before it has answered.
        with contextlib.suppress(ConnectionError):
            assert connection.getresponse().status == 200
        connection.close()

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.child.end()
        return self.process.returncode, errors


@pytest.fixture
def started() -> Iterator[list[Dev]]:
    """Whatever a failed test leaves running is ended."""
    started: list[Dev] = []
    yield started
    for dev in started:
        with dev.child:
            dev.process.kill()


def entry(message: str, level: str = "info", app_name: str = "shop") -> dict[str, Any]:
    return {"message": message, "level": level, "app_name": app_name, "environment": "e"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_runs_until_a_signal(started: list[Dev], number: signal.Signals) -> None:
    """The printed variables work at once, each entry is a line, and a signal is a good end."""
    dev = Dev()
    started.append(dev)
    dev.send(entry("one"), entry("two", "critical"))
    assert dev.line() == "info     shop one"
    assert dev.line() == "critical shop two"
    dev.send(entry("three"))
    assert dev.line() == "info     shop three"
    assert dev.end(number) == (0, "")


def test_says_where_to_look_at_the_entries(started: list[Dev]) -> None:
    """In a browser, too: the address of a page of them is printed."""
    dev = Dev()
    started.append(dev)
    dev.send(entry("one"))
    url = dev.variables["VOYAGE_LOGS_URL"]
    (address,) = [line.split()[-1] for line in dev.head if line.startswith("Entries as JSON: ")]
    assert address.startswith(f"{url}/")
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=SECONDS)
    connection.request("GET", address.removeprefix(url))
    found = json.loads(connection.getresponse().read())["entries"]
    connection.close()
    assert [row["entry"]["message"] for row in found] == ["one"]


def test_entries_cannot_move_the_cursor(started: list[Dev]) -> None:
    """Control characters, newlines and writing directions are escaped, letters are not."""
    dev = Dev()
    started.append(dev)
    dev.send(entry("a\x1b[2J\r\nb\u202ec\x9b \u00e9\u2603", app_name="x\ny"))
    assert dev.line() == "info     x\\ny a\\x1b[2J\\r\\nb\\u202ec\\x9b \u00e9\u2603"
    dev.send(entry("x" * 10_000))
    assert dev.line() == f"info     shop {'x' * 500}..."
    assert dev.end() == (0, "")


def test_any_terminal_will_do(started: list[Dev]) -> None:
    """What the terminal's encoding lacks is escaped."""
    dev = Dev(PYTHONIOENCODING="ascii")
    started.append(dev)
    dev.send(entry("\u00e9\U0001f600"))
    assert dev.line() == "info     shop \\xe9\\U0001f600"
    assert dev.end() == (0, "")


def test_file_keeps_entries_and_old_ones_are_no_news(started: list[Dev], tmp_path: Path) -> None:
    """The second run on a file prints only what is new."""
    for message in ("first run", "second run"):
        dev = Dev("--db", str(tmp_path / "entries.db"))
        started.append(dev)
        dev.send(entry(message))
        assert dev.line() == f"info     shop {message}"
        assert dev.end() == (0, "")


def test_reader_may_go(started: list[Dev]) -> None:
    """`voyage-logger dev | head` ends without a traceback."""
    dev = Dev()
    started.append(dev)
    dev.process.stdout.close()  # type: ignore[union-attr]  # it is a pipe
    dev.send(entry("nobody reads this"))
    assert dev.process.wait(SECONDS) == 0
    assert dev.child.end()[1] == ""


def test_other_hosts_are_warned_about(started: list[Dev]) -> None:
    """Who opens the server to the network is told so."""
    dev = Dev("--host", "0.0.0.0")  # noqa: S104 - what is tested
    started.append(dev)
    code, errors = dev.end()
    assert code == 0
    assert errors.startswith("warning: 0.0.0.0 ")


def run(*arguments: str) -> tuple[int, list[str]]:
    done = python("-c", MAIN, "dev", *arguments)
    return done.returncode, done.stderr.splitlines()


def test_port_in_use_is_one_line() -> None:
    """No traceback: the port and the reason, and the exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, lines = run("--port", port)
    assert code == 1
    (line,) = lines
    assert line.startswith(f"voyage-logger dev: cannot listen on 127.0.0.1 port {port}: ")


def test_bad_database_is_one_line(tmp_path: Path) -> None:
    """The same for a file that is something else."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    code, lines = run("--port", "0", "--db", str(path))
    assert code == 1
    (line,) = lines
    assert line.startswith(f"voyage-logger dev: cannot open the database {path}: ")


@pytest.mark.parametrize("port", ["x", "-1", "65536"])
def test_wrong_port_is_wrong_usage(port: str) -> None:
    """The message names the rule."""
    code, lines = run(f"--port={port}")
    assert code == 2
    assert "must be from 0 to 65535" in lines[-1]
