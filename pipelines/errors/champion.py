"""What changed since the champion, on the same test rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.errors.confusion import examples, score_rows
from pipelines.errors.rows import AnsweredRows
from pipelines.model.arrays import Strings

MOST_NEW = 20


def with_champion(
    report: dict[str, Any], rows: AnsweredRows, champion: Strings, *, version: str
) -> dict[str, Any]:
    """Return the report with the change since the champion: of every label, and of the whole.

    `champion` holds its answers to the same rows, str (n,). A label's change is None where either
    version has no score.
    """
    before = score_rows(rows.truth, champion)
    labels = [
        {**row, "change": _change(row, before.get(row["label"], {}))} for row in report["labels"]
    ]
    was_right = champion == rows.truth
    newly_wrong = np.flatnonzero(rows.wrong & was_right)
    return {
        **report,
        "labels": labels,
        "champion": {
            "version": version,
            "accuracy": round(float(was_right.mean()), 6),
            "newly_right": int((~rows.wrong & ~was_right).sum()),
            "newly_wrong": len(newly_wrong),
            "examples": examples(rows, newly_wrong, most=MOST_NEW),
        },
    }


def _change(now: dict[str, Any], before: dict[str, Any]) -> dict[str, float | None]:
    return {name: _difference(now[name], before.get(name)) for name in ("precision", "recall")}


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else round(now - before, 6)
