"""The performance of one classifier as people read it: one value for pages, files and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Engine

from core.english import counted
from core.errors import InvalidPeriod
from monitoring.performance.answer_counts import Counted
from monitoring.performance.estimates import Estimate
from monitoring.performance.figures import DIMENSIONS, Dimension, Performance, measure_performance
from monitoring.performance.judged_answers import read_judged
from monitoring.performance.periods import Period
from monitoring.performance.promises import Promise, check_promise

SECTIONS: tuple[Dimension, ...] = ("week", "version", "region", "label")
LABELS_SHOWN = 50
BASIS = {
    "sample": "of a random sample",
    "unselected": "of people who label right answers, too",
    "none": "no labels",
}
COLUMNS = (
    "answers",
    "none of these",
    "estimate",
    "accuracy",
    "weighted F1",
    "coverage",
    "judged by",
    "corrections",
)
LABEL_COLUMNS = (
    "answers",
    "none of these",
    "estimate",
    "precision",
    "F1",
    "recall",
    "judged by",
    "corrections",
)
NOTE = (
    "Accuracy, weighted F1 and coverage stand for all answers, with 95 % intervals. They come from "
    "the random sample, each label weighted by how likely its answer was to be drawn; without a "
    "sample, from people who label right answers too. Corrections are counted and never pass as "
    "accuracy. Coverage is the share of answers that have a right label at all. The estimate is "
    "the mean served probability. An answer with none of these counts by its best guess."
)


@dataclass(frozen=True)
class Report:
    """The performance of a classifier in a period, as a whole and in SECTIONS.

    `counted` is False while answers that arrived are not counted yet. `promise` is that of the
    version that answers now, since it does; None for one that always answers.
    """

    classifier: str
    period: Period
    whole: Performance
    sections: Mapping[Dimension, Sequence[Performance]]
    counted: bool
    promise: Promise | None = None


def read_report(engine: Engine, classifier: str, period: Period, counted: Counted) -> Report:
    """Read the counts and the labels of a period. Labels are those answered most, then the rest."""
    sections: dict[Dimension, Sequence[Performance]] = {}
    with engine.connect() as connection:
        judged = read_judged(
            connection,
            classifier,
            since=period.start,
            until=period.end,
            counted=counted.until,
        )
        [whole] = measure_performance(connection, classifier, by=(), period=period, judged=judged)
        for name in SECTIONS:
            sections[name] = measure_performance(
                connection,
                classifier,
                by=(name,),
                period=period,
                judged=judged,
                shadows=name == "version",
            )
        promise = check_promise(connection, classifier)
    sections["label"] = sorted(sections["label"], key=lambda row: -row.answers)
    return Report(classifier, period, whole, sections, counted.complete, promise)


def read_dimension(text: str) -> Dimension:
    """Return one of DIMENSIONS. Raises `InvalidPeriod` for anything else."""
    for name in DIMENSIONS:
        if text == name:
            return name
    raise InvalidPeriod(
        f"one of {', '.join(DIMENSIONS)} for `by`", came=repr(text[:40]), do="choose one of them"
    )


def columns_of(name: Dimension) -> tuple[str, ...]:
    """Return the headings of a section, the group first."""
    return (name, *(LABEL_COLUMNS if name == "label" else COLUMNS))


def cells(row: Performance, name: Dimension) -> tuple[str, ...]:
    """Return a row of a section as text, under `columns_of`."""
    third = row.recall if name == "label" else row.coverage
    return (
        row.group[0] or "unknown",
        f"{row.answers:,}",
        f"{row.abstained / row.answers:.1%}" if row.abstained else "",
        _number(row.estimated_accuracy),
        interval(row.accuracy),
        interval(row.weighted_f1),
        interval(third),
        judged_by(row),
        f"{row.corrections:,}",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def interval(estimate: Estimate | None) -> str:
    """Return such as "0.912 (0.885 to 0.934)"."""
    if estimate is None:
        return ""
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def judged_by(row: Performance) -> str:
    """Return such as "200 of a random sample"."""
    if row.basis == "none":
        return BASIS["none"]
    return f"{row.judges:,} {BASIS[row.basis]}"


def record(row: Performance, by: Sequence[Dimension]) -> dict[str, Any]:
    """Return a row as flat JSON or CSV: one key per dimension, and three per estimate."""
    estimates = {
        "accuracy": row.accuracy,
        "weighted_f1": row.weighted_f1,
        "coverage": row.coverage,
        "recall": row.recall,
    }
    flat: dict[str, Any] = dict(zip(by, row.group, strict=True))
    for key in (
        "answers",
        "abstained",
        "estimated_accuracy",
        "labelled",
        "right",
        "sampled",
        "judges",
        "corrections",
    ):
        flat[key] = getattr(row, key)
    flat["basis"] = row.basis
    for key, estimate in estimates.items():
        flat[key] = estimate and estimate.value
        flat[f"{key}_low"] = estimate and estimate.low
        flat[f"{key}_high"] = estimate and estimate.high
    return flat


def describe(report: Report) -> str:
    """Return one sentence: the accuracy, by which labels, of how many answers."""
    whole = report.whole
    if not whole.answers:
        return "no answers in this period"
    answers = counted(whole.answers, "answer")
    estimate = f"estimated {whole.estimated_accuracy:.3f} of {answers}"
    if whole.accuracy is None:
        corrections = f"{whole.corrections:,} corrections, which say nothing of the rest"
        return f"no labels that stand for all answers; {corrections}; {estimate}"
    judges = f"{whole.judges:,} labels {BASIS[whole.basis]}"
    return f"accuracy {interval(whole.accuracy)} by {judges}; {estimate}"
