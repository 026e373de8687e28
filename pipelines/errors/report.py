"""The error report of one version as a value: what `errors.json` holds and the page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.params.heads import Head as HeadParams
from pipelines.errors.confusion import (
    EXAMPLES,
    confused_pairs,
    examples,
    label_table,
    worst_by_traffic,
)
from pipelines.errors.curve import (
    LEAST_POINTS,
    PowerLaws,
    TrafficMix,
    fit_power_laws,
    gain_of,
    growth_exponent,
)
from pipelines.errors.patterns import Pattern, find_patterns
from pipelines.errors.refits import Refits
from pipelines.errors.rows import AnsweredRows
from pipelines.errors.slices import ANSWERS, NEW_PHRASES, cut_slices
from pipelines.model.training import TrainingRows
from pipelines.not_measured import NotMeasured

FORMAT = 1
WORST = 20
FACTORS = (1.1, 2.0)
"""10 % and 100 % more rows."""
LINE_POINTS = 24


@dataclass(frozen=True)
class Measured:
    """What the report is made of.

    `trained` and `traffic` count the training rows and the recent rows of each label; `gap` is that
    of `measure_gap`; `params` is the block's head.
    """

    rows: AnsweredRows
    training: TrainingRows
    refits: Refits | NotMeasured
    gap: Mapping[str, Any]
    params: HeadParams
    trained: Mapping[str, int]
    traffic: Mapping[str, int]
    seed: int


def build_report(classifier: str, measured: Measured) -> dict[str, Any]:
    """Return the report. The flow adds what changed since the champion (`with_champion`)."""
    rows = measured.rows
    wrong = rows.wrong
    labels = label_table(rows, trained=measured.trained, traffic=measured.traffic)
    return {
        "format": FORMAT,
        "classifier": classifier,
        "head": measured.params.kind,
        "rows": len(wrong),
        "phrases": len(rows.phrases),
        "mistakes": int(wrong.sum()),
        "accuracy": round(float(1 - wrong.mean()), 6) if len(wrong) else None,
        "confused": confused_pairs(rows),
        "labels": labels,
        "worst": [row["label"] for row in worst_by_traffic(labels, most=WORST)],
        "curve": learning_curve(measured),
        "gap": dict(measured.gap),
        "patterns": patterns_of(rows, measured.refits),
        "champion": None,
    }


def missing_report(classifier: str, why: NotMeasured) -> dict[str, Any]:
    """Return the report of mistakes that could not be measured."""
    return {"format": FORMAT, "classifier": classifier, "not_measured": why.reason}


def learning_curve(measured: Measured) -> dict[str, Any]:
    """Return points, line and gains of the learning curve, or the reason why there is none."""
    refits = measured.refits
    if isinstance(refits, NotMeasured):
        return {"reason": refits.reason}
    points = [
        {"phrases": point.phrases, "wrong": round(float(point.wrong.mean()), 6)}
        for point in refits.points
    ]
    facts = {
        "head": refits.kind,
        "substitute": refits.kind != measured.params.kind,
        "held_out": len(refits.answers),
        "points": points,
    }
    if len(points) < LEAST_POINTS:
        reason = f"{len(points)} refits were possible, and a curve needs {LEAST_POINTS}"
        return {**facts, "reason": reason}
    return {**facts, "reason": "", **_power_law(measured, refits)}


def _power_law(measured: Measured, refits: Refits) -> dict[str, Any]:
    laws = fit_power_laws(refits.points, seed=measured.seed)
    traffic = _traffic(measured)
    known = measured.rows.seen
    known_wrong = float(measured.rows.wrong[known].mean()) if known.any() else 0.0
    gains = [gain_of(laws, traffic, factor=factor, known_wrong=known_wrong) for factor in FACTORS]
    return {
        "phrases": traffic.phrases,
        "growth": round(traffic.growth, 4),
        "new_share": round(traffic.new, 6),
        "exponent": round(float(laws.exponent[0]), 4),
        "floor": round(float(laws.floor[0]), 6),
        "line": _line(laws, refits.points[0].phrases, traffic),
        "gains": [asdict(gain) for gain in gains],
    }


def _traffic(measured: Measured) -> TrafficMix:
    part = measured.training.without_test()
    _, codes = np.unique(part.cleaned, return_inverse=True)
    counts = np.bincount(codes, weights=part.weights).astype(np.float64)
    return TrafficMix(len(counts), growth_exponent(counts), float((~measured.rows.seen).mean()))


def _line(laws: PowerLaws, first: int, traffic: TrafficMix) -> list[dict[str, float]]:
    """Return the curve with its interval, from the first point to twice the rows."""
    last = traffic.phrases * FACTORS[-1] ** traffic.growth
    line = []
    for phrases in np.geomspace(first, last, LINE_POINTS).tolist():
        values = np.clip(laws.at(phrases), 0, 1)
        low, high = np.percentile(values, (2.5, 97.5)).tolist()
        line.append(
            {
                "phrases": round(phrases),
                "wrong": round(float(values[0]), 6),
                "low": round(low, 6),
                "high": round(high, 6),
            }
        )
    return line


def patterns_of(rows: AnsweredRows, refits: Refits | NotMeasured) -> dict[str, Any]:
    """Return the slices in which mistakes are too frequent, of answers and of new phrases."""
    populations = {ANSWERS: rows}
    if isinstance(refits, Refits):
        populations[NEW_PHRASES] = held_out_rows(refits)
    slices = [part for among, cut in populations.items() for part in cut_slices(cut, among=among)]
    search = find_patterns(slices)
    return {
        "tested": search.tested,
        "populations": {
            among: {"phrases": len(cut.phrases), "mistakes": int(cut.wrong.sum())}
            for among, cut in populations.items()
        },
        "found": [_shown(pattern, populations[pattern.slice.among]) for pattern in search.patterns],
    }


def held_out_rows(refits: Refits) -> AnsweredRows:
    """Return the held-out phrases as rows, one per phrase, without a place in time or space."""
    held = refits.held.rows
    count = len(held.labels)
    return AnsweredRows(
        phrases=held.cleaned,
        codes=np.arange(count),
        truth=held.labels.astype(object),
        predicted=refits.answers,
        probability=refits.probability,
        seen=np.zeros(count, bool),
        region=np.full(count, "", dtype=object),
        occurred_at=np.zeros(count, "datetime64[us]"),
        from_source=np.ones(count, bool),
    )


def _shown(pattern: Pattern, rows: AnsweredRows) -> dict[str, Any]:
    part = pattern.slice
    return {
        "among": part.among,
        "kind": part.kind,
        "name": part.name,
        "phrases": part.phrases,
        "mistaken": part.mistaken,
        "share": round(part.share, 6),
        "elsewhere": round(part.share_elsewhere, 6),
        "p_value": float(f"{pattern.p_value:.3g}"),
        "adjusted": float(f"{pattern.adjusted:.3g}"),
        "also": _names(pattern.also),
        "examples": examples(rows, _mistakes_in(rows, pattern), most=EXAMPLES),
    }


def _names(slices: Sequence[Any]) -> list[dict[str, str]]:
    return [{"kind": part.kind, "name": part.name} for part in slices]


def _mistakes_in(rows: AnsweredRows, pattern: Pattern) -> Any:
    """Return the wrong rows of the pattern's mistaken phrases, in order."""
    return np.flatnonzero(rows.wrong & np.isin(rows.codes, pattern.slice.wrong))
