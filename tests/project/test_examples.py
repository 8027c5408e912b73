"""Each example runs unchanged, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import python

if TYPE_CHECKING:
    import subprocess

    from voyage_logger.devserver import DevServer

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return python("-W", "error", EXAMPLES / name, environ=environ)


@pytest.mark.parametrize(
    ("name", "count"),
    [("vendor_example.py", 2), ("script_with_flush.py", 2), ("threaded_service.py", 204)],
)
def test_example_delivers_all_it_logs(server: DevServer, name: str, count: int) -> None:
    """With a healthy server an example prints nothing on stderr, and all its entries arrive."""
    done = run(name, server.environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert server.count() == count


def test_every_example_is_run() -> None:
    """The list of the tested examples has every file of the folder."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "vendor_example.py",
        "script_with_flush.py",
        "threaded_service.py",
    }


def test_vendor_example_opens_its_ticket(server: DevServer) -> None:
    """The vendor's own example opens a ticket, with its names and arguments unchanged."""
    run("vendor_example.py", server.environ)
    assert [entry["message"] for entry in server.tickets()] == ["Payment gateway timeout"]


def test_example_without_credentials_still_runs() -> None:
    """An example prints its log calls if no credentials are set."""
    done = run("vendor_example.py", {})
    assert done.returncode == 0
    assert "CRITICAL my-application: Payment gateway timeout" in done.stderr


def test_script_fails_if_its_entries_do_not_arrive(server: DevServer) -> None:
    """The script with `flush()` exits with 1 if the server rejects the credentials."""
    done = run("script_with_flush.py", {**server.environ, "VOYAGE_LOGS_KEY": "wrong"})
    assert done.returncode == 1
    assert "0 entries delivered, 2 still waiting" in done.stdout
