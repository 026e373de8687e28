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


def newest_reports(
    engine: Engine, classifier: str, *, windows: int = WINDOWS_SHOWN
) -> list[Mapping[str, Any]]:
    """Rows of `drift_report`, newest window first."""
    newest = (
        sa.select(drift_report)
        .where(drift_report.c.classifier == classifier)
        .order_by(drift_report.c.id.desc())
        .limit(windows)
    )
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(newest).mappings()]


def render_page(
    classifier: str, verdict: Verdict, reports: Sequence[Mapping[str, Any]], *, evidently_url: str
) -> str:
    """Markdown: verdict and reasons, one line a window with its statistics, the newest plot, links."""
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    parts = [f"# {classifier}: {verdict.kind}", reasons]
    if reports:
        newest = Path(reports[0]["report"])
        parts += [
            _table(reports),
            _plot(newest),
            f"Evidently report: `{newest}`, or in [Evidently's UI]({evidently_url})",
        ]
    return "\n\n".join(part for part in parts if part)


def _table(reports: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in reports for name in row["statistics"]))
    head = [
        "window",
        "from",
        "to",
        "rows",
        "verdict",
        *(f"z of {name}" for name in names),
        "alarms",
    ]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in reports:
        scores = [_number(row["statistics"].get(name, {}).get("z")) for name in names]
        span = [f"{row[end]:%Y-%m-%d %H:%M}" for end in ("window_start", "window_end")]
        cells = [
            row["window_number"],
            *span,
            row["rows"],
            row["verdict"],
            *scores,
            ", ".join(row["alarms"]) or "none",
        ]
        lines.append(" | ".join(str(cell) for cell in cells))
    return "\n".join(f"| {line} |" for line in lines)


def _number(z: float | None) -> str:
    return "" if z is None else f"{z:.2f}"


def _plot(report: Path) -> str:
    """The plot beside the report, inline: the UI reads no files."""
    plot = report.with_suffix(".png")
    return (
        f"![{plot.stem}](data:image/png;base64,{base64.b64encode(plot.read_bytes()).decode()})"
        if plot.is_file()
        else ""
    )
