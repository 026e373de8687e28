"""The error report of a candidate: the stage's, with what changed since the champion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from core.logs import get_logger
from flows.pages.markdown import plain
from pipelines.errors.champion import with_champion
from pipelines.errors.files import PAGE, read_report, write_report
from pipelines.errors.rows import answered_rows
from pipelines.errors.summary import gap_sentence, summary_lines

STAGE = "errors"
COMPLETED = "report"
"""Folder beside the stage's: what DVC has tracked is not written again."""


def complete_report(built: Path, answers: np.ndarray | None, *, champion: str) -> None:
    """Write the report with the change since the champion beside that of the stage.

    `answers` are the champion's to the rows of predictions.parquet, str (n,), None without one;
    `champion` is its version. An error leaves the stage's report: it decides nothing.
    """
    try:
        _complete(built, answers, champion=champion)
    except Exception as error:
        get_logger().error("error report not completed", error=f"{type(error).__name__}: {error}")


def _complete(built: Path, answers: np.ndarray | None, *, champion: str) -> None:
    report = read_report(built / STAGE)
    if report is None or answers is None or "not_measured" in report:
        return
    rows = answered_rows(
        pq.read_table(built / "evaluation" / "predictions.parquet"),
        pq.read_table(built / "split" / "recent.parquet"),
        pq.read_table(built / "split" / "labels.parquet", columns=["id", "from_source"]),
    )
    completed = with_champion(report, rows, answers.astype(object), version=champion)
    write_report(built / COMPLETED, completed)


def report_folder(built: Path) -> Path | None:
    """Return the folder of the completed report, or the stage's where no champion was compared.

    None where the commit of the run has no stage `errors`.
    """
    folders = (built / COMPLETED, built / STAGE)
    return next((folder for folder in folders if (folder / PAGE).exists()), None)


def render_summary(report: Mapping[str, Any]) -> str:
    """Return the report as Markdown for the page of a run; a gap beyond its limit is bold."""
    loud = _loud_sentence(report)
    lines = [line.strip() for line in summary_lines(report)]
    shown = [f"**{plain(line)}**" if line == loud else plain(line) for line in lines]
    return "## Errors\n\n" + "\n".join(f"- {line}" for line in shown)


def _loud_sentence(report: Mapping[str, Any]) -> str:
    """Return the sentence about a gap beyond its limit, "" without one."""
    gap = report.get("gap")
    return gap_sentence(gap) if gap and gap["exceeded"] else ""
