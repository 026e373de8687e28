"""The Evidently report for people: HTML, JSON and a run in a workspace. It decides nothing."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from monitoring.windows.dashboard import LARGEST_LABEL, LIMIT, write_dashboard

TEXTS = ("label", "region")
NUMBERS = ("confidence", "novelty", "phrase_length", "words")
LABELS_NAMED = 10
OTHER_LABELS = "all other labels"
_SPACE = uuid.UUID("5f0c8f0e-6f0b-4a55-9d8e-6a2b5d1c0b1a")
"""Names projects and runs, so that a report written again replaces itself."""


@dataclass(frozen=True)
class Headline:
    """The heading of a report: whose window it is, and the verdict."""

    classifier: str
    version: str
    window: int
    end: datetime
    verdict: str
    reasons: tuple[str, ...]
    statistics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Name -> value, z and limit; empty when the window could not be judged."""

    @property
    def name(self) -> str:
        return report_name(self.classifier, self.version, self.window)


def report_name(classifier: str, version: str, window: int) -> str:
    """Return the name of a window's report, which also identifies its run in the workspace."""
    return f"{classifier} {version} window {window}"


def report_page(classifier: str, name: str) -> str:
    """Return the address of a report, below the address of Evidently's UI."""
    project = uuid.uuid5(_SPACE, classifier)
    return f"/projects/{project}/reports/{uuid.uuid5(_SPACE, name)}"


def describe(rows: pd.DataFrame, *, novelty: Any) -> pd.DataFrame:
    """Return the columns that Evidently can compare: TEXTS without nulls, and NUMBERS."""
    cleaned = rows["cleaned"].astype(str)
    region = rows["region"].astype(object)
    return pd.DataFrame(
        {
            "label": rows["label"].astype(str),
            "region": region.where(region.notna(), "unknown").astype(str),
            "confidence": rows["confidence"].astype(float),
            "novelty": pd.Series(novelty, rows.index, dtype=float),
            "phrase_length": cleaned.str.len().astype(float),
            "words": (cleaned.str.count(" ") + 1).astype(float),
        }
    )


def write_report(
    current: pd.DataFrame,
    reference: pd.DataFrame | None,
    *,
    headline: Headline,
    file: Path,
    workspace: Path,
) -> None:
    """Compare two described frames; write `file` (.html), its .json, and the run of the workspace.

    The HTML needs no network. Without a reference the report has the figures of the window only.
    Writing again replaces the report.
    """
    run = _run(current, reference, headline)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_with_headline(run.get_html_str(as_iframe=False), headline), encoding="utf-8")
    run.save_json(str(file.with_suffix(".json")))
    _add_to_workspace(run, headline, workspace)


def _run(current: pd.DataFrame, reference: pd.DataFrame | None, headline: Headline) -> Any:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import DataDefinition, Dataset, Report

    current, reference = _with_largest_labels(current, reference)
    heights = _heights(headline)
    definition = DataDefinition(
        categorical_columns=[*TEXTS, LARGEST_LABEL], numerical_columns=[*NUMBERS, *heights]
    )
    metadata = {
        "classifier": headline.classifier,
        "version": headline.version,
        "window": str(headline.window),
        "verdict": headline.verdict,
    }
    metrics = _metrics(list(heights), compared=reference is not None)
    report = Report(metrics, metadata=metadata, tags=[headline.verdict])
    compared_with = None
    if reference is not None:
        past = {name: height if name == LIMIT else 0.0 for name, height in heights.items()}
        compared_with = Dataset.from_pandas(reference.assign(**past), definition)
    return report.run(
        Dataset.from_pandas(current.assign(**heights), definition),
        compared_with,
        timestamp=headline.end,
        name=headline.name,
    )


def _heights(headline: Headline) -> dict[str, float]:
    """Return z of each statistic and the limit, as columns: Evidently plots columns only."""
    statistics = headline.statistics
    heights = {f"z_{name}": entry["z"] for name, entry in statistics.items()}
    for entry in statistics.values():
        heights[LIMIT] = entry["limit"]
    return heights


def _with_largest_labels(
    current: pd.DataFrame, reference: pd.DataFrame | None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Name the labels that are largest in the window or in the reference; join the others."""
    frames = [current] if reference is None else [current, reference]
    shares = [frame["label"].value_counts(normalize=True) for frame in frames]
    largest = pd.concat(shares).sort_values(ascending=False, kind="stable").index
    named = list(dict.fromkeys(largest))[:LABELS_NAMED]

    def renamed(frame: pd.DataFrame) -> pd.DataFrame:
        kept = frame["label"].where(frame["label"].isin(named), OTHER_LABELS)
        return frame.assign(**{LARGEST_LABEL: kept})

    return renamed(current), None if reference is None else renamed(reference)


def _metrics(heights: list[str], *, compared: bool) -> list[Any]:
    """Return what the report computes; Evidently's metrics per label need it in the reference."""
    from evidently import metrics

    alone = [
        metrics.RowCount(),
        metrics.UniqueValueCount(column=LARGEST_LABEL),
        metrics.MeanValue(column="confidence"),
        metrics.InRangeValueCount(column="confidence", left=0.0, right=0.5),
        metrics.MeanValue(column="novelty"),
        metrics.QuantileValue(column="novelty", quantile=0.9),
    ]
    alone += [metrics.MeanValue(column=name) for name in heights]
    drifts = [metrics.ValueDrift(column=name, method="jensenshannon") for name in TEXTS]
    drifts += [metrics.ValueDrift(column=name, method="ks") for name in NUMBERS]
    return alone + drifts if compared else alone


def _with_headline(html: str, headline: Headline) -> str:
    """Put the verdict above the page, which itself uses Evidently's tests at default thresholds."""
    title = f"{escape(headline.name)}: {escape(headline.verdict)}"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in headline.reasons)
    block = (
        "<header style='font-family: sans-serif; padding: 16px 24px;"
        " border-bottom: 1px solid #ccc'>"
        f"<h1 style='font-size: 22px; margin: 0 0 8px'>{title}</h1><ul>{reasons}</ul>"
        "<p style='color: #555; margin: 0'>This verdict comes from the history-calibrated rule."
        " The figures below describe the window. Their words “drift detected” refer to fixed"
        " thresholds of Evidently and decide nothing.</p></header>"
    )
    return html.replace("<body>", f"<body>{block}", 1)


def _add_to_workspace(run: Any, headline: Headline, folder: Path) -> None:
    from evidently.ui.workspace import Workspace

    folder.mkdir(parents=True, exist_ok=True)
    workspace = Workspace.create(str(folder))
    project = uuid.uuid5(_SPACE, headline.classifier)
    if workspace.get_project(project) is None:
        _add_whole_project(folder, project, headline.classifier)
        workspace = Workspace.create(str(folder))
    write_dashboard(workspace, project)
    workspace.state.write_snapshot(
        project, uuid.uuid5(_SPACE, headline.name), run.to_snapshot_model()
    )


def _add_whole_project(folder: Path, project: uuid.UUID, classifier: str) -> None:
    """Make a project beside the workspace and move it there.

    The page watches the workspace: half a project file would end its watching for good.
    """
    from evidently.ui.workspace import Workspace

    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        _create_project(Workspace.create(beside), project, classifier)
        made = folder / str(project)
        try:
            (Path(beside) / str(project)).rename(made)
        except OSError:
            if not (made / "metadata.json").is_file():  # else another watch was quicker
                raise


def remove_report(classifier: str, name: str, *, workspace: Path) -> None:
    """Remove a run from the workspace; a run that is not there is not an error."""
    project = uuid.uuid5(_SPACE, classifier)
    run = uuid.uuid5(_SPACE, name)
    (workspace / str(project) / "snapshots" / f"{run}.json").unlink(missing_ok=True)


def _create_project(workspace: Any, project: uuid.UUID, classifier: str) -> None:
    from evidently.sdk.models import ProjectModel

    workspace.add_project(
        ProjectModel(id=project, name=classifier, description="windows of the champion's answers")
    )
    write_dashboard(workspace, project)
