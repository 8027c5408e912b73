"""The cost of a log call stays within the budgets in `budget.toml`.

- The opcodes, calls and memory blocks of a log call have budgets. The worker's costs for an entry
  also have budgets.
- A test fails if a count is far below its budget, so that people lower the budget.
- For each entry, the queue counts at least as many bytes as the entry uses in memory.

`nox -s budget` checks the number of instructions, which takes longer. `budget.toml` explains
how to record a budget.
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
        if (kind, scenario) != ("blocks", "worker")  # the worker keeps no entry in memory
    ],
)
def test_cost_is_as_budgeted(costs: dict[str, Any], kind: str, scenario: str) -> None:
    """The cost of each scenario is neither above its budget nor far below its budget."""
    by_python = budget.load()[kind]
    if costs["python"] not in by_python:
        pytest.skip(f"budget.toml has nothing for Python {costs['python']}")
    allowed = by_python[costs["python"]][scenario]
    assert budget.judge(kind, scenario, costs[kind][scenario], allowed) is None


def test_entry_takes_no_more_memory_than_the_queue_counts(costs: dict[str, Any]) -> None:
    """An entry needs no more memory than the queue counts: its JSON and `RECORD_OVERHEAD`."""
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
def test_count_over_or_far_under_its_budget_is_reported(
    kind: str, count: float, complaint: str | None
) -> None:
    """A count is reported if it exceeds its budget plus tolerance, or is 10 % below its budget."""
    said = budget.judge(kind, "fields", count, 1000)
    assert said is None if complaint is None else complaint in (said or "")


def test_history_names_each_budget_that_is_raised() -> None:
    """A new record in the history names the budgets that were raised."""
    old = {"fields": 1000.0, "bare": 700.0, "spool": 900.0}
    new = {"fields": 1010.0, "bare": 690.0, "spool": 900.0, "journey": 1.0}
    assert list(budget.raises("opcodes", old, new)) == ["fields 1000 -> 1010"]
    assert not list(budget.raises("instructions", old, new))  # the increase is within the tolerance


def test_every_budget_has_its_reason() -> None:
    """Each record in the history has a date and a reason."""
    history = budget.load()["history"]
    assert history
    assert all(each["reason"].strip() and each["date"] for each in history)
