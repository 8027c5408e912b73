"""Tests of `voyage-logger dev`, which runs in another process."""

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

MAIN = "import sys; from voyage_logger.cli import main; sys.exit(main())"
SECONDS = 20


class Dev:
    """A process that runs `voyage-logger dev`, and the lines that it printed at the start."""

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
        # If the server's stdout is closed, the server might end before it answers.
        with contextlib.suppress(ConnectionError):
            assert connection.getresponse().status == 200
        connection.close()

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.child.end()
        return self.process.returncode, errors


@pytest.fixture
def started() -> Iterator[list[Dev]]:
    """Yield a list. After the test, all processes in the list are killed."""
    started: list[Dev] = []
    yield started
    for dev in started:
        with dev.child:
            dev.process.kill()


def entry(message: str, level: str = "info", app_name: str = "shop") -> dict[str, Any]:
    return {"message": message, "level": level, "app_name": app_name, "environment": "e"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_runs_until_a_signal(started: list[Dev], number: signal.Signals) -> None:
    """`dev` prints each received entry as a line, and ends with exit code 0 after a signal."""
    dev = Dev()
    started.append(dev)
    dev.send(entry("one"), entry("two", "critical"))
    assert dev.line() == "info     shop one"
    assert dev.line() == "critical shop two"
    dev.send(entry("three"))
    assert dev.line() == "info     shop three"
    assert dev.end(number) == (0, "")


def test_dev_prints_the_address_of_the_entries(started: list[Dev]) -> None:
    """A browser that opens the printed URL gets the entries as JSON."""
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


def test_dev_escapes_control_characters(started: list[Dev]) -> None:
    """Control characters, newlines and bidi marks are escaped, but letters are not escaped."""
    dev = Dev()
    started.append(dev)
    dev.send(entry("a\x1b[2J\r\nb\u202ec\x9b \u00e9\u2603", app_name="x\ny"))
    assert dev.line() == "info     x\\ny a\\x1b[2J\\r\\nb\\u202ec\\x9b \u00e9\u2603"
    dev.send(entry("x" * 10_000))
    assert dev.line() == f"info     shop {'x' * 500}..."
    assert dev.end() == (0, "")


def test_dev_escapes_characters_that_the_encoding_lacks(started: list[Dev]) -> None:
    """Characters that the terminal's encoding does not have are escaped."""
    dev = Dev(PYTHONIOENCODING="ascii")
    started.append(dev)
    dev.send(entry("\u00e9\U0001f600"))
    assert dev.line() == "info     shop \\xe9\\U0001f600"
    assert dev.end() == (0, "")


def test_dev_prints_only_new_entries_of_a_file(started: list[Dev], tmp_path: Path) -> None:
    """If `dev` runs again with the same file, it prints only new entries."""
    for message in ("first run", "second run"):
        dev = Dev("--db", str(tmp_path / "entries.db"))
        started.append(dev)
        dev.send(entry(message))
        assert dev.line() == f"info     shop {message}"
        assert dev.end() == (0, "")


def test_dev_ends_quietly_if_its_reader_ends(started: list[Dev]) -> None:
    """If the reader of the output ends, as in `dev | head`, `dev` prints no traceback."""
    dev = Dev()
    started.append(dev)
    dev.process.stdout.close()  # type: ignore[union-attr]  # stdout is a pipe
    dev.send(entry("nobody reads this"))
    assert dev.process.wait(SECONDS) == 0
    assert dev.child.end()[1] == ""


def test_dev_warns_about_a_public_address(started: list[Dev]) -> None:
    """If other machines can reach the server, a warning is printed on stderr."""
    dev = Dev("--host", "0.0.0.0")  # noqa: S104 - all addresses of this machine
    started.append(dev)
    code, errors = dev.end()
    assert code == 0
    assert errors.startswith("warning: 0.0.0.0 ")


def test_dev_does_not_warn_about_localhost(started: list[Dev]) -> None:
    """If only this machine can reach the server, there is no warning."""
    dev = Dev("--host", "localhost")
    started.append(dev)
    assert dev.end() == (0, "")


def run(*arguments: str) -> tuple[int, list[str]]:
    done = python("-c", MAIN, "dev", *arguments)
    return done.returncode, done.stderr.splitlines()


def test_dev_reports_a_port_in_use_in_one_line() -> None:
    """If the port is in use, one line names the port and the reason, and the exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, lines = run("--port", port)
    assert code == 1
    (line,) = lines
    assert line.startswith(f"voyage-logger dev: cannot listen on 127.0.0.1 port {port}: ")


def test_dev_reports_a_wrong_database_in_one_line(tmp_path: Path) -> None:
    """If the database file is wrong, one line names the file and the reason."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    code, lines = run("--port", "0", "--db", str(path))
    assert code == 1
    (line,) = lines
    assert line.startswith(f"voyage-logger dev: cannot open the database {path}: ")


@pytest.mark.parametrize("port", ["x", "-1", "65536"])
def test_dev_with_a_wrong_port_is_wrong_usage(port: str) -> None:
    """If the port is not valid, the message names the range of valid ports."""
    code, lines = run(f"--port={port}")
    assert code == 2
    assert "must be from 0 to 65535" in lines[-1]
