"""Draws the plot of an advice: hit rate over cache size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from operations.sizing.advice import Advice, Level


def draw_hit_rates(advice: Advice, file: Path) -> None:
    """Write a PNG: the hit rate of every size, and today's and the advised size of both levels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shown = max(advice.answers.size_now, advice.embeddings.size_now, advice.answers.largest) * 1.5
    for level, color in ((advice.answers, "tab:blue"), (advice.embeddings, "tab:orange")):
        sizes = np.unique(np.geomspace(1, shown, 400).astype(int))
        behind = "" if level is advice.answers else f", behind {advice.answers.size:,} answers"
        axes.plot(
            sizes,
            [level.rate(size) for size in sizes.tolist()],
            color=color,
            label=level.name + behind,
        )
        _mark(axes, level, color)
    axes.set(
        xscale="log",
        ylim=(-0.02, 1.02),
        xlabel="cache size (entries, log scale)",
        ylabel="hit rate (share of lookups at this level)",
    )
    axes.set_title(
        f"Hit rate of every cache size, from {advice.rows:,} answers (● advised, ○ today)",
        fontsize=10,
    )
    axes.legend(loc="upper left", frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def _mark(axes: Any, level: Level, color: str) -> None:
    for size, fill in ((level.size, color), (level.size_now, "white")):
        style = {"color": color, "markerfacecolor": fill, "markersize": 8, "zorder": 3}
        axes.plot([size], [level.rate(size)], "o", **style)
