"""Tests of `voyage-logger demo`, and of the options that all commands share."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import python
from voyage_logger import __version__
from voyage_logger._entry.json_codecs import dumps, quick_dumps
from voyage_logger.cli import main
from voyage_logger.cli._demo import Account, _picture, _readable, _Shop

if TYPE_CHECKING:
    import subprocess

    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return python("-W", "error", "-m", "voyage_logger", *words)


def test_demo_delivers_each_entry_once() -> None:
    """The demo delivers each entry once, although an outage and other faults occur."""
    done = run("demo", "--json")
    account = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert account["sent"] == account["received"] > 2000
    assert (account["lost"], account["duplicates"], account["tickets"]) == (0, 0, 1)
    assert account["retries"] >= 3
    assert account["sign_ins"] == 2


def test_demo_prints_the_checkout_and_the_counts() -> None:
    """Without `--json`, the output shows the steps of a shop's checkout and their times."""
    done = run("demo")
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.findall(r"^  \+ *(\d+) ms  o  (\w+)$", done.stdout, re.MULTILINE)
    times, steps = zip(*shown, strict=True)
    assert steps == ("cart_opened", "card_declined", "gateway_timeout", "paid_by_invoice")
    assert times[0] == "0"
    assert len(set(times)) == 4
    assert done.stdout.endswith("\nEvery entry arrived exactly once.\n")


def test_demo_prints_counts_and_a_verdict() -> None:
    """The output has a short table of counts, and the last line says if the demo succeeded."""
    account = Account(2005, 2004, 1, 0, 21, 3, 2, 1, 2.5)
    lines = _readable(account).splitlines()
    assert [line.split() for line in lines if line.startswith("  sign")] == [["sign-ins", "2"]]
    assert lines[-1] == "Entries are missing."
    assert len(lines) < 20
    whole = replace(account, received=2005, lost=0)
    assert _readable(whole).splitlines()[-1] == "Every entry arrived exactly once."


def test_demo_prints_the_steps_that_the_server_has_stored(
    server: DevServer, logger: VoyageLogger
) -> None:
    """The demo prints the steps that the server has stored, in the order of the calls."""
    shop = _Shop(logger, pause=float)
    shop.check_out()
    assert logger.flush()
    assert server.count() == shop.sent
    steps = [line.split()[-1] for line in _picture(server).splitlines()[1:]]
    assert steps == ["cart_opened", "card_declined", "gateway_timeout", "paid_by_invoice"]


def test_version_names_package_and_encoder() -> None:
    """`--version` prints the version of the package, and the version of orjson if it is used."""
    is_used = quick_dumps is not dumps
    encoder = f"orjson {metadata.version('orjson')}" if is_used else "without orjson"
    assert run("--version").stdout == f"voyage-logger {__version__} ({encoder})\n"


def test_version_tells_that_orjson_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With VOYAGE_LOGS_ORJSON=0, `--version` prints "without orjson"."""
    monkeypatch.setenv("VOYAGE_LOGS_ORJSON", "0")
    assert run("--version").stdout == f"voyage-logger {__version__} (without orjson)\n"


def test_import_of_main_runs_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """If a tool imports all modules of the package, no command runs."""
    importlib.import_module("voyage_logger.__main__")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("words", [[], ["nonsense"], ["demo", "--nonsense"]])
def test_wrong_usage_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """If the arguments are wrong, the usage is printed on stderr, and the exit code is 2."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: voyage-logger" in capsys.readouterr().err
