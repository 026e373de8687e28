"""Compares windows of history in a checkout whose phrases are embedded; its figures and picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import TrainingImpossible
from core.files import replacing, write_json
from core.params.schema import ClassifierParams
from pipelines.history import Fitting, HistoryComparison, compare_histories, possible_windows
from pipelines.stages.files import DATA, EMBEDDINGS, read_rows
from pipelines.stages.labelled_rows import labelled_rows, of_line
from pipelines.stages.vectors import read_vectors

FIGURES = "history.json"
PICTURE = "history.png"


def compare_checkout(
    root: Path,
    *,
    block: ClassifierParams,
    seed: int,
    years: int,
    report: Callable[[str], None],
) -> HistoryComparison:
    """Compare 1 to `years` years on the snapshot and the embeddings of a checkout.

    Windows longer than the data are left out. Raises `TrainingImpossible`.
    """
    source = block.source
    columns = ["id", "phrase", "occurred_at", "region", "origin", source.label]
    table = read_rows(root / DATA / source.dataset / "rows.parquet", columns=columns)
    table = of_line(table, block.line.value if block.line else None)
    rows = labelled_rows(table, label=source.label)
    windows = [days for days in possible_windows(rows, years=years) if days > block.test_days]
    if not windows:
        raise TrainingImpossible(
            f"labelled rows over more than test_days ({block.test_days})",
            came=f"{len(rows.ids)} rows",
            do="lower test_days, or bring older rows",
        )
    facts = json.loads((root / EMBEDDINGS / "embedder.json").read_text(encoding="utf-8"))
    fitting = Fitting(
        block,
        embed=partial(read_vectors, folder=root / EMBEDDINGS),
        embedder_id=facts["embedder_id"],
        seed=seed,
    )
    return compare_histories(rows, windows=windows, fitting=fitting, report=report)


def write_history(folder: Path, comparison: HistoryComparison) -> None:
    """Write the figures and the picture into a folder that exists."""
    write_json(folder / FIGURES, asdict(comparison))
    draw_history(folder / PICTURE, comparison)


def draw_history(path: Path, comparison: HistoryComparison) -> None:
    """Draw weighted F1 and seconds by window; equal numbers give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)  # its methods have no types
    axes = figure.add_subplot()
    days = [window.days for window in comparison.windows]
    axes.plot(days, [window.weighted_f1 for window in comparison.windows], marker="o")
    axes.axvline(comparison.recommended, color="tab:green", linewidth=1, linestyle="--")
    axes.set(
        title="Weighted F1 of the newest test rows by days of history",
        xlabel="days of history (dashed: recommended)",
        ylabel="weighted F1",
        xticks=days,
    )
    seconds = axes.twinx()
    seconds.bar(days, [window.seconds for window in comparison.windows], width=60, alpha=0.2)
    seconds.set(ylabel="CPU seconds of one fit")
    with replacing(path) as part, part.open("wb") as file:
        canvas.print_png(file, metadata={"Software": None})
