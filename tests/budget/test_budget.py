"""The cost of a log call stays within `budget.toml`; counts do not depend on a busy machine.

- A log call executes no more opcodes of the package, makes no more calls and keeps no more blocks
  of memory than its budget allows. The worker's costs per entry have a budget, too.
- A budget that is far above the count fails, so that a gain is recorded.
- The queue counts at least as many bytes for an entry as the entry uses in memory.

`nox -s budget` checks instructions, which takes longer. `budget.toml` says how to record a budget.
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
        if (kind, scenario) != ("blocks", "worker")  # the worker keeps no entry
    ],
)
def test_cost_is_as_budgeted(costs: dict[str, Any], kind: str, scenario: str) -> None:
    """A scenario costs at most its budget, and not so little that the budget guards nothing."""
    by_python = budget.load()[kind]
    if costs["python"] not in by_python:
        pytest.skip(f"budget.toml has nothing for Python {costs['python']}")
    allowed = by_python[costs["python"]][scenario]
    assert budget.judge(kind, scenario, costs[kind][scenario], allowed) is None


def test_entry_takes_no_more_memory_than_the_queue_counts(costs: dict[str, Any]) -> None:
    """`max_queue_bytes` bounds memory, because `RECORD_OVERHEAD` covers all that is not JSON."""
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
    """A count over its budget and tolerance is reported, and so is a count 10 % below."""
    said = budget.judge(kind, "fields", count, 1000)
    assert said is None if complaint is None else complaint in (said or "")


def test_history_names_each_budget_that_is_raised() -> None:
    """A new record notes in the history which budgets it raises."""
    old = {"fields": 1000.0, "bare": 700.0, "spool": 900.0}
    new = {"fields": 1010.0, "bare": 690.0, "spool": 900.0, "journey": 1.0}
    assert list(budget.raises("opcodes", old, new)) == ["fields 1000 -> 1010"]
    assert not list(budget.raises("instructions", old, new))  # within the tolerance


def test_every_budget_has_its_reason() -> None:
    """Each record in the history has a date and a reason."""
    history = budget.load()["history"]
    assert history
    assert all(each["reason"].strip() and each["date"] for each in history)
