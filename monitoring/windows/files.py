"""Writes the files of a judged window: the Evidently report and the plot beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from monitoring.drift.budget import ALARM
from monitoring.drift.judging import JudgedWindow
from monitoring.windows.charts import draw_statistics
from monitoring.windows.evidently_report import Headline, describe, write_report
from monitoring.windows.pending import PendingWindows
from monitoring.windows.scoring import WindowScorer


def report_file(judged: JudgedWindow, pending: PendingWindows, *, reports: Path) -> Path:
    """Return where the report of a window lies: HTML, and its plot with the suffix .png."""
    folder = reports / "drift" / pending.classifier / pending.version
    return folder / f"window-{judged.window.number:04d}.html"


def write_window_files(
    judged: JudgedWindow,
    pending: PendingWindows,
    history: Sequence[JudgedWindow],
    scorer: WindowScorer,
    *,
    reports: Path,
) -> None:
    """Write report and plot of one window to `report_file`.

    `history` holds the windows of this watch: the plot shows those up to this window, after the
    ones reported before.
    """
    classifier = pending.classifier
    version = pending.version
    number = judged.window.number
    file = report_file(judged, pending, reports=reports)
    headline = Headline(
        classifier,
        version,
        number,
        judged.end,
        judged.verdict.kind,
        (describe_window(judged),),
        judged.statistics,
    )
    write_report(
        describe(judged.rows, novelty=scorer.novelty(judged.rows)),
        _describe_baseline(judged.baseline, scorer),
        headline=headline,
        file=file,
        workspace=reports / "evidently",
    )
    draw_statistics(
        _z_by_window(pending, history, number),
        title=f"{classifier}, version {version}",
        file=file.with_suffix(".png"),
        limit=judged.score.alarm if judged.score else ALARM,
    )


def describe_window(judged: JudgedWindow) -> str:
    """Return one sentence: which window, its answers, its verdict, the z of alarms, its notes."""
    reasons = "; ".join(judged.verdict.reasons)
    alarms = ", ".join(f"{name} z {judged.z[name]:.1f}" for name in judged.alarms)
    span = f"{judged.start:%Y-%m-%d %H:%M} to {judged.end:%Y-%m-%d %H:%M}"
    size = ", ".join(filter(None, (f"{len(judged.rows)} answers", judged.window.sample)))
    sentence = f"window {judged.window.number} ({span}, {size}): {reasons}"
    sentence = f"{sentence} ({alarms})" if alarms else sentence
    if judged.refused:
        sentence = f"{sentence}; {judged.refused:.1%} of the answers said none of these"
    return "; ".join((sentence, *judged.notes))


def _describe_baseline(baseline: pd.DataFrame, scorer: WindowScorer) -> pd.DataFrame | None:
    """Repeat each row as often as its weight: Evidently knows no weights."""
    if baseline.empty:
        return None
    repeats = baseline["weight"].round().astype(int)
    repeated = baseline.loc[np.repeat(baseline.index, repeats)].reset_index(drop=True)
    return describe(repeated, novelty=scorer.novelty(repeated))


def _z_by_window(
    pending: PendingWindows, history: Sequence[JudgedWindow], number: int
) -> list[tuple[int, dict[str, float]]]:
    """Return window number and z of every window up to `number`."""
    reported = [
        (report.window_number, {name: entry["z"] for name, entry in report.statistics.items()})
        for report in pending.reports
    ]
    judged = [(window.window.number, window.z) for window in history]
    return reported + [(at, z) for at, z in judged if at <= number]
