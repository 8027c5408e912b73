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

QUICK = "**With `--quick`, believe no figure**: the run only tests whether each benchmark works."
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
    """Return the chosen contestants that can run. Print why other contestants cannot run."""
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
    parser.add_argument("--rounds", type=int, help="default: 3, but 5 for exit and 1 for idle")
    parser.add_argument(
        "--contestants", type=contestants, help=f"some of {','.join(known)} (default: all)"
    )
    parser.add_argument("--entries", type=int, help="number of entries, for call and deliver")
    parser.add_argument(
        "--quick", action="store_true", help="a test run of three minutes; believe no figure"
    )
    parser.add_argument("--out", type=Path, default=_RESULTS, help="the folder for JSON files")
    parser.add_argument("--python-sink", action="store_true", help="do not use sink.c")
    return parser


if __name__ == "__main__":
    sys.exit(main())
