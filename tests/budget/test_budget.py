"""What is promised of the cost of logging: counts, not times, so that a busy machine is no matter.

- A log call executes no more of the package's opcodes, makes no more calls and keeps no more blocks
  of memory than `budget.toml` says, in each scenario; nor does the worker, per entry.
- What that saves is recorded: a budget that is far above the count fails, too.
- What the queue counts for an entry is at least what the entry takes in memory.

Instructions are checked by `nox -s budget`, which takes longer. How to record: see `budget.toml`.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.budget import budget
from voyage_logger._queue.lanes import RECORD_OVERHEAD


@pytest.fixture(scope="module")
def costs() -> dict[str, Any]:
    return budget.portable_costs()


@pytest.mark.parametrize(
    ("kind", "scenario"),
    [
        (kind, scenario)
        for kind in budget.KINDS
        for scenario in budget.SCENARIOS
        if (kind, scenario) != ("blocks", "worker")  # it keeps nothing
    ],
)
def test_cost_is_as_budgeted(costs: dict[str, Any], kind: str, scenario: str) -> None:
    """Nothing costs more than its budget, nor so much less that the budget guards nothing."""
    by_python = budget.load()[kind]
    if costs["python"] not in by_python:
        pytest.skip(f"budget.toml has nothing for Python {costs['python']}")
    allowed = by_python[costs["python"]][scenario]
    assert budget.judge(kind, scenario, costs[kind][scenario], allowed) is None


def test_entry_takes_no_more_memory_than_the_queue_counts(costs: dict[str, Any]) -> None:
    """`max_queue_bytes` bounds memory indeed: `RECORD_OVERHEAD` covers all beside the JSON."""
    assert 0.75 * RECORD_OVERHEAD < costs["overhead"] <= RECORD_OVERHEAD


@pytest.mark.parametrize(
    ("kind", "count", "complaint"),
    [
        ("opcodes", 1000, None),
        ("opcodes", 1001, "over it"),
        ("opcodes", 900, None),
        ("opcodes", 899, "far under it"),
        ("instructions", 1020, None),
        ("instructions", 1021, "over it"),
    ],
)
def test_judge(kind: str, count: float, complaint: str | None) -> None:
    """A count beyond its budget and tolerance is told, and so is one 10 % below."""
    said = budget.judge(kind, "fields", count, 1000)
    assert said is None if complaint is None else complaint in (said or "")


def test_raise_is_noted() -> None:
    """The history gets to know which budgets a new record raises."""
    old = {"fields": 1000.0, "bare": 700.0, "spool": 900.0}
    new = {"fields": 1010.0, "bare": 690.0, "spool": 900.0, "journey": 1.0}
    assert list(budget.raises("opcodes", old, new)) == ["fields 1000 -> 1010"]
    assert not list(budget.raises("instructions", old, new))  # within what is no difference


def test_every_budget_has_its_reason() -> None:
    """The history is kept, and each record in it says why."""
    history = budget.load()["history"]
    assert history
    assert all(each["reason"].strip() and each["date"] for each in history)
