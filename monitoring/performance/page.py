"""The performance of a classifier as one HTML file that is readable without a network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from core.files import replacing
from monitoring.performance.figures import Dimension, Performance
from monitoring.performance.promises import describe_promise
from monitoring.performance.report import (
    LABELS_SHOWN,
    NOTE,
    SECTIONS,
    Report,
    cells,
    columns_of,
    describe,
)
from monitoring.windows.charts import draw_performance

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8886 }
img { max-width: 100%; background: #fff }
div { overflow-x: auto }
"""


def write_page(report: Report, *, folder: Path, now: datetime) -> Path:
    """Write `DAY.html` of the last day of the period below the classifier's folder."""
    file = folder / "performance" / report.classifier / f"{now:%Y-%m-%d}.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        part.write_text(render_page(report, now=now), encoding="utf-8")
    return file


def render_page(report: Report, *, now: datetime) -> str:
    """Return the page: one sentence, what the figures mean, a picture, and a table per section."""
    title = f"{report.classifier}: performance from {report.period.since} to {report.period.until}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p><strong>{escape(describe(report))}</strong></p>",
        f"<p>{escape(describe_promise(report.promise))}</p>",
        f"<p>{escape(NOTE)}</p>",
        _picture(report),
        *(_section(name, report.sections[name]) for name in SECTIONS),
        f"<p>Written {now:%Y-%m-%d %H:%M} UTC. Days are those of UTC.</p>",
    ]
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
    body = "\n".join(parts)
    return f"<!doctype html>\n<html lang='en'><head>{head}</head>\n<body>{body}</body></html>\n"


def _picture(report: Report) -> str:
    weeks = report.sections["week"]
    if not weeks:
        return ""
    png = base64.b64encode(draw_performance(weeks, title=report.classifier)).decode()
    return f"<img alt='Accuracy and weighted F1 by week' src='data:image/png;base64,{png}'>"


def _section(name: Dimension, rows: Sequence[Performance]) -> str:
    shown = rows[:LABELS_SHOWN]
    left_out = f"<p>The {len(rows) - len(shown):,} others are answered less often.</p>"
    lines = [_line("th", columns_of(name)), *(_line("td", cells(row, name)) for row in shown)]
    table = f"<div><table>{''.join(lines)}</table></div>"
    return f"<h2>By {name}</h2>{table}{left_out if len(rows) > len(shown) else ''}"


def _line(tag: str, texts: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(text)}</{tag}>' for text in texts)}</tr>"
