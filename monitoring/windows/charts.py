"""Plots a watch, statistic by statistic over its windows, and the performance of the weeks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from monitoring.drift.budget import ALARM
from monitoring.performance.estimates import Estimate
from monitoring.performance.figures import Performance
from monitoring.windows.statistics import STATISTICS

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


def draw_performance(weeks: Sequence[Performance], *, title: str) -> bytes:
    """Return a PNG: accuracy and weighted F1 of each week with their intervals, and the estimate.

    A week without labels that stand for all answers has the estimate alone.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    days = [week.group[0] for week in weeks]
    places = range(len(weeks))
    estimates = [week.estimated_accuracy or float("nan") for week in weeks]
    axes.plot(places, estimates, color="gray", linestyle="--", label="estimate")
    for name, shift, values in (
        ("accuracy", -0.06, [week.accuracy for week in weeks]),
        ("weighted F1", 0.06, [week.weighted_f1 for week in weeks]),
    ):
        _draw_intervals(axes, values, shift=shift, label=name)
    step = max(1, len(days) // 12)
    axes.set_xticks(list(places)[::step], days[::step], fontsize=8)
    axes.set(title=title, xlabel="week from", ylim=(None, 1.0))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    png = BytesIO()
    figure.savefig(png, dpi=110, format="png")
    return png.getvalue()


def _draw_intervals(
    axes: Any, values: Sequence[Estimate | None], *, shift: float, label: str
) -> None:
    known = [(place + shift, value) for place, value in enumerate(values) if value is not None]
    axes.errorbar(
        [place for place, _ in known],
        [value.value for _, value in known],
        yerr=[
            [value.value - value.low for _, value in known],
            [value.high - value.value for _, value in known],
        ],
        fmt="o",
        markersize=4,
        capsize=3,
        label=label,
    )
