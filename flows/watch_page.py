"""What a watch shows: a page of markdown, made from the verdict and the newest rows of `drift_report`."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.contracts import Verdict
from core.tables import drift_report

WINDOWS_SHOWN = 6


def newest_reports(engine: Engine, classifier: str, *, windows: int = WINDOWS_SHOWN) -> list[Mapping[str, Any]]:
    """Rows of `drift_report`, newest window first."""
    newest = sa.select(drift_report).where(drift_report.c.classifier == classifier).order_by(drift_report.c.id.desc()).limit(windows)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(newest).mappings()]


def render_page(classifier: str, verdict: Verdict, reports: Sequence[Mapping[str, Any]], *, evidently_url: str) -> str:
    """Markdown: verdict and reasons, one line a window with its statistics, the newest plot, links."""
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    parts = [f"# {classifier}: {verdict.kind}", reasons]
    if reports:
        newest = Path(reports[0]["report"])
        parts += [_table(reports), _plot(newest), f"Evidently report: `{newest}`, or in [Evidently's UI]({evidently_url})"]
    return "\n\n".join(part for part in parts if part)


def _table(reports: Sequence[Mapping[str, Any]]) -> str:
    names = list(reports[0]["statistics"])
    head = ["window", "from", "to", "rows", "verdict", *names, "alarms"]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in reports:
        cells = [row["window_number"], f"{row['window_start']:%Y-%m-%d %H:%M}", f"{row['window_end']:%Y-%m-%d %H:%M}", row["rows"]]
        cells += [row["verdict"], *(_number(row["statistics"].get(name)) for name in names), ", ".join(row["alarms"]) or "none"]
        lines.append(" | ".join(str(cell) for cell in cells))
    return "\n".join(f"| {line} |" for line in lines)


def _number(value: Any) -> str:
    """`z` of a statistic, or the statistic itself."""
    if isinstance(value, Mapping):
        value = value.get("z", value.get("value"))
    return f"{value:.2f}" if isinstance(value, int | float) else str(value)


def _plot(report: Path) -> str:
    """The plot beside the report, inline: the UI reads no files."""
    plots = [report.with_suffix(".png")] if report.with_suffix(".png").is_file() else sorted(report.parent.glob(f"{report.stem}*.png"))
    return "\n\n".join(f"![{plot.stem}](data:image/png;base64,{base64.b64encode(plot.read_bytes()).decode()})" for plot in plots[:1])
