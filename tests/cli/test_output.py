"""Tests of all commands with a stdout or stderr that is closed, full, or no longer read."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.spooling import leave, spoil
from tests.devserver.client import KEYS
from tests.support.loggers import until
from tests.support.processes import TIME_LIMIT, Child
from voyage_logger._base.wire import BATCH_PATH, SIGN_IN_PATH
from voyage_logger.cli._output import has_output, standard_streams
from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell redirects the output")

ENTRY = {"message": "hello", "level": "info", "app_name": "app", "environment": "test"}
FULL = "cannot write to standard output: No space left on device"
CLOSED = "cannot write to standard output: it is closed"
HAS_FULL = Path("/dev/full").exists()
needs_full = pytest.mark.skipif(not HAS_FULL, reason="there is no /dev/full")


def start(
    redirections: str, *words: object, stdout: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start a command with redirections in the syntax of the shell."""
    return subprocess.Popen(
        [
            *("sh", "-c", f'exec "$@" {redirections}', "sh"),
            *(sys.executable, "-W", "error", "-m", "voyage_logger", *map(str, words)),
        ],
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # most programs buffer their output
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(redirections: str, *words: object, stdout: int = subprocess.PIPE) -> tuple[int, str, str]:
    """Run a command, and return its exit code and the texts on stdout and stderr."""
    with start(redirections, *words, stdout=stdout) as process:
        try:
            out, errors = process.communicate(timeout=TIME_LIMIT)
        finally:
            process.kill()
    return process.returncode, out, errors


@pytest.fixture
def unread() -> Iterator[int]:
    """The descriptor of a pipe that no program reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_demo_ends_quietly_if_its_reader_ends(unbuffered: str) -> None:
    """If the reader of the output ends, as in `demo | head -1`, `demo` prints no traceback."""
    environ = {"PYTHONUNBUFFERED": unbuffered}
    with Child("-W", "error", "-m", "voyage_logger", "demo", environ=environ) as child:
        assert child.hears().startswith("A server of the Logs API listens on ")
        assert child.process.stdout is not None
        child.process.stdout.close()
        assert child.process.wait(TIME_LIMIT) == 0
        assert child.end()[1] == ""


@pytest.mark.parametrize("words", ["--help", "--version", "demo", "demo --json", "spool ls ."])
def test_commands_end_quietly_without_a_reader(words: str, unread: int) -> None:
    """If nobody reads the output, each command ends with exit code 0 and prints nothing."""
    code, _, errors = run("", *words.split(), stdout=unread)
    assert (code, errors) == (0, "")


@needs_full
@pytest.mark.parametrize(
    "words", ["--version", "demo", "demo --json", "spool ls .", "dev --port 0"]
)
def test_commands_end_with_a_line_if_the_disk_is_full(words: str) -> None:
    """If the output cannot be written, each command ends with a line and exit code 1."""
    assert run(">/dev/full", *words.split()) == (1, "", f"voyage-logger: {FULL}\n")


@pytest.mark.parametrize("words", ["--version", "demo", "spool ls .", "spool show ."])
def test_commands_end_with_a_line_if_stdout_is_closed(words: str, folder: Path) -> None:
    """If stdout is closed, a command that only prints ends with a line and exit code 1."""
    leave(folder, "info one")
    words = words.replace(".", str(folder)) if "spool" in words else words
    assert run(">&-", *words.split()) == (1, "", f"voyage-logger: {CLOSED}\n")


def test_replay_sends_entries_although_stdout_is_closed(
    server: DevServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If stdout is closed, `replay` sends the entries, and then ends with a line."""
    leave(folder, "info one")
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    code, _, errors = run(">&-", "spool", "replay", folder)
    assert (code, server.count()) == (1, 1)
    assert errors == f"voyage-logger: {CLOSED}\n"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_dev_serves_although_stdout_is_closed(tmp_path: Path) -> None:
    """If stdout is closed, `dev` stores entries, and no socket gets the descriptor of stdout."""
    port, database = free_port(), tmp_path / "entries.db"
    with start(">&-", "dev", "--port", port, "--db", database) as process:
        try:
            until(lambda: _listens(port))
            send(port)
            if sys.platform == "linux":
                assert Path(f"/proc/{process.pid}/fd/1").readlink() == Path(os.devnull)
            process.send_signal(signal.SIGTERM)
            assert process.communicate(timeout=TIME_LIMIT) == ("", "")
        finally:
            process.kill()
    assert process.returncode == 0
    with DevServer(db=database) as kept:
        assert kept.entries() == [ENTRY]


def send(port: int) -> None:
    """Send an entry to the server on a port of this machine."""
    address = http.client.HTTPConnection("127.0.0.1", port, timeout=TIME_LIMIT)
    with contextlib.closing(address) as connection:
        connection.request("POST", SIGN_IN_PATH, headers=KEYS)
        token = json.loads(connection.getresponse().read())["data"][0]["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", BATCH_PATH, json.dumps({"logs": [ENTRY]}).encode(), headers)
        assert connection.getresponse().status == 200


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_exit_codes_do_not_need_stderr(folder: Path) -> None:
    """If stderr is closed or full, the exit code and the output stay the same."""
    leave(folder, "info one", "error two")
    spoil(folder)
    codes = []
    redirections = ["", "2>&-", *(["2>/dev/full"] if HAS_FULL else [])]
    for redirection in redirections:
        code, out, _ = run(redirection, "spool", "export", folder)
        assert [json.loads(line)["message"] for line in out.splitlines()] == ["error two"]
        codes.append(code)
    assert set(codes) == {1}
    assert [run(each, "--nonsense")[0] for each in redirections[:2]] == [2, 2]


def test_purge_without_stdin_is_wrong_usage(folder: Path) -> None:
    """If stdin is closed, `purge` cannot ask its question, and removes nothing."""
    leave(folder, "info one")
    code, _, errors = run("<&-", "spool", "purge", folder)
    assert (code, errors.count("\n")) == (2, 1)
    assert "standard input is not a terminal" in errors


def test_streams_are_missing_again_after_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the end of a command, a stream that was missing is missing again."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with standard_streams():
        assert not has_output()
        assert sys.stdin.read() == ""
        print("nobody sees this", file=sys.stderr)
    assert (sys.stdin, sys.stdout, sys.stderr) == (None, None, None)
    monkeypatch.undo()
    with standard_streams():
        assert has_output()


INTERRUPTIBLE = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # the parent may ignore the signal
from voyage_logger.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_demo_ends_quietly_at_ctrl_c(lines: int) -> None:
    """At Ctrl-C, `demo` prints no traceback, and ends with exit code 130."""
    with Child("-W", "error", "-c", INTERRUPTIBLE, "demo") as child:
        for _ in range(lines):
            assert child.hears()
        child.process.send_signal(signal.SIGINT)
        assert child.process.wait(TIME_LIMIT) == 130
        assert child.end()[1] == ""


INTERRUPTED = """\
import os, signal
from voyage_logger import VoyageLogger
from voyage_logger.cli._demo import _Shop

class Interrupting(VoyageLogger):  # Ctrl-C is pressed during the first calls
    def info(self, *arguments, **fields):
        if not fields["meta_data"]["order"]:
            os.kill(os.getpid(), signal.SIGINT)
        super().info(*arguments, **fields)

signal.signal(signal.SIGINT, signal.default_int_handler)
logger = Interrupting("demo-shop")
try:
    _Shop(logger).rush_hour()
except KeyboardInterrupt:
    print("interrupted after", logger.stats().accepted)
logger.close()
"""


def test_demo_logs_nothing_after_ctrl_c(server: DevServer) -> None:
    """If Ctrl-C interrupts the threads of the demo, they end before the logger is closed."""
    with Child("-W", "error", "-c", INTERRUPTED, environ=server.environ) as child:
        assert child.end() == (["interrupted after 2000"], "")
    assert server.count() == 2000


def test_replay_ends_quietly_at_ctrl_c(
    server: DevServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At Ctrl-C, `spool replay` prints no traceback, and keeps the entries."""
    leave(folder, "info one")
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    server.script_sign_in(Fault(hang=True))
    with Child("-W", "error", "-c", INTERRUPTIBLE, "spool", "replay", folder) as child:
        server.wait_for_requests(1, endpoint="sign-in")
        child.process.send_signal(signal.SIGINT)
        assert child.process.wait(TIME_LIMIT) == 130
        assert child.end()[1] == ""
    assert run("", "spool", "export", folder)[1].count("\n") == 1


def test_text_of_a_server_cannot_control_the_terminal(
    server: DevServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`spool replay` prints no control character of a server's answer."""
    leave(folder, "info one")
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    text = "no \x1b]0;title\x07 \x9b2J\u202e"
    body = json.dumps({"error": text, "message": text, "status": 403})
    server.script_sign_in(*[Fault(status=403, body=body)] * 5)
    code, out, errors = run("", "spool", "replay", folder)
    assert (code, out) == (1, "")
    assert "]0;title" in errors
    assert errors.rstrip("\n").isprintable()
