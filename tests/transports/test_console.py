"""A logger without credentials prints its entries, and the app continues."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import until
from voyage_logger import ConfigurationError, Kind, VoyageLogger
from voyage_logger.transports._console_transport import ConsoleTransport

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = b'{"message":"hello","level":"info","app_name":"app","environment":"test"}'


def test_entries_are_printed_after_one_notice(capfd: pytest.CaptureFixture[str]) -> None:
    """First, a notice names the missing variables and the dev server. Then entries are printed."""
    with VoyageLogger("app") as logger:
        logger.info("User logged in", event_name="login", meta_data={"ip": "::1"})
        logger.error("It broke")
    notice, *lines = capfd.readouterr().err.splitlines()
    assert "VOYAGE_LOGS_KEY is not set; VOYAGE_LOGS_SECRET is not set" in notice
    assert "voyage-logger dev" in notice
    assert "spool_dir" not in notice
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} INFO     app: User logged in"
        r"  event_name='login'  method_name='\S+'  ip='::1'",
        lines[0],
    )
    assert " ERROR    app: It broke" in lines[1]
    assert len(lines) == 2


def test_lines_come_without_a_flush(capfd: pytest.CaptureFixture[str]) -> None:
    """Entries are printed without a flush, even before `flush_interval` has passed."""
    logger = VoyageLogger("app")
    logger.info("x")
    until(lambda: logger.stats().pending == 0, timeout=3)
    assert "app: x" in capfd.readouterr().err
    logger.close()


def test_printed_entries_count_as_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    """Printed entries count as dropped, but are not reported as lost."""
    with VoyageLogger("app") as logger:
        logger.info("x")
        assert not logger.flush()
        stats = logger.stats()
    assert (stats.delivered, stats.dropped_by) == (0, {"unconfigured": 1})
    assert "lost" not in capfd.readouterr().err


def test_health_check_sees_that_nothing_is_sent() -> None:
    """Even before the first entry, `stats().last_problem` names the missing variables."""
    with VoyageLogger("app", api_key="k") as logger:
        problem = logger.stats().last_problem
    assert problem == (
        "no credentials: VOYAGE_LOGS_SECRET is not set: entries are printed here and sent nowhere"
    )


def test_entry_cannot_move_the_cursor(capfd: pytest.CaptureFixture[str]) -> None:
    """Control characters are printed as escapes, so an entry cannot fake another line."""
    with VoyageLogger("app") as logger:
        extra: Any = {"a\nb": "\x07"}
        logger.info("red \x1b[31m\nforged", **extra)
    (line,) = capfd.readouterr().err.splitlines()[1:]
    assert r"red \x1b[31m\nforged" in line
    assert not set(line) & {"\x1b", "\x07", "\n"}


def test_traceback_is_readable(capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback is printed below its entry, in separate lines."""
    with VoyageLogger("app") as logger:
        try:
            raise ValueError("bad")
        except ValueError:
            logger.exception("failed")
    lines = capfd.readouterr().err.splitlines()
    assert lines[2] == "    Traceback (most recent call last):"
    assert lines[-1] == "    ValueError: bad"


def test_returning_reader_sees_how_many_entries_were_not_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If a pipe was full for a while, a line says how many entries were not printed."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stderr", pipe)
        transport = ConsoleTransport()
        assert transport.send([ENTRY, ENTRY], time_limit=0).kind is Kind.DISCARDED
        assert set(os.read(reading, 1 << 20)) == {ord("x")}
        transport.send([ENTRY, ENTRY])
        lines = os.read(reading, 1 << 20).decode().splitlines()
    os.close(reading)
    assert lines[0] == "voyage-logger: 2 entries not printed: nobody read them"
    assert [line.endswith("app: hello") for line in lines[1:]] == [True, True]


def test_long_entry_is_printed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that is longer than a pipe's buffer is printed completely for a slow reader."""
    monkeypatch.setattr(
        "voyage_logger.transports._console_transport._PATIENCE", 30
    )  # seconds; long enough for a busy machine
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe, os.fdopen(reading) as stream:
        monkeypatch.setattr(sys, "stderr", pipe)
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.append(stream.readline()))
        reader.start()
        message = "é" * 200_000
        entry = json.dumps({**json.loads(ENTRY), "message": message}).encode()
        ConsoleTransport().send([entry])
        reader.join(30)
    assert lines[0].endswith(f"app: {message}\n")


def test_verify_says_what_is_missing() -> None:
    """`verify` raises an error that names the missing variables."""
    with VoyageLogger("app") as logger, pytest.raises(ConfigurationError, match="VOYAGE_LOGS_KEY"):
        logger.verify()


@pytest.mark.parametrize(
    ("variables", "parameter", "words"),
    [
        (
            {"VOYAGE_LOGS_URL": "http://127.0.0.1:9", "VOYAGE_LOGS_SECRET": "s"},
            "credentials",
            "no credentials: VOYAGE_LOGS_KEY is not set",
        ),
        (
            {"VOYAGE_LOGS_KEY": "k", "VOYAGE_LOGS_SECRET": "s", "VOYAGE_LOGS_URL": "x"},
            "base_url",
            (
                "VOYAGE_LOGS_URL='x': must be an http:// or https:// URL with a host, "
                "without credentials, query or fragment"
            ),
        ),
    ],
)
def test_verify_names_no_more_than_what_is_at_fault(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], parameter: str, words: str
) -> None:
    """The error of `verify` names only the variables that are missing or wrong."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with VoyageLogger("app") as logger, pytest.raises(ConfigurationError) as caught:
        logger.verify()
    assert caught.value.parameter == parameter
    assert str(caught.value) == str(copy.copy(caught.value)) == words


def test_notice_says_that_the_spool_is_not_used(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """If the app has set `spool_dir`, the notice says that the spool is not used."""
    VoyageLogger("app", spool_dir=tmp_path / "spool").close()
    assert "spool_dir is not used" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_half_of_the_credentials_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """If only one of key and secret is missing, the notice names only its variable."""
    monkeypatch.setenv("VOYAGE_LOGS_KEY", "k")
    VoyageLogger("app").close()
    err = capfd.readouterr().err
    assert "VOYAGE_LOGS_SECRET is not set" in err
    assert "VOYAGE_LOGS_KEY" not in err


def test_bad_url_in_the_environment_does_not_stop_the_app(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A wrong URL in the environment is reported, and the entries are not sent to any server."""
    monkeypatch.setenv("VOYAGE_LOGS_KEY", "k")
    monkeypatch.setenv("VOYAGE_LOGS_SECRET", "s")
    monkeypatch.setenv("VOYAGE_LOGS_URL", "api.tracevoyage.com")
    with VoyageLogger("app") as logger:
        logger.info("x")
    assert "VOYAGE_LOGS_URL='api.tracevoyage.com': must be" in capfd.readouterr().err
