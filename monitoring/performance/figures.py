"""How good the answers were: weighted F1, accuracy and coverage by period, version, region, label.

Only labels that stand for all answers make a figure: a random sample, else labels of people who
look at right answers too. Corrections were chosen because answers were wrong: they are counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.answers import answer_count, label_count
from monitoring.performance.answer_counts import SUMS
from monitoring.performance.estimates import (
    Estimate,
    Sample,
    estimate_accuracy,
    estimate_coverage,
    estimate_f1,
    estimate_recall,
    estimate_weighted_f1,
)
from monitoring.performance.judged_answers import JudgedAnswer, read_judged
from monitoring.performance.periods import Period

Dimension = Literal["day", "week", "month", "version", "region", "label"]
DIMENSIONS: tuple[Dimension, ...] = ("week", "day", "month", "version", "region", "label")
Basis = Literal["sample", "unselected", "none"]
Group = tuple[str, ...]


@dataclass(frozen=True)
class Performance:
    """How good the answers of one group were, as far as labels tell.

    `group` holds one value per dimension: the first day of a period, a version, a region ("" where
    it is unknown) or the label answered. `estimated_accuracy` is the mean served probability, and
    `abstained` answers were refused.

    `labelled` answers have a right label, `right` of them agree with it, `sampled` were drawn at
    random. `basis` says which stand for all, and `judges` how many: the random sample; without
    one, labels of people who look at right answers too; or none. `corrections` are the others.
    `coverage` is the share of answers that have a right label at all. Of a label, `accuracy` is
    its precision, `weighted_f1` its F1, and `recall` belongs to it alone.
    """

    group: Group
    answers: int
    estimated_accuracy: float | None
    labelled: int
    right: int
    sampled: int
    judges: int
    corrections: int
    basis: Basis
    accuracy: Estimate | None
    weighted_f1: Estimate | None
    coverage: Estimate | None
    recall: Estimate | None = None
    abstained: int = 0


@dataclass(frozen=True)
class _Count:
    answers: int
    probability_sum: float
    abstained: int

    @property
    def mean(self) -> float | None:
        return self.probability_sum / self.answers if self.answers else None


_NO_ANSWERS = _Count(0, 0.0, 0)


def measure_performance(
    connection: Connection,
    classifier: str,
    *,
    by: Sequence[Dimension],
    period: Period,
    judged: Sequence[JudgedAnswer],
    shadows: bool = False,
) -> list[Performance]:
    """Return one row per group with answers in the period, in the order of the groups.

    No dimension makes one group of all answers. `judged` is what `read_judged` returns for the
    period, up to the answers that are counted. `label` stands alone. With `shadows`, what shadow
    versions would have answered makes groups of its own by version.
    """
    chosen = [answer for answer in judged if shadows or not answer.shadow]
    counts = _counts(connection, classifier, by, period, shadows=shadows)
    if tuple(by) == ("label",):
        return _by_label(counts, chosen)
    codes = label_codes(chosen)
    groups: dict[Group, list[JudgedAnswer]] = defaultdict(list)
    for answer in chosen:
        groups[tuple(_VALUES[name](answer) for name in by)].append(answer)
    return [_measure(group, count, groups[group], codes) for group, count in counts.items()]


def measure_by(
    connection: Connection,
    classifier: str,
    *,
    by: Sequence[Dimension],
    period: Period,
    counted: int,
    shadows: bool = False,
) -> list[Performance]:
    """Read the labels of a period, and return `measure_performance` by some dimensions."""
    judged = read_judged(
        connection, classifier, since=period.start, until=period.end, counted=counted
    )
    return measure_performance(
        connection, classifier, by=by, period=period, judged=judged, shadows=shadows
    )


def choose_basis(judged: Sequence[JudgedAnswer]) -> tuple[Basis, list[JudgedAnswer]]:
    """Return the answers that stand for all: the drawn ones, else the unselected ones."""
    drawn = [answer for answer in judged if answer.drawn is not None]
    if drawn:
        return "sample", drawn
    unselected = [answer for answer in judged if answer.unselected and answer.right is not None]
    return ("unselected", unselected) if unselected else ("none", [])


def sample_of(
    basis: Sequence[JudgedAnswer],
    codes: Mapping[str, int],
    *,
    size: int,
    mean_probability: float | None,
) -> Sample:
    """Return the answers of a basis as a sample; unselected ones were all as likely."""
    return Sample(
        right=np.array([codes.get(answer.right or "", -1) for answer in basis], np.int64),
        answered=np.array([codes[answer.answered] for answer in basis], np.int64),
        probability=np.array([answer.probability for answer in basis], float),
        drawn=np.array([answer.drawn or 1.0 for answer in basis], float),
        size=size,
        mean_probability=mean_probability or 0.0,
    )


def _measure(
    group: Group, count: _Count, judged: Sequence[JudgedAnswer], codes: Mapping[str, int]
) -> Performance:
    kind, basis = choose_basis(judged)
    sample = sample_of(basis, codes, size=count.answers, mean_probability=count.mean)
    return Performance(
        **_counted(group, count, judged, basis),
        basis=kind,
        accuracy=estimate_accuracy(sample),
        weighted_f1=estimate_weighted_f1(sample),
        coverage=estimate_coverage(sample) if kind == "sample" else None,
    )


def _by_label(counts: Mapping[Group, _Count], judged: Sequence[JudgedAnswer]) -> list[Performance]:
    """Return precision, recall and F1 of every label that was answered or right."""
    codes = label_codes(judged, [label for (label,) in counts])
    kind, basis = choose_basis(judged)
    answers = sum(count.answers for count in counts.values())
    whole = sample_of(basis, codes, size=answers, mean_probability=None)
    by_answer: dict[str, list[JudgedAnswer]] = defaultdict(list)
    for answer in judged:
        by_answer[answer.answered].append(answer)
    stands = {id(answer) for answer in basis}

    def of_label(label: str) -> Performance:
        count = counts.get((label,), _NO_ANSWERS)
        code = codes[label]
        own = by_answer[label]
        answered = whole.only(
            whole.answered == code, size=count.answers, mean_probability=count.mean or 0.0
        )
        return Performance(
            **_counted((label,), count, own, [row for row in own if id(row) in stands]),
            basis=kind,
            accuracy=estimate_accuracy(answered),
            weighted_f1=estimate_f1(whole, code),
            coverage=None,
            recall=estimate_recall(whole, code),
        )

    return [of_label(label) for label in sorted(codes)]


def _counted(
    group: Group, count: _Count, judged: Sequence[JudgedAnswer], basis: Sequence[JudgedAnswer]
) -> dict[str, Any]:
    """Return the fields of `Performance` that are counted, not estimated."""
    return {
        "group": group,
        "answers": count.answers,
        "abstained": count.abstained,
        "estimated_accuracy": count.mean,
        "labelled": sum(answer.right is not None for answer in judged),
        "right": sum(answer.agrees for answer in judged),
        "sampled": sum(answer.drawn is not None for answer in judged),
        "judges": len(basis),
        "corrections": len(judged) - len(basis),
    }


def label_codes(judged: Sequence[JudgedAnswer], others: Sequence[str] = ()) -> dict[str, int]:
    """Number the labels that were answered or right, and others."""
    labels = {answer.answered for answer in judged} | set(others)
    labels |= {answer.right for answer in judged if answer.right is not None}
    return {label: code for code, label in enumerate(sorted(labels))}


def _version(answer: JudgedAnswer) -> str:
    return f"{answer.version} (shadow)" if answer.shadow else answer.version


def _day(answer: JudgedAnswer) -> date:
    return answer.occurred_at.date()


def _week(answer: JudgedAnswer) -> str:
    return _monday(_day(answer))


@cache
def _monday(day: date) -> str:
    return (day - timedelta(days=day.weekday())).isoformat()


_VALUES: dict[str, Callable[[JudgedAnswer], str]] = {
    "day": lambda answer: _day(answer).isoformat(),
    "week": _week,
    "month": lambda answer: _day(answer).replace(day=1).isoformat(),
    "version": _version,
    "region": lambda answer: answer.region,
    "label": lambda answer: answer.answered,
}


def _counts(
    connection: Connection,
    classifier: str,
    by: Sequence[Dimension],
    period: Period,
    *,
    shadows: bool,
) -> dict[Group, _Count]:
    """Return the counted answers of each group, in the order of the groups."""
    table = (label_count if "label" in by else answer_count).c
    keys = [_key(name) for name in by]
    sums = [sa.func.sum(table[name]) for name in SUMS]
    query = (
        sa.select(*keys, *sums)
        .where(table.classifier == classifier)
        .group_by(*keys)
        .order_by(*keys)
    )
    if not shadows:
        query = query.where(sa.not_(table.shadow))
    if period.since is not None:
        query = query.where(table.day >= period.since)
    if period.until is not None:
        query = query.where(table.day < period.until)
    rows = [tuple(row) for row in connection.execute(query)]
    return {
        tuple(map(str, row[: len(by)])): _Count(
            int(row[-3] or 0), row[-2] or 0.0, int(row[-1] or 0)
        )
        for row in rows
    }


def _key(name: Dimension) -> sa.ColumnElement[Any]:
    table = (label_count if name == "label" else answer_count).c
    if name == "day":
        return table.day
    if name in ("week", "month"):
        return sa.cast(sa.func.date_trunc(sa.literal_column(f"'{name}'"), table.day), sa.Date)
    if name == "version":
        shadow = table.version + sa.literal_column("' (shadow)'")
        return sa.case((table.shadow, shadow), else_=table.version)
    return table[name]
