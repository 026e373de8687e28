"""The two files of an error report: the value, and the page that shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.files import replacing, write_json
from pipelines.errors.page import render_page

REPORT = "errors.json"
PAGE = "errors.html"


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write both files; equal reports give equal bytes."""
    write_json(folder / REPORT, report)
    with replacing(folder / PAGE) as part:
        part.write_text(render_page(report), encoding="utf-8")


def read_report(folder: Path) -> dict[str, Any] | None:
    """Return the report of a folder; None where none was made, or it cannot be read."""
    try:
        report: dict[str, Any] = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report
