"""The load on the server over time, drawn: one picture a scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks._fleet_scenarios import Result, Scenario

_NOW, _BEFORE, _LINE = "#1f6f8b", "#d9a441", "#777777"


def draw(scenario: Scenario, result: Result, before: dict[str, Any] | None, path: Path) -> None:
    """Writes a picture.

    Args:
        scenario: What happened.
        result: What came of it.
        before: The same of an earlier run, as it was stored, or None.
        path: An SVG or PNG file.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "fleet", "font.size": 9, "path.simplify_threshold": 1.0})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 2.9), layout="constrained")
    if before is not None:
        axes.plot(*_steps(before["work"]), color=_BEFORE, linewidth=0.8, label="before")
    label = "the chosen numbers" if before is not None else "offered"
    axes.plot(*_steps(result.work), color=_NOW, linewidth=0.9, label=label)
    axes.axhline(1.0, color=_LINE, linewidth=0.7, linestyle="--")
    axes.axhline(1.5, color=_LINE, linewidth=0.7, linestyle=":")
    for trouble in scenario.troubles:
        axes.axvspan(trouble.start, trouble.end, color="#eeeeee")
    axes.set(
        title=f"{scenario.title}: {result.processes:,} processes",
        xlabel="seconds",
        ylabel="work offered / capacity",
        xlim=(0, scenario.seconds),
        ylim=(0, min(5.0, 1.1 * max(1.5, *result.work, *(before["work"] if before else ())))),
    )
    axes.legend(loc="upper right", frameon=False, ncols=2)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _steps(work: Sequence[float]) -> tuple[list[float], list[float]]:
    """Seconds and load; of long courses the means of some seconds, for the files to stay small."""
    width = max(1, len(work) // 600)
    starts = range(0, len(work) - width + 1, width)
    return (
        [start + width / 2 for start in starts],
        [sum(work[start : start + width]) / width for start in starts],
    )
