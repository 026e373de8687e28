"""Compares windows of history on a fresh snapshot of the working tree; nothing is registered."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import TrainingImpossible
from core.files import replacing, write_json
from core.settings import Settings
from flows import steps
from flows.context import LoopContext, open_context
from flows.run import Run
from pipelines.history import Fitting, HistoryComparison, compare_histories, possible_windows
from pipelines.stages.files import DATA, EMBEDDINGS, read_rows
from pipelines.stages.labelled_rows import labelled_rows
from pipelines.stages.vectors import read_vectors
from pipelines.uncommitted import bring_uncommitted
from pipelines.workspace import Workspace, open_workspace


def compare_history(
    settings: Settings,
    classifier: str,
    *,
    years: int,
    now: datetime,
    report: Callable[[str], None],
) -> tuple[HistoryComparison, Path]:
    """Return the comparison of 1 to `years` years, and the folder of its picture and figures.

    Raises `UnknownClassifier`, `DataCheckFailed` and `TrainingImpossible`.
    """
    run = Run(f"history-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}", now, "history", {})
    with (
        open_context(settings) as context,
        open_workspace(settings.repository, seconds=settings.stage_seconds) as workspace,
    ):
        context.known_classifiers([classifier])
        bring_uncommitted(settings.repository, workspace.folder)
        _prepare(context, workspace, classifier, run)
        comparison = _compare(context, workspace.folder, classifier, years=years, report=report)
    folder = settings.reports / "history" / classifier / run.id
    folder.mkdir(parents=True)
    write_json(folder / "history.json", asdict(comparison))
    draw_history(folder / "history.png", comparison)
    return comparison, folder


def _prepare(context: LoopContext, workspace: Workspace, classifier: str, run: Run) -> None:
    """Snapshot, check and embed."""
    _, refused = steps.take_snapshot(context, workspace, [classifier], run)
    for error in refused.values():
        raise error
    steps.check_snapshot(context, workspace, run)
    steps.require_sound(context, workspace, [classifier], run)
    workspace.reproduce(["embed"])


def _compare(
    context: LoopContext,
    root: Path,
    classifier: str,
    *,
    years: int,
    report: Callable[[str], None],
) -> HistoryComparison:
    block = context.params.classifier(classifier)
    source = block.source
    columns = ["id", "phrase", "occurred_at", "region", "origin", source.label]
    table = read_rows(root / DATA / source.dataset / "rows.parquet", columns=columns)
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
        seed=context.params.seed,
    )
    return compare_histories(rows, windows=windows, fitting=fitting, report=report)


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
