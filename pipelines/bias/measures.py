"""Four kinds of bias, each measured per group; the fifth, aggregation, is in regions.py.

Every measure has an interval. Those of one kind hold together with 95 %: the level of each is
divided by the number of groups (Bonferroni), so that fair data rarely shows a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.bias.clustered import Estimate, gap, mean, ratio
from pipelines.bias.fairness import wrong_shares
from pipelines.bias.rows import BiasRows
from pipelines.model.arrays import Bool, Float64, Strings

DOUBT = 0.05
EVERYTHING = "all"

HISTORICAL = ("region",)
REPRESENTED = ("region", "phrase length", "label frequency")
MEASURED = ("region", "label source")
EVALUATED = ("region", "phrase length", "label frequency", "label source", "time")


@dataclass(frozen=True)
class Measure:
    """One number of one group; `missing` says why there is none, "" when there is one.

    `rows` are those of the group that the number is computed from.
    """

    kind: str
    dimension: str
    group: str
    rows: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    missing: str = ""


@dataclass(frozen=True)
class BiasGroup:
    """The rows of one group among those that a kind looks at."""

    dimension: str
    name: str
    rows: Bool


def historical(rows: BiasRows, *, min_rows: int) -> list[Measure]:
    """Measure the share of test rows that get the label their phrase had before.

    That is the answer where the label of the phrase has changed with the newest days.
    """
    tested = rows.phrases[rows.test]
    stale = stale_answers(rows)

    def measured(group: BiasGroup, doubt: float) -> Estimate:
        return mean(stale[group.rows], tested[group.rows], doubt=doubt)

    groups = [BiasGroup(EVERYTHING, "test rows", np.ones(len(stale), bool))]
    groups += _groups(rows, HISTORICAL, among=rows.test)
    return _measured("historical", groups, measured, min_rows=min_rows)


def representation(rows: BiasRows, *, min_rows: int) -> list[Measure]:
    """Measure how many times as often a group occurs in the recent rows as in training rows."""
    recent = rows.phrases[rows.recent]
    trained = rows.phrases[~rows.test]

    def measured(group: BiasGroup, doubt: float) -> Estimate:
        in_training = (rows.groups[group.dimension] == group.name)[~rows.test]
        return ratio((group.rows, in_training), (recent, trained), doubt=doubt)

    groups = _groups(rows, REPRESENTED, among=rows.recent)
    return _measured("representation", groups, measured, min_rows=min_rows)


def measurement(rows: BiasRows, *, min_rows: int) -> list[Measure]:
    """Measure how much more often a group's label of a phrase differs from other groups' labels
    of it than from its own.
    """
    excess = {name: disagreement(rows, rows.groups[name]) for name in MEASURED}
    groups = [
        BiasGroup(name, str(group), (rows.groups[name] == group) & ~np.isnan(excess[name]))
        for name in MEASURED
        for group in sorted(set(rows.groups[name]))
        if len(set(rows.groups[name])) > 1
    ]

    def measured(group: BiasGroup, doubt: float) -> Estimate:
        values = excess[group.dimension][group.rows]
        return mean(values, rows.phrases[group.rows], doubt=doubt)

    return _measured("measurement", groups, measured, min_rows=min_rows)


def evaluation(rows: BiasRows, *, min_rows: int) -> list[Measure]:
    """Measure how much more often a group's test rows are answered wrongly than the others'."""
    truth = rows.labels[rows.test]
    tested = rows.phrases[rows.test]
    wrong = wrong_answers(rows)
    groups = {name: rows.groups[name][rows.test] for name in EVALUATED}
    shares = wrong_shares(truth, rows.predicted, groups)

    def measured(group: BiasGroup, doubt: float) -> Estimate:
        around = gap(wrong, group.rows, tested, doubt=doubt)
        rest = float(wrong[~group.rows].mean())
        return Estimate(shares[group.dimension][group.name] - rest, around.low, around.high)

    compared = [
        group for group in _groups(rows, EVALUATED, among=rows.test) if not group.rows.all()
    ]
    return _measured("evaluation", compared, measured, min_rows=min_rows)


def wrong_answers(rows: BiasRows) -> Float64:
    """Return 1 for each test row that is answered wrongly, else 0: float64 (test rows,)."""
    wrong: Float64 = (rows.predicted != rows.labels[rows.test]).astype(float)
    return wrong


def stale_answers(rows: BiasRows) -> Float64:
    """Return 1 for each test row that gets the label its phrase had before: float64 (test rows,).

    Only where the newest days have another label.
    """
    tested = rows.phrases[rows.test]
    old = main_labels(rows, ~rows.recent)[tested]
    now = main_labels(rows, rows.recent)[tested]
    stale: Float64 = wrong_answers(rows) * ((rows.predicted == old) & (old != now))
    return stale


def main_labels(rows: BiasRows, among: Bool) -> Strings:
    """Return the most frequent label of each phrase in the rows `among`, "" without any."""
    names, codes = np.unique(rows.labels, return_inverse=True)
    pairs, counts = np.unique(rows.phrases[among] * len(names) + codes[among], return_counts=True)
    phrases = pairs // len(names)
    order = np.lexsort((pairs, -counts, phrases))
    _, first = np.unique(phrases[order], return_index=True)
    main = np.full(len(rows.texts), "", dtype=object)
    main[phrases[order][first]] = names[pairs[order][first] % len(names)]
    return main


def disagreement(rows: BiasRows, group: Strings) -> Float64:
    """Return for each row, (n,): the share of other groups' rows of its phrase that have another
    label, minus that share among its own group's other rows; NaN where one of them has no row.

    Its mean is 0 when all groups label alike, however many rows each has.
    """
    same = _same_label(rows, group)
    total = same["total"]
    own = same["own"]
    others = total["phrase"] - own["phrase"]
    between = 1 - (total["label"] - own["label"]) / np.where(others > 0, others, np.nan)
    rest = own["phrase"] - 1
    within = 1 - (own["label"] - 1) / np.where(rest > 0, rest, np.nan)
    excess: Float64 = between - within
    return excess


def _same_label(rows: BiasRows, group: Strings) -> Mapping[str, Mapping[str, Float64]]:
    """Count the rows of each row's phrase, and of its phrase and label: of all and of its group."""
    _, labels = np.unique(rows.labels, return_inverse=True)
    _, groups = np.unique(group, return_inverse=True)
    pairs = rows.phrases * (labels.max() + 1) + labels
    return {
        "total": {"phrase": _counts(rows.phrases), "label": _counts(pairs)},
        "own": {
            "phrase": _counts(rows.phrases * (groups.max() + 1) + groups),
            "label": _counts(pairs * (groups.max() + 1) + groups),
        },
    }


def _counts(codes: np.ndarray) -> Float64:
    """Return how often the code of each row occurs: float64 (n,)."""
    _, places, counts = np.unique(codes, return_inverse=True, return_counts=True)
    by_row: Float64 = counts[places].astype(np.float64)
    return by_row


def _groups(rows: BiasRows, dimensions: tuple[str, ...], *, among: Bool) -> list[BiasGroup]:
    return [
        BiasGroup(name, str(group), rows.groups[name][among] == group)
        for name in dimensions
        for group in sorted(set(rows.groups[name][among]))
    ]


def _measured(
    kind: str,
    groups: list[BiasGroup],
    measured: Callable[[BiasGroup, float], Estimate],
    *,
    min_rows: int,
) -> list[Measure]:
    enough = [group for group in groups if group.rows.sum() >= min_rows]
    doubt = DOUBT / max(len(enough), 1)
    return list(_each(kind, groups, lambda group: measured(group, doubt), min_rows))


def _each(
    kind: str, groups: list[BiasGroup], measured: Callable[[BiasGroup], Estimate], min_rows: int
) -> Iterator[Measure]:
    for group in groups:
        count = int(group.rows.sum())
        place = (kind, group.dimension, group.name, count)
        if count < min_rows:
            yield Measure(*place, missing=f"{count:,} rows, at least {min_rows:,} wanted")
            continue
        estimate = measured(group)
        yield Measure(*place, value=estimate.value, low=estimate.low, high=estimate.high)
