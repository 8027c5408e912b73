"""Each example runs unchanged in a separate process."""

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
    """If the server works, all entries of an example arrive, and its stderr is empty."""
    done = run(name, server.environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert server.count() == count


def test_every_example_is_run() -> None:
    """The list of tested examples contains every file in the folder `examples`."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "vendor_example.py",
        "script_with_flush.py",
        "threaded_service.py",
    }


def test_vendor_example_opens_its_ticket(server: DevServer) -> None:
    """The vendor's example opens a ticket, although only the import of the example was changed."""
    run("vendor_example.py", server.environ)
    assert [entry["message"] for entry in server.tickets()] == ["Payment gateway timeout"]


def test_example_without_credentials_still_runs() -> None:
    """If no credentials are set, an example prints its entries."""
    done = run("vendor_example.py", {})
    assert done.returncode == 0
    assert "CRITICAL my-application: Payment gateway timeout" in done.stderr


def test_script_fails_if_its_entries_do_not_arrive(server: DevServer) -> None:
    """If the server rejects the credentials, the script with `flush()` exits with 1."""
    done = run("script_with_flush.py", {**server.environ, "VOYAGE_LOGS_KEY": "wrong"})
    assert done.returncode == 1
    assert "0 entries delivered, 2 still waiting" in done.stdout
