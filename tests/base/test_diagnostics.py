"""The client reports its own problems on stderr, through `logging` and to `on_error`."""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING

import pytest

from voyage_logger import ConnectionFailed, DeliveryError, VoyageError
from voyage_logger._base.diagnostics import Diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_one_line_per_cause_and_minute(clock: Clock, capfd: pytest.CaptureFixture[str]) -> None:
    """All loggers of a process together print at most one line per cause and minute."""
    for _ in range(3):
        Diagnostics(clock=clock).say("a", "first")
    Diagnostics(clock=clock).say("b", "other")
    clock.now = 59.9
    Diagnostics(clock=clock).say("a", "too soon")
    clock.now = 60.0
    Diagnostics(clock=clock).say("a", "again")
    assert capfd.readouterr().err.splitlines() == [
        "voyage-logger: first",
        "voyage-logger: other",
        "voyage-logger: again",
    ]


class Broken(io.StringIO):
    def write(self, _text: str) -> int:
        raise RuntimeError("no terminal")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed(), Broken()], ids=["none", "closed", "broken"])
def test_broken_stderr_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, stream: object, records: list[logging.LogRecord]
) -> None:
    """If stderr is missing, closed or broken, `logging` still gets the report."""
    monkeypatch.setattr(sys, "stderr", stream)
    Diagnostics().say("a", "line")
    assert [record.getMessage() for record in records] == ["line"]


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    found: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    handler = Handler()
    logging.getLogger("voyage_logger").addHandler(handler)
    yield found
    logging.getLogger("voyage_logger").removeHandler(handler)


def test_lines_go_to_the_standard_library_s_logging(records: list[logging.LogRecord]) -> None:
    """The logger `voyage_logger` of `logging` gets every report as a warning."""
    Diagnostics().say("a", "100 % line")
    Diagnostics().say("a", "repeated")
    assert [record.getMessage() for record in records] == ["100 % line", "repeated"]
    assert {record.levelname for record in records} == {"WARNING"}


def test_without_configuration_logging_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """If the app has not configured `logging`, each line appears on stderr only once."""
    Diagnostics().say("a", "line")
    assert capfd.readouterr().err.count("line") == 1


def test_broken_logging_filter_does_not_stop_a_report(capfd: pytest.CaptureFixture[str]) -> None:
    """If a filter of `logging` raises an exception, the line is still printed."""
    logger = logging.getLogger("voyage_logger")

    def broken(_record: logging.LogRecord) -> bool:
        raise RuntimeError("filter")

    logger.addFilter(broken)
    try:
        Diagnostics().say("a", "line")
    finally:
        logger.removeFilter(broken)
    assert "voyage-logger: line" in capfd.readouterr().err


def test_on_error_is_given_every_report() -> None:
    """`on_error` gets every error, even if stderr shows only one line per minute."""
    errors: list[VoyageError] = []
    diagnostics = Diagnostics(errors.append)
    reports = [ConnectionFailed("a"), DeliveryError("b"), ConnectionFailed("c")]
    for error in reports:
        diagnostics.report("same", error)
    assert errors == reports


@pytest.mark.parametrize(
    "said", ["a\x1b]0;b\x07c", "a\rb", "a\nb", "a\u202eb", "a\ud800b", "a\x9bb"]
)
def test_a_line_contains_no_control_characters(
    capfd: pytest.CaptureFixture[str], records: list[logging.LogRecord], said: str
) -> None:
    """Stderr and `logging` get one line, in which control characters are visible escapes."""
    Diagnostics().say("a", said)
    (line,) = capfd.readouterr().err.split("\n")[:-1]
    for text in (line, records[0].getMessage()):
        assert text.isprintable()
        assert "\\" in text
