"""Tests of the medians of the benchmarks, and of the tables that are written to the docs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import tables
from benchmarks._bench import shifted, summary
from benchmarks._report import Column, Report
from benchmarks.contestants import ENTRANTS

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]


def test_figures_are_the_medians_of_the_rounds() -> None:
    """The result of a key is the median of its values, or the last value if it is not a number."""
    rounds = [{"p50": 3, "is": True}, {"p50": 100, "is": False}, {"p50": 1, "is": True}]
    assert summary(rounds) == {"p50": 3, "p50 each": [3, 100, 1], "is": True, "rounds": 3}
    assert summary([{"rate": None}, {"rate": 2.0}])["rate"] == 2.0


def test_figure_is_followed_by_the_spread_of_the_rounds() -> None:
    """The spread shows the smallest and the largest number of all rounds."""
    result = summary([{"p50": 12.31}, {"p50": 11.0}, {"p50": 14.0}])
    shifted(result, ["p50"], 1.0)

    assert Column("us", "p50", 1, has_spread=True).cell(result) == "11.3 (10.0 to 13.0)"
    assert Column("us", "p50", 1).cell(result) == "11.3"
    assert Column("us", "p50", has_spread=True).cell(summary([{"p50": 12.3}])) == "12"
    assert Column("us", "none", has_spread=True).cell(result) == "-"


def results(folder: Path, *, is_quick: bool = False) -> Path:
    """Write invented results of `deliver` and `latency` to a folder, and return the folder."""
    report_setting = {"date": "2026-11-25", "python": "3.11.7", "sink": "C", "rounds": 3}
    machine = {"cores": 2, "cpu": "a processor", "load": [0.1, 0.1, 0.1]}
    found = {**report_setting, "machine": machine, "versions": {}, "is_quick": is_quick}
    columns = [Column("any", "lost")]
    delivered = Report("deliver", "")
    rates = [{"rate": rate, "lost": 0} for rate in (70_000.0, 80_000.0, 75_000.0)]
    delivered.add("", ENTRANTS, {"voyage": summary(rates)}, columns)
    delivered.write(folder, found)
    slow = Report("latency", "")
    for delay, rate, lost in ((20, 1, 0), (20, 5, 4), (100, 1, 0), (100, 5, 3)):
        result = {"voyage": summary([{"p99": delay + 1.0, "lost": lost, "late": 0.4}])}
        slow.add(f"Answers after {delay} ms, {rate},000 entries/s", ENTRANTS, result, columns)
    slow.write(folder, found)
    return folder


def test_tables_of_the_docs_are_made_from_the_results(tmp_path: Path) -> None:
    """New tables replace the tables in the docs, and all other text stays."""
    text = "Before.\n<!-- benchmark: {0} -->\nold\n<!-- end -->\nAfter.\n"
    doc = tmp_path / "doc.md"
    doc.write_text("".join(text.format(name) for name in ("deliver", "latency", "idle")))

    ended = tables.main(["--results", str(results(tmp_path)), "--into", str(doc)])

    delivered, slow, idle = doc.read_text().split("Before.\n")[1:]
    assert ended == 1  # `idle` has no results
    assert idle == text.format("idle").removeprefix("Before.\n")
    for replaced in (delivered, slow):
        assert "old" not in replaced
        assert replaced.endswith("<!-- end -->\nAfter.\n")
        assert "load 0.1; CPython 3.11.7; sink in C; rounds: 3" in replaced
    assert "| **voyage-logger** | 75,000 (70,000 to 80,000) | - |" in delivered
    assert "| **voyage-logger** | 21 | 21 | 101 | 101 | 4 | 0 |" in slow


def test_quick_run_makes_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The results of a run with `--quick` are not written to the docs."""
    assert tables.main(["--results", str(results(tmp_path, is_quick=True))]) == 1

    said = capsys.readouterr()
    assert "| ---" not in said.out
    assert "voyage-logger" not in said.out
    assert "deliver.json is of a smoke" in said.err


def test_docs_have_a_place_for_every_table() -> None:
    """The docs have a mark for each table, and each mark is the name of a table."""
    text = (ROOT / "docs" / "performance.md").read_text()
    assert re.findall(r"<!-- benchmark: (\S+) -->", text) == list(tables.TABLES)
    assert text.count("<!-- end -->") == len(tables.TABLES)
