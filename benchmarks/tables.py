"""Make the tables of docs/performance.md from the JSON that the benchmarks have written.

    python -m benchmarks.tables                             prints them
    python -m benchmarks.tables --into docs/performance.md  replaces the tables in the file

A table is between `<!-- benchmark: NAME -->` and `<!-- end -->`. The line below the table names the
machine and the software. In a cell, the smallest and the largest result of the rounds follow the
median. What must stay true: every number comes from a JSON file of the benchmarks, and no number
comes from a run with `--quick`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import _report
from benchmarks._report import Column
from benchmarks.contestants import ENTRANTS
from benchmarks.measures import deliver, exits, idle, imports
from benchmarks.measures.prices import PRICES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_RESULTS = Path(__file__).parent / "results"
_ALL = "results"  # the name of the section if there is only one section
_PLACE = re.compile(r"(<!-- benchmark: (\S+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Cells:
    """Columns of a table, from one section of a benchmark's results.

    With several sections, each cell shows the worst result of the sections.
    """

    columns: Sequence[Column]
    sections: Sequence[str] = (_ALL,)

    def row(self, sections: dict[str, Any], name: str) -> list[str]:
        """Return the cells of a contestant."""
        found = [sections[section][name] for section in self.sections if name in sections[section]]
        return [_worst(column, found) for column in self.columns]


def _worst(column: Column, results: Sequence[dict[str, Any]]) -> str:
    if len(results) == 1:
        return column.cell(results[0])
    values = [result[column.key] for result in results if result.get(column.key) is not None]
    return column.cell({column.key: max(values, default=None)})


def _figures(*columns: tuple[str, str, int]) -> list[Column]:
    return [Column(heading, key, decimals, has_spread=True) for heading, key, decimals in columns]


def _without(key: str, columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.key != key]


_WORST_LATENCY = (Column("lost", "lost"), Column("delay of the app, ms", "late"))
_LATENCIES = [
    f"Answers after {delay} ms, {rate} entries/s"
    for delay in (20, 100)
    for rate in ("1,000", "5,000")
]
_BACKLOGS = ("10,000", "50,000")
_DRAINS = [
    Cells(
        (
            Column(f"{size} entries: MiB of memory", "backlog_mib", 1),
            Column("drained entries/s", "drained", has_spread=True),
            Column("peak MiB during the drain", "drain_mib", 1),
            Column("lost", "lost"),
        ),
        (f"A backlog of {size} entries",),
    )
    for size in _BACKLOGS
]

# The name of each table, and its benchmark and columns.
TABLES: dict[str, tuple[str, list[Cells]]] = {
    "call": (
        "call",
        [
            Cells(
                _figures(("burst p50", "p50", 1), ("p99", "p99", 0), ("p99.9", "p999", 0)),
                ("Burst, 1 thread",),
            ),
            Cells(
                _figures(("paced p50", "p50", 1), ("p99.9", "p999", 0)),
                ("Paced, 2,000/s, 1 thread",),
            ),
        ],
    ),
    "call-threads": (
        "call",
        [
            Cells(_figures(("burst p50", "p50", 1), ("p99.9", "p999", 0)), ("Burst, 8 threads",)),
            Cells((Column("lost", "lost"),), ("Burst, 1 thread", "Burst, 8 threads")),
            Cells(
                _figures(("paced p50", "p50", 1), ("p99.9", "p999", 0)),
                ("Paced, 2,000/s, 8 threads together",),
            ),
        ],
    ),
    "deliver": (
        "deliver",
        [Cells(_without("app_cpu", deliver.COLUMNS))],
    ),
    "latency": (
        "latency",
        [
            *(
                Cells(_figures((heading, "p99", 0)), (section,))
                for heading, section in zip(
                    ("20 ms, 1,000/s", "20 ms, 5,000/s", "100 ms, 1,000/s", "100 ms, 5,000/s"),
                    _LATENCIES,
                    strict=True,
                )
            ),
            Cells(_WORST_LATENCY, _LATENCIES),
        ],
    ),
    "contention": (
        "contention",
        [
            Cells(
                [
                    *_figures(("p50", "p50", 0), ("p99", "p99", 0), ("p99.9", "p999", 0)),
                    Column("units longer than 1 ms, %", "slow", 2),
                    Column("log calls, ms per second", "calls", 1),
                ]
            )
        ],
    ),
    "import": ("import", [Cells(imports.COLUMNS)]),
    "exit": ("exit", [Cells(exits.COLUMNS)]),
    "idle": ("idle", [Cells(_without("threads", idle.COLUMNS))]),
    "spool-call": (
        "spool",
        [
            Cells(
                _figures(("burst p50", "p50", 1), ("p99", "p99", 0), ("p99.9", "p999", 0)),
                ("Log call, burst, microseconds",),
            )
        ],
    ),
    "spool": ("spool", _DRAINS),
    "prices": (
        "prices",
        [
            Cells(
                (Column(f"{title}, µs", "us", 1), Column("difference, µs", "more", 1)),
                (f"A log call, {section}",),
            )
            for title, section in (
                ("standard library", "voyage-logger"),
                ("with `speed`", "voyage-logger[speed]"),
            )
        ],
    ),
}
_TITLES = {entrant.name: entrant.title for entrant in ENTRANTS} | PRICES


def table(name: str, found: dict[str, Any]) -> str:
    """Return a table in Markdown, and a line about the machine and the software.

    Args:
        name: A name in `TABLES`.
        found: The content of the JSON file that the benchmark has written.
    """
    groups = [
        cells
        for cells in TABLES[name][1]
        if all(section in found["results"] for section in cells.sections)
    ]
    headings = [column.heading for cells in groups for column in cells.columns]
    lines = ["| | " + " | ".join(headings) + " |", "|---|" + "---:|" * len(headings)]
    known = found["results"][groups[0].sections[0]]
    for row in (title for title in _TITLES if title in known):
        shown = [text for cells in groups for text in cells.row(found["results"], row)]
        lines.append(f"| {_TITLES[row]} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + f"\n\n*{_report.line(found)}*\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print all tables, or write all tables into a file. Return 1 if a table has no results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--results", type=Path, default=_RESULTS, help="the folder of the JSON")
    parser.add_argument("--into", type=Path, metavar="FILE", help="whose tables are replaced")
    options = parser.parse_args(arguments)
    made = dict(_made(options.results))
    if options.into is None:
        print("\n".join(f"{name}:\n\n{text}" for name, text in made.items()))
    else:
        text = options.into.read_text()
        options.into.write_text(
            _PLACE.sub(
                lambda place: f"{place[1]}\n{made[place[2]]}\n" if place[2] in made else place[0],
                text,
            )
        )
    missing = [name for name in TABLES if name not in made]
    for name in missing:
        print(f"{name}: no results in {options.results}; its table stays", file=sys.stderr)
    return 1 if missing else 0


def _made(folder: Path) -> Iterator[tuple[str, str]]:
    for name, (benchmark, _) in TABLES.items():
        path = folder / f"{benchmark}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        if found["is_quick"]:
            print(f"{path} is of a smoke", file=sys.stderr)
        else:
            yield name, table(name, found)


if __name__ == "__main__":
    sys.exit(main())
