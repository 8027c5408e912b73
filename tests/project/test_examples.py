"""The examples run as they stand, in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import python

if TYPE_CHECKING:
    import subprocess

    from voyage_logger.devserver import DevServer

EXAMPLES = Path(__file__).parents[2] / "examples"
RECORDED = json.loads((Path(__file__).parents[1] / "transports/vendor_requests.json").read_text())


def run(name: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return python("-W", "error", EXAMPLES / name, environ=environ)


@pytest.mark.parametrize(
    ("name", "count"),
    [("vendor_example.py", 2), ("script_with_flush.py", 2), ("threaded_service.py", 204)],
)
def test_example_delivers_all_it_logs(server: DevServer, name: str, count: int) -> None:
    """Against a healthy server an example says nothing on stderr, and everything arrives."""
    done = run(name, server.environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert server.count() == count


def test_every_example_is_run() -> None:
    """A new example gets a test."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "vendor_example.py",
        "script_with_flush.py",
        "threaded_service.py",
    }


def test_vendor_example_opens_its_ticket(server: DevServer) -> None:
    """The vendor's own calls, names and arguments unchanged."""
    run("vendor_example.py", server.environ)
    assert [entry["message"] for entry in server.tickets()] == ["Payment gateway timeout"]


def test_example_without_credentials_still_runs() -> None:
    """On a machine without any set-up the calls are printed."""
    done = run("vendor_example.py", {})
    assert done.returncode == 0
    assert "CRITICAL my-application: Payment gateway timeout" in done.stderr


def test_script_says_when_its_log_did_not_arrive(server: DevServer) -> None:
    """The exit code of the script with `flush()` tells."""
    done = run("script_with_flush.py", {**server.environ, "VOYAGE_LOGS_KEY": "wrong"})
    assert done.returncode == 1
    assert "0 entries delivered, 2 still waiting" in done.stdout
