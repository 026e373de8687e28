"""One picture of the year."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from operations.simulation.figures import Notes

_SMOOTHED_DAYS = 7


def draw_year(notes: Notes, *, file: Path) -> Path:
    """Weighted F1 by day of every policy, mean over the seeds, with the events; return the file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(11, 5))
    for policy, runs in notes.items():
        days = min(len(run["f1"]) for run in runs.values())
        mean = np.mean([run["f1"][:days] for run in runs.values()], axis=0)
        axes.plot(_smoothed(mean), label=policy, linewidth=1.2)
    lowest = axes.get_ylim()[0]
    for event in _calendar(notes):
        axes.axvspan(event[1], event[2], color="0.93", zorder=0)
        axes.text(event[1], lowest, event[0], fontsize=8, rotation=90, va="bottom")
    axes.set(xlabel="day of the year", ylabel="weighted F1 of the day's answers")
    axes.legend(loc="lower left", bbox_to_anchor=(1.0, 0.0), frameon=False)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    pyplot.close(figure)
    return file


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Mean of the last days, fewer at the beginning."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - _SMOOTHED_DAYS)
    smoothed: np.ndarray = (sums[ends] - sums[starts]) / (ends - starts)
    return smoothed


def _calendar(notes: Notes) -> list[tuple[str, int, int]]:
    """Kind and days of the events; those for good are marked by three days."""
    run = next(run for runs in notes.values() for run in runs.values())
    lasting = ("season", "broken", "silence")
    return [
        (
            event["kind"],
            event["first"],
            event["last"] if event["kind"] in lasting else event["first"] + 3,
        )
        for event in run["calendar"]
    ]
