"""Run a model of 1 to 100,000 processes that log to one server. docs/fleet.md explains the terms.

    python -m benchmarks.fleet                                  1,000 processes, every scenario
    python -m benchmarks.fleet --processes 1 100 10000          fleets of other sizes
    python -m benchmarks.fleet --processes 100000 --gap 30      each logs an entry every 30 s
    python -m benchmarks.fleet --plots docs                     drawings, made with matplotlib

The command prints a table. `--json FILE` writes all results, with the load of each second.
`--before FILE` adds the results of an earlier run to the drawings. FILE is a file that `--json` has
written, for example before the client's pauses were changed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._fleet_model import App
from benchmarks._fleet_scenarios import SCENARIOS, Result, play

if TYPE_CHECKING:
    from collections.abc import Sequence

    _Earlier = dict[tuple[str, int], dict[str, Any]]

GOAL = 1.5  # the highest allowed peak of the load, where 1 is the capacity of the server
_COLUMNS = (
    "scenario", "processes", "gap s", "capacity/s", "steady/s", "peak/s", "sign-ins/s",
    "work", "wave", "drained s", "dropped %", "whole", "took s", "cpu s",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen scenarios; return 1 if the model has lost or duplicated an entry."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.plots:
        # This error is raised before the run, because a run takes minutes.
        if importlib.util.find_spec("matplotlib") is None:
            parser.error("--plots needs matplotlib: pip install -e '.[benchmarks]'")
        options.plots.mkdir(parents=True, exist_ok=True)
    earlier = _earlier(options.before) if options.before else {}
    results: list[Result] = []
    print(_line(_COLUMNS))
    for processes in options.processes:
        for name in options.scenario:
            results.append(
                play(
                    SCENARIOS[name],
                    processes,
                    App(gap=options.gap, flush_interval=options.flush_interval),
                    utilization=options.utilization,
                    seed=options.seed,
                    patience=options.patience,
                )
            )
            print(_line(_row(results[-1])), flush=True)
    print(
        "capacity/s: the requests of 100 entries that the server can handle in a second\n"
        "steady/s: requests per second before the event, sign-ins included\n"
        "peak/s: the highest mean of requests per second over 5 s after the recovery\n"
        "sign-ins/s: the same for sign-ins alone\n"
        f"work: the peak of the load; 1 is the capacity, and the goal is at most {GOAL}\n"
        "      (*: the goal does not apply to a start at once)\n"
        "wave: the share of requests that follow one rhythm\n"
        "drained s: seconds from the recovery until the backlog is delivered\n"
        "dropped %: the share of entries that full queues have shed\n"
        "whole: yes if each entry is counted exactly once\n"
        "took s, cpu s: the run time and the CPU time of the model"
    )
    if options.json:
        stored = [result.as_dict() for result in results]
        options.json.write_text(json.dumps(stored) + "\n")
    if options.plots:
        _draw(results, earlier, options.plots, options.format)
    return 0 if all(result.is_whole for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--processes", type=int, nargs="+", default=[1000], help="default: 1000")
    add("--scenario", nargs="+", choices=SCENARIOS, default=[*SCENARIOS], help="default: all")
    add("--gap", type=float, default=1.0, help="seconds between two entries (default: 1)")
    add("--flush-interval", type=float, default=5.0, help="seconds (default: 5)")
    add("--utilization", type=float, default=0.5, help="steady load (default: 0.5)")
    add("--patience", type=float, default=2.0, help="most seconds of waiting work (default: 2)")
    add("--seed", type=int, default=1)
    add("--json", type=Path, metavar="FILE", help="write all results to this file")
    add("--plots", type=Path, metavar="FOLDER", help="write the drawings to this folder")
    add("--before", type=Path, metavar="FILE", help="draw the results of this file as well")
    add("--format", choices=["svg", "png"], default="svg")
    return parser


def _row(result: Result) -> tuple[str, ...]:
    drained = "never" if result.drained is None else str(result.drained)
    return (
        result.scenario,
        f"{result.processes:,}",
        f"{result.gap:g}",
        f"{result.capacity:,.3g}" if result.capacity < 1 else f"{result.capacity:,.0f}",
        f"{result.steady:,.1f}",
        f"{result.peak:,.1f}",
        f"{result.peak_sign_ins:,.1f}",
        f"{result.peak_work:.2f}{'*' if result.scenario == 'start' else ''}",
        f"{result.wave:.2f}",
        drained if result.scenario in ("outage", "limit") else "-",
        f"{100 * result.dropped / result.logged:.2f}",
        "yes" if result.is_whole else "NO",
        f"{result.took:.1f}",
        f"{result.cpu:.1f}",
    )


def _line(cells: Sequence[str]) -> str:
    return " | ".join(f"{cell:>10}" for cell in cells)


def _earlier(kept: Path) -> _Earlier:
    return {(each["scenario"], each["processes"]): each for each in json.loads(kept.read_text())}


def _draw(results: list[Result], earlier: _Earlier, folder: Path, suffix: str) -> None:
    from benchmarks._fleet_plots import draw  # only the drawings need matplotlib

    for result in results:
        key = result.scenario, result.processes
        path = folder / f"fleet-{result.scenario}-{result.processes}.{suffix}"
        draw(SCENARIOS[result.scenario], result, earlier.get(key), path)
        print(path)


if __name__ == "__main__":
    sys.exit(main())
