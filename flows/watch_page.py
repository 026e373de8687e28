"""The page of a watch: Markdown of the verdict and the newest rows of `drift_report`."""

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


def newest_reports(engine: Engine, classifier: str) -> list[Mapping[str, Any]]:
    """Return the rows of the newest WINDOWS_SHOWN windows, newest first."""
    newest = (
        sa.select(drift_report)
        .where(drift_report.c.classifier == classifier)
        .order_by(drift_report.c.id.desc())
        .limit(WINDOWS_SHOWN)
    )
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(newest).mappings()]


def render_page(
    classifier: str, verdict: Verdict, reports: Sequence[Mapping[str, Any]], *, evidently_url: str
) -> str:
    """Return Markdown: verdict, reasons, labels asked for, windows, the newest plot, links."""
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    parts = [f"# {classifier}: {verdict.kind}", reasons, _label_requests(verdict)]
    if reports:
        newest = Path(reports[0]["report"])
        parts += [
            _table(reports),
            _plot(newest),
            f"Evidently report: `{newest}`, or in [Evidently's UI]({evidently_url})",
        ]
    return "\n\n".join(part for part in parts if part)


def _label_requests(verdict: Verdict) -> str:
    """Return the phrases whose labels would help most; they come from clients and are escaped."""
    requests = verdict.evidence.get("label_requests", ())
    if not requests:
        return ""
    head = ["phrase", "answered", "more answers than usual"]
    cells = [
        [_as_code(row["phrase"]), _as_code(row["label"]), str(row["rows"])] for row in requests
    ]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells))
    return f"## Labels that would help most\n\n{lines}"


def _as_code(text: str) -> str:
    """Return text as inline code in a table cell: nothing in it is Markdown."""
    return f"`{text.replace('`', chr(39)).replace('|', '/')}`"


def _table(reports: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in reports for name in row["statistics"]))
    scores = [f"z of {name}" for name in names]
    head = ["window", "from", "to", "rows", "verdict", *scores, "alarms"]
    lines = [head, ["---"] * len(head), *(_cells(row, names) for row in reports)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [
        str(row["window_number"]),
        f"{row['window_start']:%Y-%m-%d %H:%M}",
        f"{row['window_end']:%Y-%m-%d %H:%M}",
        str(row["rows"]),
        row["verdict"],
        *(_number(row["statistics"].get(name, {}).get("z")) for name in names),
        ", ".join(row["alarms"]) or "none",
    ]


def _number(z: float | None) -> str:
    return "" if z is None else f"{z:.2f}"


def _plot(report: Path) -> str:
    """Return the plot beside the report, inline: the Prefect UI reads no files."""
    plot = report.with_suffix(".png")
    if not plot.is_file():
        return ""
    encoded = base64.b64encode(plot.read_bytes()).decode()
    return f"![{plot.stem}](data:image/png;base64,{encoded})"
