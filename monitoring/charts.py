"""Plots a watch: how far each statistic lay above the past, window by window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from monitoring.budget import ALARM
from monitoring.statistics import STATISTICS

WINDOWS_SHOWN = 40
TICKS = (-3, 0, 3, 10, 30, 100)


def draw_statistics(
    history: Sequence[tuple[int, Mapping[str, float]]], *, title: str, file: Path, limit: float
) -> None:
    """Write a PNG: the z of each statistic over the window numbers, and the limit of the newest.

    The scale is linear up to ALARM, logarithmic beyond it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shown = history[-WINDOWS_SHOWN:]
    numbers = [number for number, _ in shown]
    for name in STATISTICS:
        heights = [z.get(name, float("nan")) for _, z in shown]
        axes.plot(numbers, heights, marker="o", ms=4, label=name)
    axes.axhline(limit, color="black", linestyle="--", linewidth=1, label=f"limit {limit:.1f}")
    axes.set_yscale("symlog", linthresh=ALARM)
    axes.set_yticks(TICKS, [str(tick) for tick in TICKS])
    axes.minorticks_off()
    axes.set(title=title, xlabel="window", ylabel="standard deviations above the past")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
