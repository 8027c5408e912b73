"""Compares the cost of a log call with `budget.toml`. The counts do not depend on other programs.

    python tests/budget/budget.py               print all costs beside their budgets
    python tests/budget/budget.py check         check the instructions; exit with 1 for a wrong one
    python tests/budget/budget.py record "why" [PYTHON ..]
                                                 write a new budget, for each interpreter

The check fails if a count is higher than its budget. The check also fails if a count is far below
its budget, because a budget that is too high does not detect a later increase.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

    Costs = dict[str, dict[str, float]]  # for example {"opcodes": {"fields": 900.0}}

HERE = Path(__file__).parent
FILE = HERE / "budget.toml"
SOURCE = HERE.parents[1] / "src"

SCENARIOS = ("fields", "bare", "filtered", "bound", "journey", "spool", "redacted", "worker")
KINDS = ("opcodes", "calls", "blocks")
# The share by which a count can exceed its budget. The number of instructions varies slightly.
OVER = {"instructions": 0.02, "opcodes": 0.0, "calls": 0.0, "blocks": 0.0}
UNDER = 0.10

# An entry costs the worker a tenth of a log call, so the worker's scenario logs more entries.
_CALLS = dict.fromkeys(SCENARIOS, 1000) | {"worker": 3000}
_TIME_LIMIT = 300  # seconds
_PORTABLE = "`pytest tests/budget` checks the portable counts: opcodes, calls and blocks."


def portable_costs(python: str = sys.executable) -> dict[str, Any]:
    """Return the overhead, and the costs of each scenario in opcodes, calls and blocks."""
    with _environment() as environment:
        found = json.loads(_run([python, HERE / "scenarios.py", "count"], environment).stdout)
    costs: Costs = {kind: {} for kind in KINDS}
    for scenario, counts in found["counts"].items():
        for kind, count in counts.items():
            costs[kind][scenario] = count
    return {**found, **costs}


def instructions() -> dict[str, float]:
    """Return the number of instructions of a log call in each scenario, and of the import.

    Each scenario runs twice, and the second run makes twice as many calls. The difference between
    the two runs does not contain the start and the end of the process.
    """
    with _environment() as environment, ThreadPoolExecutor(os.cpu_count()) as pool:
        # This run compiles all modules and saves their bytecode, so later runs do not compile.
        _run([sys.executable, HERE / "scenarios.py", "run", "spool", 1], environment)
        scenarios = str(HERE / "scenarios.py")
        pairs = {"import": (["-c", "pass"], ["-c", "import voyage_logger"])} | {
            name: ([scenarios, "run", name, f"{n}"], [scenarios, "run", name, f"{2 * n}"])
            for name, n in _CALLS.items()
        }
        totals = {
            name: [pool.submit(_collected, arguments, environment) for arguments in pair]
            for name, pair in pairs.items()
        }
        return {
            name: round((long.result() - short.result()) / _CALLS.get(name, 1))
            for name, (short, long) in totals.items()
        }


def _collected(arguments: list[str], environment: dict[str, str]) -> int:
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    said = _run([*valgrind, sys.executable, *arguments], environment).stderr
    match = re.search(r"Collected : (\d+)", said)
    assert match, said
    return int(match[1])


def _run(command: list[Any], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=_TIME_LIMIT,
    )


@contextlib.contextmanager
def _environment() -> Iterator[dict[str, str]]:
    """Yield environment variables that turn off coverage and random hashes in a run."""
    with tempfile.TemporaryDirectory() as folder:
        yield {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(SOURCE),
            "PYTHONHASHSEED": "0",
            "VOYAGE_LOGS_ORJSON": "0",  # orjson is not always installed
            "PYTHONPYCACHEPREFIX": f"{folder}/bytecode",
            "SCENARIO_ENTRIES": str(2 * _CALLS["worker"]),
            "SCENARIO_DIR": folder,
        }


def build() -> str:
    """Return a name for this build of Python. The counts depend on the compiler of the build."""
    flags = [sysconfig.get_config_var(name) for name in ("CONFIG_ARGS", "PY_CFLAGS", "CC")]
    about = [platform.python_compiler(), platform.machine(), *platform.libc_ver(), *flags]
    digest = hashlib.sha256(repr(about).encode()).hexdigest()[:8]
    return f"{platform.python_version()}-{platform.machine()}-{digest}"


def judge(kind: str, name: str, count: float, budget: float) -> str | None:
    """Return a message if a count is above or far below its budget, or else None."""
    figures = f"{name}: {_figure(count)} {kind}, budget {_figure(budget)}"
    if count > budget * (1 + OVER[kind]):
        return f"{figures}: over it. Make it cheaper, or record why it must cost more"
    if count < budget * (1 - UNDER):
        return f"{figures}: far under it. Record the gain, so that it is not lost again"
    return None


def load() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text()) if FILE.exists() else {}


def _figure(count: float | None) -> str:
    return "-" if count is None else f"{count:.10g}"


def raises(kind: str, old: dict[str, float], new: dict[str, float]) -> Iterator[str]:
    """Yield a line for each budget that the new costs raise by more than the tolerance."""
    for name, count in new.items():
        if name in old and count > old[name] * (1 + OVER[kind]):
            yield f"{name} {_figure(old[name])} -> {_figure(count)}"


def record(reason: str, pythons: list[str]) -> None:
    """Write the present costs as the new budget, with the reason and a list of raised budgets."""
    budgets = load()
    history = budgets.pop("history", [])
    raised = []
    for python in pythons:
        costs = portable_costs(python)
        for kind in KINDS:
            raised += _replace(budgets, kind, costs["python"], costs[kind])
    if shutil.which("valgrind"):
        raised += _replace(budgets, "instructions", build(), instructions())
    today = datetime.now(timezone.utc).date().isoformat()
    history.append({"date": today, "reason": reason, "raised": raised})
    FILE.write_text(_header() + "\n".join(_toml(budgets, history)) + "\n")


def _replace(budgets: dict[str, Any], kind: str, of: str, costs: dict[str, float]) -> list[str]:
    by_python = budgets.setdefault(kind, {})
    raised = [f"{kind} of {of}: {each}" for each in raises(kind, by_python.get(of, {}), costs)]
    by_python[of] = costs
    return raised


def _header() -> str:
    """Return the comment at the top of `budget.toml`, which `record` must keep."""
    lines = FILE.read_text().splitlines(keepends=True) if FILE.exists() else []
    return "".join(line for line in lines if line.startswith("#")) + "\n"


def _toml(budgets: dict[str, Any], history: list[dict[str, Any]]) -> Iterator[str]:
    for kind in ("instructions", *KINDS):
        for of, costs in sorted(budgets.get(kind, {}).items()):
            yield f'[{kind}."{of}"]'
            yield from (f"{name} = {_figure(count)}" for name, count in costs.items())
            yield ""
    for each in history:
        yield "[[history]]"
        yield from (f"{key} = {json.dumps(value)}" for key, value in each.items())
        yield ""


def check() -> int:
    """Print the counts and budgets of instructions, and return 1 if a count is wrong."""
    if not shutil.which("valgrind"):
        print(f"valgrind is not installed: instructions are NOT checked. {_PORTABLE}")
        return 0
    budget = load().get("instructions", {}).get(build())
    found = instructions()
    _print("instructions", found, budget or {})
    if budget is None:
        print(f"There is no budget for {build()}, so these figures are not checked. {_PORTABLE}")
        return 0
    wrong = [judge("instructions", name, found[name], budget.get(name, 0)) for name in found]
    print(*filter(None, wrong), sep="\n")
    return int(any(wrong))


def show() -> int:
    """Print all counts and their budgets, and then check the instructions."""
    costs, budgets = portable_costs(), load()
    for kind in KINDS:
        _print(kind, costs[kind], budgets.get(kind, {}).get(costs["python"], {}))
    print(f"bytes of memory for a queued entry, without its JSON: {costs['overhead']:.0f}\n")
    return check()


def _print(kind: str, costs: dict[str, float], budget: dict[str, float]) -> None:
    print(f"{kind:<16}{'now':>12}{'budget':>12}")
    for name, count in costs.items():
        allowed = budget.get(name)
        change = f"{count / allowed - 1:>+9.1%}" if allowed else ""
        print(f"  {name:<14}{_figure(count):>12}{_figure(allowed):>12}{change}")
    print()


def main(arguments: list[str]) -> int:
    match arguments:
        case []:
            return show()
        case ["check"]:
            return check()
        case ["record", reason, *pythons] if reason.strip():
            record(reason, pythons or [sys.executable])
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
