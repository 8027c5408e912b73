"""Draw the load on the server over time, with one picture for each scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks._fleet_scenarios import Result, Scenario

_POINTS = 320
_NOW, _BEFORE, _LINE = "#1f6f8b", "#d9a441", "#777777"


def draw(scenario: Scenario, result: Result, before: dict[str, Any] | None, path: Path) -> None:
    """Write a picture.

    Args:
        scenario: The scenario.
        result: The result of the scenario.
        before: The stored result of an earlier run, or None.
        path: The SVG or PNG file to write.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "fleet", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    start, end = scenario.shown
    figure, axes = plt.subplots(figsize=(7.2, 2.9), layout="constrained")
    axes.set_facecolor("white")
    if before is not None:
        axes.plot(*_means(before["work"], start, end), color=_BEFORE, linewidth=0.9, label="before")
    label = "with the chosen numbers" if before is not None else "offered"
    axes.plot(*_means(result.work, start, end), color=_NOW, linewidth=0.9, label=label)
    for level, style in ((1.0, "--"), (1.5, ":")):
        axes.axhline(level, color=_LINE, linewidth=0.7, linestyle=style)
    for trouble in scenario.troubles:
        axes.axvspan(trouble.start, trouble.end, color="#eeeeee")
    highest = max(1.6, *result.work[start:end], *(before["work"][start:end] if before else ()))
    axes.set(
        title=f"{scenario.title}: {result.processes:,} processes",
        xlabel="seconds",
        ylabel="work asked for / capacity",
        xlim=(start, end),
        ylim=(0, 1.05 * highest),
    )
    axes.legend(loc="upper right", frameon=False, ncols=2)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _means(work: Sequence[float], start: int, end: int) -> tuple[list[float], list[float]]:
    """Return the time and the load of each point of a line.

    In a long run, a point is the mean load of several seconds, which keeps the file small.
    """
    width = max(1, (end - start) // _POINTS)
    bins = range(start, end - width + 1, width)
    return (
        [second + width / 2 for second in bins],
        [round(sum(work[second : second + width]) / width, 3) for second in bins],
    )
