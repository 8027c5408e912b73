"""Write the results as Markdown tables and as JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._bench import EACH
from benchmarks.contestants import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks._bench import Bench
    from benchmarks.contestants import Entrant


OWN = "voyage-logger"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: The heading of the column.
        key: The key of the result that the column shows.
        decimals: The number of decimals that the column shows.
        has_spread: True to also show the smallest and the largest number of all rounds.
    """

    heading: str
    key: str
    decimals: int = 0
    has_spread: bool = False

    def cell(self, result: dict[str, Any]) -> str:
        """Return the text of a result for this column."""
        figure = _shown(result.get(self.key), self.decimals)
        each = result.get(self.key + EACH) or [None]
        if not self.has_spread or len(each) == 1:
            return figure
        least, most = (_shown(value, self.decimals) for value in (min(each), max(each)))
        return f"{figure} ({least} to {most})"


@dataclass
class Report:
    """The results of a benchmark.

    Attributes:
        name: The name of the benchmark.
        title: The title above all tables.
        tables: The tables in Markdown, by heading.
        notes: Facts that a reader needs to understand the tables.
        data: All numbers, for JSON.
    """

    name: str
    title: str
    tables: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def add(
        self,
        heading: str,
        entrants: Sequence[Entrant],
        results: dict[str, dict[str, Any]],
        columns: Sequence[Column],
    ) -> None:
        """Add a table with a row for each contestant that has a result."""
        lines = [
            "| | " + " | ".join(column.heading for column in columns) + " |",
            "|---|" + "---:|" * len(columns),
        ]
        for entrant in entrants:
            if (result := results.get(entrant.name)) is not None:
                cells = [column.cell(result) for column in columns]
                name = "" if entrant is NOTHING else f" `{entrant.name}`"
                lines.append(f"| {entrant.title}{name} | " + " | ".join(cells) + " |")
        self.tables.append((heading, "\n".join(lines)))
        self.data[heading or "results"] = results

    def show(self) -> str:
        """Return the report in Markdown."""
        parts = [f"## {self.title}"]
        for heading, table in self.tables:
            parts += [f"### {heading}", table] if heading else [table]
        parts += [f"- {note}" for note in self.notes]
        return "\n\n".join(parts).replace("\n\n- ", "\n- ")

    def write(self, folder: Path, setting: dict[str, Any]) -> Path:
        """Write the report as JSON, and return the path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        whole = {"benchmark": self.name, **setting, "notes": self.notes, "results": self.data}
        path.write_text(json.dumps(whole, indent=1) + "\n")
        return path


def _shown(value: object, decimals: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:,.{decimals}f}"
    return str(value)


def setting(bench: Bench, tested: str) -> dict[str, Any]:
    """Return facts about the machine and the software; `tested` is the tested version."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
            "load": [round(load, 2) for load in os.getloadavg()],
        },
        "python": platform.python_version(),
        "sink": bench.sink.kind,
        "rounds": bench.rounds,
        "is_quick": bench.is_quick,
        "versions": {
            entrant.package: tested if entrant.package == OWN else metadata.version(entrant.package)
            for entrant in bench.entrants
            if entrant.package
        },
    }


def line(found: dict[str, Any]) -> str:
    """Return the facts about machine and software in one line."""
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{found['date']}; {machine['cores']} cores of {machine['cpu']}, "
        f"load {machine['load'][0]}; "
        f"CPython {found['python']}; sink in {found['sink']}; rounds: {found['rounds']}; {versions}"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for text in info.read_text().splitlines():
            if text.startswith("model name"):
                return text.partition(":")[2].strip()
    return platform.processor() or platform.machine()
