"""The page of a watch: Markdown of the verdict and the newest rows of `drift_report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.contracts import Verdict
from core.tables.loop import drift_report
from flows.pages.markdown import as_code, inline_image, links_line, table
from monitoring.windows.evidently_report import report_name, report_page

WINDOWS_SHOWN = 6
MEANING = {
    "label_shares": "shares of the labels answered",
    "embeddings": "what the phrases are about",
    "confidence": "how confidences are distributed",
    "low_confidence": "share of answers below a confidence of 0.5",
    "novelty_mean": "distance of the phrases from every label, mean",
    "novelty_p90": "distance of the phrases from every label, 90th percentile",
}


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
    """Return Markdown: verdict, labels asked for, the newest window against its limit, what moved,
    the phrases that are farthest from every label, the windows before, plot, links.
    """
    parts = [
        f"# {classifier}: {verdict.kind}",
        "\n".join(f"- {reason}" for reason in verdict.reasons),
        _label_requests(verdict),
        _statistics(reports),
        _moved_labels(verdict),
        _novel_phrases(verdict),
    ]
    if reports:
        newest = Path(reports[0]["report"])
        parts += [
            _windows(reports),
            _plot(newest),
            links_line(_links(classifier, reports[0], evidently_url)),
        ]
    return "\n\n".join(part for part in parts if part)


def _label_requests(verdict: Verdict) -> str:
    """Return the phrases whose labels would help most; they come from clients and are escaped."""
    requests = verdict.evidence.get("label_requests", ())
    if not requests:
        return ""
    head = ("phrase", "answered", "more answers than usual")
    rows = [[as_code(row["phrase"]), as_code(row["label"]), str(row["rows"])] for row in requests]
    return f"## Labels that would help most\n\n{table(head, rows)}"


def _statistics(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return the statistics of the newest window that could be judged, against their limit."""
    judged = next((row for row in reports if row["statistics"]), None)
    if judged is None:
        return ""
    head = ("statistic", "what it measures", "value", "z: deviations above the past", "limit", "")
    rows = [
        [
            name,
            MEANING.get(name, ""),
            f"{entry['value']:.4f}",
            _number(entry["z"]),
            _number(entry.get("limit")),
            "**alarm**" if name in judged["alarms"] else "",
        ]
        for name, entry in judged["statistics"].items()
    ]
    return f"## Window {judged['window_number']} against its limit\n\n{table(head, rows)}"


def _moved_labels(verdict: Verdict) -> str:
    moved = verdict.evidence.get("moved_labels", ())
    if not moved:
        return ""
    head = ("label", "share before", "share now", "change in points")
    rows = [
        [
            as_code(row["label"]),
            f"{row['before']:.1%}",
            f"{row['now']:.1%}",
            f"{100 * (row['now'] - row['before']):+.1f}",
        ]
        for row in moved
    ]
    return f"## Labels that moved most\n\n{table(head, rows)}"


def _novel_phrases(verdict: Verdict) -> str:
    novel = verdict.evidence.get("novel_phrases", ())
    if not novel:
        return ""
    head = ("phrase", "answered", "distance from every label", "answers")
    rows = [
        [as_code(row["phrase"]), as_code(row["label"]), f"{row['novelty']:.2f}", str(row["rows"])]
        for row in novel
    ]
    return f"## Phrases farthest from every label\n\n{table(head, rows)}"


def _windows(reports: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in reports for name in row["statistics"]))
    scores = [f"z of {name}" for name in names]
    head = ["window", "from", "to", "rows", "verdict", *scores, "none of these", "alarms"]
    return f"## Newest windows\n\n{table(head, (_cells(row, names) for row in reports))}"


def _cells(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [
        str(row["window_number"]),
        f"{row['window_start']:%Y-%m-%d %H:%M}",
        f"{row['window_end']:%Y-%m-%d %H:%M}",
        str(row["rows"]),
        row["verdict"],
        *(_number(row["statistics"].get(name, {}).get("z")) for name in names),
        _share((row.get("evidence") or {}).get("abstained_share")),
        ", ".join(row["alarms"]) or "none",
    ]


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _number(z: float | None) -> str:
    return "" if z is None else f"{z:.2f}"


def _plot(report: Path) -> str:
    plot = report.with_suffix(".png")
    return inline_image(plot) if plot.is_file() else ""


def _links(classifier: str, row: Mapping[str, Any], evidently_url: str) -> dict[str, str]:
    name = report_name(classifier, row["version"], row["window_number"])
    return {
        f"window {row['window_number']} in Evidently": evidently_url
        + report_page(classifier, name),
        "report": row["report"],
    }
