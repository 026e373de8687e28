"""Draws the plots of an evaluation as PNG; equal numbers give equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.files import replacing
from pipelines.stages.scores import ScoredAnswers, reliability


def draw_plots(folder: Path, answers: ScoredAnswers, evaluation: Mapping[str, Any]) -> None:
    """Write reliability.png, confusions.png and f1_by_support.png."""
    _save(folder / "reliability.png", lambda axes: _draw_reliability(axes, answers))
    _save(folder / "confusions.png", lambda axes: _draw_confusions(axes, evaluation["confused"]))
    _save(folder / "f1_by_support.png", lambda axes: _draw_f1(axes, evaluation["labels"]))


def _save(path: Path, draw: Callable[[Any], None]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), dpi=110, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)  # its methods have no types
    draw(figure.add_subplot())
    with replacing(path) as part, part.open("wb") as file:
        canvas.print_png(file, metadata={"Software": None})


def _draw_reliability(axes: Any, answers: ScoredAnswers) -> None:
    probabilities, right, rows = zip(*reliability(answers), strict=True)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.scatter(
        probabilities, right, s=[20 + 400 * count / sum(rows) for count in rows], color="tab:blue"
    )
    axes.set(
        title="How often an answer of this probability is right",
        xlabel="probability",
        ylabel="share right",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
    )


def _draw_confusions(axes: Any, confused: list[dict[str, Any]]) -> None:
    shown = confused[::-1]
    axes.barh(
        [f"{pair['label'][:28]} → {pair['predicted'][:28]}" for pair in shown],
        [pair["rows"] for pair in shown],
        color="tab:orange",
    )
    axes.set(title="Pairs most confused (right label → answer)", xlabel="test rows")
    axes.tick_params(axis="y", labelsize=7)


def _draw_f1(axes: Any, labels: Mapping[str, Mapping[str, float]]) -> None:
    axes.scatter(
        [scores["support"] for scores in labels.values()],
        [scores["f1"] for scores in labels.values()],
        s=14,
        alpha=0.6,
    )
    axes.set(
        title="F1 of each label by its test rows",
        xlabel="test rows",
        ylabel="F1",
        xscale="log",
        ylim=(-0.02, 1.02),
    )
