"""The page of an error report: one file, readable offline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors.chart import draw_curve
from pipelines.errors.summary import curve_sentences, gap_sentence, slice_name, summary_lines
from pipelines.page_templates import page_environment


def render_page(report: Mapping[str, Any]) -> str:
    """Return the page as HTML. Text from data is escaped."""
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {
        "share": _share,
        "points": _points,
        "thousands": "{:,}".format,
        "slice_name": slice_name,
    }
    if "not_measured" in report:
        return environment.get_template("missing.html").render(
            report=report, summary=summary_lines(report)
        )
    rows = {row["label"]: row for row in report["labels"]}
    return environment.get_template("page.html").render(
        report=report,
        summary=summary_lines(report),
        worst=[rows[name] for name in report["worst"]],
        curve=report["curve"],
        curve_sentences=list(curve_sentences(report["curve"])),
        chart=draw_curve(report["curve"]),
        gap=report["gap"],
        gap_sentence=gap_sentence(report["gap"]),
        patterns=report["patterns"],
        champion=report["champion"],
    )


def _share(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def _points(value: float | None) -> str:
    """Return a change of a share in points, with its sign."""
    return "–" if value is None else f"{100 * value:+.1f}"
