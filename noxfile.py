"""The checks, one session each; `nox` runs all of them with each interpreter that is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]

nox.needs_version = ">=2024.10"
nox.options.error_on_missing_interpreters = False  # nox shows them as skipped
nox.options.reuse_venv = "yes"
nox.options.sessions = [
    "lint",
    "types",
    "docs",
    "tests",
    "without_orjson",
    "budget",
    "soak",
    "soak_exits",
    "coverage",
    "wheel",
]


@nox.session
def lint(session: nox.Session) -> None:
    """Check the rules and the format of the code with ruff."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check all types with mypy, and the types that users see with pyright."""
    session.install("-e", ".[dev,types]")
    session.run("mypy")
    session.run("pyright", "--pythonpath", f"{session.bin}/python")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    session.install("-e", ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-E", "-q", "docs", "docs/_build/html")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the suite with each interpreter."""
    session.install("-e", ".[dev]")
    session.run("pytest", *session.posargs)


@nox.session
def without_orjson(session: nox.Session) -> None:
    """Test entries with the standard library's encoder; the other sessions use orjson."""
    session.install("-e", ".[dev]")
    session.env["VOYAGE_LOGS_ORJSON"] = "0"
    session.run("pytest", "tests/entry", "tests/logger", *session.posargs)


@nox.session
def budget(session: nox.Session) -> None:
    """Check the instructions per log call with valgrind; `-- record "why"` writes a new budget."""
    session.install("tomli; python_version < '3.11'")
    session.run("python", "tests/budget/budget.py", *(session.posargs or ["check"]))


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long tests, which the suite leaves out."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-m", "soak", "-n", "2", *session.posargs)


@nox.session(python=PYTHONS[-1])
def soak_exits(session: nox.Session) -> None:
    """Run the long tests of exits with the newest interpreter, which ends in its own way."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-m", "soak", "tests/process")


@nox.session(python="3.11")  # Other versions run other lines.
def coverage(session: nox.Session) -> None:
    """Run the suite and count the branches that it takes, also in its child processes."""
    session.install("-e", ".[dev]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel, and run the demo from it, without the tools of development."""
    built = Path(session.create_tmp()) / "dist"
    shutil.rmtree(built, ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(built), silent=True)
    session.install("--force-reinstall", str(next(built.glob("*.whl"))))
    session.chdir(session.create_tmp())  # outside the checkout, so that the wheel is imported
    session.run("voyage-logger", "demo")
