"""The command line: `python -m benchmarks call --rounds 5 --contestants voyage,sentry`."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from benchmarks import _report, _sink
from benchmarks._bench import Bench, under_test
from benchmarks.contestants import BY_NAME, ENTRANTS, Entrant
from benchmarks.measures import MEASURES

QUICK = (
    "**With `--quick`, believe no figure**: it shows that all runs, in too short a time to measure."
)
_RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the chosen benchmarks; return 1 if a contestant failed."""
    options = _parser().parse_args()
    names = MEASURES if "all" in options.benchmarks else options.benchmarks
    tested = under_test()
    print(f"voyage_logger is {tested['file']}", file=sys.stderr)
    entrants = _able(options.contestants, uses_orjson=tested["uses_orjson"])
    failures = []
    for name in names:
        start = time.monotonic()
        module = importlib.import_module(f"benchmarks.measures.{MEASURES[name]}")
        rounds = options.rounds or (1 if options.quick else module.ROUNDS)
        with _sink.running(in_python=options.python_sink) as sink:
            sink.quiet = 0.1 if options.quick else 0.3
            bench = Bench(sink, entrants, rounds, is_quick=options.quick, entries=options.entries)
            found = _report.setting(bench, tested["version"])
            report = module.run(bench)
        failures += bench.failures
        if options.quick:
            report.notes.insert(0, QUICK)
        path = report.write(options.out, found)
        print(f"{report.show()}\n\n{_report.line(found)}\n\nAs JSON: {path}\n", flush=True)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


def _able(asked: list[str] | None, *, uses_orjson: bool) -> list[Entrant]:
    """Return the chosen contestants that can run, and print the reason for each other one."""
    able = []
    usual = [entrant for entrant in ENTRANTS if not entrant.is_study]
    for entrant in usual if asked is None else [BY_NAME[name] for name in asked]:
        reason = entrant.why_not()
        if entrant.name == "voyage-speed" and not reason and not uses_orjson:
            reason = "this voyage_logger does not use orjson"
        if reason:
            print(f"{entrant.name} is left out: {reason}", file=sys.stderr)
        else:
            able.append(entrant)
    return able


def _parser() -> argparse.ArgumentParser:
    known = [entrant.name for entrant in ENTRANTS]

    def contestants(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(
                f"no contestant {', '.join(unknown)}; there are {', '.join(known)}"
            )
        return names

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "benchmarks",
        nargs="+",
        choices=[*MEASURES, "all"],
        metavar="BENCHMARK",
        help=f"{', '.join(MEASURES)}, or all",
    )
    parser.add_argument("--rounds", type=int, help="default: 3, for exit 5, for idle 1")
    parser.add_argument(
        "--contestants", type=contestants, help=f"of {','.join(known)}; default: all"
    )
    parser.add_argument("--entries", type=int, help="how many, for call and deliver")
    parser.add_argument(
        "--quick", action="store_true", help="a smoke of three minutes; believe no figure"
    )
    parser.add_argument("--out", type=Path, default=_RESULTS, help="the folder for JSON")
    parser.add_argument("--python-sink", action="store_true", help="even where sink.c can be built")
    return parser


if __name__ == "__main__":
    sys.exit(main())
