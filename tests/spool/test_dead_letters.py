"""Rejected entries are reported as rejected, and are kept as dead letters."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import until
from voyage_logger import EntriesLost
from voyage_logger.devserver import Fault, Rules

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loggers import MakeLogger
    from voyage_logger import VoyageError
    from voyage_logger.devserver import DevServer


def losses(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines on stderr that report lost, rejected or kept entries."""
    return [line for line in capfd.readouterr().err.splitlines() if "entr" in line]


def test_dead_letters_are_reported_as_rejected_and_kept(
    server: DevServer, make_logger: MakeLogger, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The report says that entries were rejected, and names the command that shows them."""
    server.rules = Rules(refuse_containing="bad")
    errors: list[VoyageError] = []
    logger = make_logger(spool_dir=tmp_path, flush_interval=600, on_error=errors.append)
    logger.info("good")
    logger.error("bad")
    logger.flush()

    (line,) = losses(capfd)
    assert line.startswith(
        "voyage-logger: 1 entry rejected, and kept in the dead-letter file (1 error): 1 HTTP 400;"
    )
    assert line.endswith(f"; see `voyage-logger spool show --dead-letters {tmp_path}`")
    assert "lost" not in line
    (error,) = errors
    assert isinstance(error, EntriesLost)
    assert (error.count, error.kept) == (1, 1)
    until(lambda: (logger.flush(), server.count() == 2)[1])
    notice = server.entries()[-1]
    assert notice["message"] == (
        "voyage-logger: 1 entry rejected, and kept in the dead-letter file: 1 HTTP 400"
    )
    assert (notice["meta_data"]["lost"], notice["meta_data"]["kept"]) == (1, 1)


def test_dead_letters_that_cannot_be_kept_are_reported_as_lost(
    server: DevServer,
    make_logger: MakeLogger,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If rejected entries cannot be kept, the report does not name the dead-letter file."""
    real = os.open

    def opening(path: Any, *arguments: Any, **more: Any) -> int:
        if ".dead." in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", opening)
    server.script(Fault(status=422))
    logger = make_logger(spool_dir=tmp_path, flush_interval=600)
    logger.info("bad")
    logger.flush()

    (line,) = losses(capfd)
    assert line.startswith("voyage-logger: 1 entry lost (1 info): 1 HTTP 422")


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (0, "3 entries lost"),
        (1, "3 entries lost or rejected, 1 of them kept in the dead-letter file"),
        (3, "3 entries rejected, and kept in the dead-letter file"),
    ],
)
def test_report_of_losses_counts_the_kept_entries(kept: int, words: str) -> None:
    """The report says how many entries were lost or rejected, and how many were kept."""
    error = EntriesLost(3, {"info": 3}, {"HTTP 422": kept, "queue_full": 3 - kept}, kept=kept)
    assert str(error).startswith(f"{words} (3 info): ")
