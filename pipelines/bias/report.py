"""bias.json: every measure, and each kind's number with its limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipelines.bias.measures import Measure

KINDS = ("historical", "representation", "measurement", "aggregation", "evaluation")
CHOSEN = ("label source", "time")
"""Dimensions whose shares of wrong answers are shown without a limit: feedback comes where answers
were wrong, and the newest days hold what has changed. The gate judges both."""
RARE = ("label frequency", "rare labels")
RARE_LIMIT = "rare_labels"
DIGITS = 6

Report = dict[str, Any]


def bias_report(
    measures: Sequence[Measure],
    *,
    limits: Mapping[str, float],
    failed: Mapping[str, str] | None = None,
) -> Report:
    """Return the content of bias.json.

    `limits` has one per kind, that of rare labels, and `min_rows`. `failed` says of a kind why its
    measurement failed; reports of earlier releases do not have it.
    """
    failed = failed or {}
    shown = [{**_rounded(measure), "limit": limit_of(measure, limits)} for measure in measures]
    return {
        "min_rows": int(limits["min_rows"]),
        "kinds": {
            kind: _missing(failed[kind])
            if kind in failed
            else _worst([row for row in shown if row["kind"] == kind])
            for kind in KINDS
        },
        "measures": shown,
        "failed": dict(failed),
    }


def limit_of(measure: Measure, limits: Mapping[str, float]) -> float | None:
    """Return the limit of a measure, None where it is only shown."""
    if measure.kind != "evaluation":
        return limits[measure.kind]
    if measure.dimension in CHOSEN:
        return None
    is_rare = (measure.dimension, measure.group) == RARE
    return limits[RARE_LIMIT if is_rare else "evaluation"]


def not_measured(report: Mapping[str, Any]) -> dict[str, str]:
    """Return kind -> why it has no number, of the kinds without one."""
    return {
        kind: measure["missing"]
        for kind, measure in report.get("kinds", {}).items()
        if measure["within"] is None
    }


def off_limits(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the measures that are beyond their limit for certain: also their lower bound is."""
    return [
        row
        for row in report.get("measures", ())
        if row["limit"] is not None and not row["missing"] and row["low"] > row["limit"]
    ]


def _worst(rows: Sequence[Mapping[str, Any]]) -> Report:
    """Return the measure nearest to its limit, or beyond it most; why there is none otherwise."""
    limited = [row for row in rows if row["limit"] is not None and not row["missing"]]
    if not limited:
        reasons = [f"{row['group']}: {row['missing']}" for row in rows if row["missing"]]
        return _missing("; ".join(reasons) or "no two groups to compare")
    worst = max(limited, key=lambda row: (row["low"] - row["limit"], row["value"]))
    return {**worst, "within": worst["low"] <= worst["limit"]}


def _missing(reason: str) -> Report:
    return {"missing": reason, "within": None}


def _rounded(measure: Measure) -> Report:
    row = asdict(measure)
    for name in ("value", "low", "high"):
        if row[name] is not None:
            row[name] = round(row[name], DIGITS)
    return row
