"""The commands in CONTRIBUTING.md work, and the files that it mentions exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
COMMANDS = re.findall(r"^    (\S.*)$", TEXT, re.MULTILINE)
QUOTED = re.findall(r"`([^`\n]+)`", TEXT)

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def run(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the virtual environment, as a reader of the page does."""
    return subprocess.run(
        shlex.split(command),
        cwd=ROOT,
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def commands(beginning: str) -> list[str]:
    """Return the page's commands that begin with this text. Fail if there is no such command."""
    found = [command for command in COMMANDS if command.startswith(beginning)]
    assert found, beginning
    return found


@pytest.mark.parametrize("command", commands("ruff "))
def test_quick_check_passes_as_written(command: str) -> None:
    """The commands that check rules and format work as the page shows them."""
    done = run(command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_command_for_one_test_finds_it() -> None:
    """The command that selects tests by name finds tests. The found tests are not run here."""
    (command,) = [command for command in commands("pytest tests/") if " -k " in command]
    done = run(f"{command} --collect-only -q -n 0")
    assert done.returncode == 0, done.stdout + done.stderr


def test_command_for_long_tests_has_a_known_mark() -> None:
    """The command for long tests has valid options and uses a known mark."""
    (command,) = commands("pytest -m soak")
    done = run(f"{command} --markers")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "@pytest.mark.soak" in done.stdout


def test_every_session_that_is_named_exists() -> None:
    """All nox sessions that the page mentions are in the noxfile."""
    sessions = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    named = {command.removeprefix("nox -s ") for command in commands("nox -s ")}
    assert named <= set(sessions)


def test_every_path_that_is_named_exists() -> None:
    """All files and folders that the page mentions exist."""
    words = [word for command in COMMANDS for word in shlex.split(command)] + QUOTED
    named = {word for word in words if "/" in word and " " not in word} - {".venv/bin/activate"}
    assert len(named) >= 8
    assert [word for word in named if not (ROOT / word).exists()] == []
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_no_command_is_unchecked() -> None:
    """Each command on the page is checked by a test, or listed here because it is slow."""
    checked = ("ruff ", "pytest tests/", "pytest -m soak", "nox -s ")
    slow = {
        "pytest",
        "python -m venv .venv && . .venv/bin/activate",
        "pip install -e '.[dev]'",
        "python tests/budget/budget.py check",
        'python tests/budget/budget.py record "why the cost is worth it"',
        "mypy",
        ".ci/run",
    }
    assert {command for command in COMMANDS if not command.startswith(checked)} == slow
