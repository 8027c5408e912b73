"""The checks, one session each; `nox` runs them all on every interpreter that is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]

nox.needs_version = ">=2024.10"
nox.options.error_on_missing_interpreters = False  # a missing one is shown as skipped
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
    """Ruff, rules and format."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy on the package, the tests and the examples; pyright on what users write."""
    session.install("-e", ".[dev,types]")
    session.run("mypy")
    session.run("pyright", "--pythonpath", f"{session.bin}/python")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, where a warning is an error."""
    session.install("-e", ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-E", "-q", "docs", "docs/_build/html")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The suite on each interpreter."""
    session.install("-e", ".[dev]")
    session.run("pytest", *session.posargs)


@nox.session
def without_orjson(session: nox.Session) -> None:
    """What an entry becomes, by the standard library's encoder: the other sessions have orjson."""
    session.install("-e", ".[dev]")
    session.env["VOYAGE_LOGS_ORJSON"] = "0"
    session.run("pytest", "tests/entry", "tests/logger", *session.posargs)


@nox.session
def budget(session: nox.Session) -> None:
    """Instructions per log call, where valgrind is; `-- record "why"` writes the budget anew."""
    session.install("tomli; python_version < '3.11'")
    session.run("python", "tests/budget/budget.py", *(session.posargs or ["check"]))


@nox.session
def soak(session: nox.Session) -> None:
    """The long-running tests, which the suite leaves out."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-m", "soak", "-n", "2", *session.posargs)


@nox.session(python=PYTHONS[-1])
def soak_exits(session: nox.Session) -> None:
    """How processes end, on the newest interpreter too: no two of them tear down alike."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-m", "soak", "tests/process")


@nox.session
def coverage(session: nox.Session) -> None:
    """The suite once more, with every branch counted, subprocesses included."""
    session.install("-e", ".[dev]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report")


@nox.session
def wheel(session: nox.Session) -> None:
    """What a user installs: the wheel without the tools of development."""
    built = Path(session.create_tmp()) / "dist"
    shutil.rmtree(built, ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(built), silent=True)
    session.install("--force-reinstall", str(next(built.glob("*.whl"))))
    session.chdir(session.create_tmp())  # away from the checkout: only the wheel can be imported
    session.run("voyage-logger", "demo")
