"""What the labels of each strategy were worth: errors found, answers fixed, points gained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.loop import asked_by_clients, decision, inference
from core.tables.review import review_item
from monitoring.review.recent_log import READ, ROUTED
from monitoring.review.shares import RANDOM

LONG = timedelta(weeks=8)
LEAST_LABELS = 30
LEVEL = 0.05
"""That one of the strategies is proposed for switching off although all are as good as random."""
RESAMPLES = 1999
JUDGED = 1000
"""The newest labels of each strategy, which the test looks at: a fifth of a second of work."""
LABELS_READ = 100_000
ITEM_COLUMNS = ("strategy", "cleaned", "label", "decided_label", "decided_at", "frequency")


@dataclass(frozen=True)
class StrategyWorth:
    """What the labels of one strategy were worth.

    Attributes
    ----------
    share : of the week's labels, 0 for phrases that a drift asked for
    open : items that wait
    labels : items that people decided
    errors : of these, answers that were wrong
    fixed : answers per week that a label corrected, on average
    points : points of accuracy that 100 labels gained with the next version; None before one
    p_value : how likely a random sample's labels would fix so few; None while too little is known
    proposal : what to do; "" for nothing
    """

    strategy: str
    share: float
    open: int
    labels: int
    errors: int
    fixed: float | None
    points: float | None
    p_value: float | None
    proposal: str = ""


def queue_report(
    connection: Connection,
    classifier: str,
    *,
    shares: Mapping[str, float],
    now: datetime,
    seed: int,
    since: timedelta = LONG,
) -> list[StrategyWorth]:
    """Return one row per strategy, in the order of the shares; others that have items follow."""
    items = decided_items(connection, classifier, since=now - since)
    items["points"] = points_gained(connection, classifier, items)
    waiting = _open(connection, classifier)
    judged = judge_strategies(items, now=now, seed=seed)
    names = dict.fromkeys([*shares, *sorted({*items["strategy"], *waiting})])
    return [
        _worth(
            name,
            items[items["strategy"] == name],
            share=shares.get(name, 0.0),
            waiting=waiting.get(name, 0),
            p_value=judged.get(name),
            level=LEVEL / max(len(judged), 1),
        )
        for name in names
    ]


def decided_items(connection: Connection, classifier: str, *, since: datetime) -> pd.DataFrame:
    """Return ITEM_COLUMNS, `wrong` and `fixed` of the items that people decided since a moment.

    "None of these" says that the answer was wrong, too. `fixed` is how often a week a wrong answer
    was asked, 0 for a right one.
    """
    table = review_item.c
    query = (
        sa.select(*(table[name] for name in ITEM_COLUMNS))
        .where(table.classifier == classifier, table.state == "decided", table.decided_at >= since)
        .order_by(table.decided_at.desc())
        .limit(LABELS_READ)
    )
    rows = [tuple(row) for row in connection.execute(query)]
    items = pd.DataFrame.from_records(rows, columns=list(ITEM_COLUMNS))
    wrong = items["label"] != items["decided_label"]
    return items.assign(wrong=wrong, fixed=items["frequency"].astype(float) * wrong)


def judge_strategies(items: pd.DataFrame, *, now: datetime, seed: int) -> dict[str, float]:
    """Return strategy -> p-value of "its labels fix fewer answers than random ones": pure.

    A permutation test of the mean answers that a label fixes (R. A. Fisher, 1935), one-sided. A
    strategy is judged once it and the random sample have LEAST_LABELS labels over LONG.
    """
    parts = {
        str(name): part.nlargest(JUDGED, "decided_at")["fixed"].to_numpy(float)
        for name, part in items.groupby("strategy")
        if len(part) >= LEAST_LABELS and part["decided_at"].min() <= now - 0.9 * LONG
    }
    random = parts.pop(RANDOM, None)
    if random is None:
        return {}
    return {name: _chance(fixed, random, seed=seed) for name, fixed in sorted(parts.items())}


def _chance(fixed: np.ndarray, random: np.ndarray, *, seed: int) -> float:
    from scipy.stats import permutation_test

    result = permutation_test(
        (fixed, random),
        lambda own, other, axis: own.mean(axis=axis) - other.mean(axis=axis),
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=500,
        alternative="less",
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def points_gained(connection: Connection, classifier: str, items: pd.DataFrame) -> pd.Series:
    """Return what each label gained with the next version, in points of accuracy: float (n,).

    The next version is the first that was promoted after the label. Of its first READ answers, so
    many are to the phrase: where the head alone now says the label and did not before, they are a
    gain. What the memory did within the hour does not count. NaN while no version has followed.
    """
    points = pd.Series(np.nan, index=items.index)
    before = pd.Timestamp.min.tz_localize("UTC")
    for promoted_at, version in _promotions(connection, classifier):
        learnt = items[(items["decided_at"] > before) & (items["decided_at"] <= promoted_at)]
        before = pd.Timestamp(promoted_at)
        if len(learnt):
            points[learnt.index] = _points_with(connection, classifier, version, learnt)
    return points


def _promotions(connection: Connection, classifier: str) -> Iterator[tuple[datetime, str]]:
    table = decision.c
    query = (
        sa.select(table.decided_at, table.evidence["version"].astext)
        .where(table.classifier == classifier, table.subject == "gate", table.kind == "promote")
        .order_by(table.decided_at)
    )
    for moment, version in connection.execute(query):
        yield moment, version or ""


def _points_with(
    connection: Connection, classifier: str, version: str, items: pd.DataFrame
) -> pd.Series:
    """Return the points of each label with one version; NaN when it has not answered yet."""
    answers = (
        sa.select(
            inference.c.cleaned,
            sa.func.coalesce(inference.c.head_label, inference.c.label).label("label"),
        )
        .where(
            inference.c.classifier == classifier,
            inference.c.version == version,
            inference.c.role.in_(ROUTED),
            asked_by_clients(),
        )
        .order_by(inference.c.occurred_at)
        .limit(READ)
        .subquery()
    )
    total = connection.scalar(sa.select(sa.func.count()).select_from(answers)) or 0
    if not total:
        return pd.Series(np.nan, index=items.index)
    phrases = sa.literal(items["cleaned"].unique().tolist(), sa.ARRAY(sa.Text))
    counted = sa.select(answers.c.cleaned, answers.c.label, sa.func.count()).where(
        answers.c.cleaned == sa.any_(phrases)
    )
    rows = connection.execute(counted.group_by(answers.c.cleaned, answers.c.label))
    return _gains(items, {(phrase, label): count for phrase, label, count in rows}, total)


def _gains(items: pd.DataFrame, counts: Mapping[tuple[str, str], int], total: int) -> pd.Series:
    """Return 100 * (right answers now - right answers of before) / all answers, of each item."""
    asks: dict[str, int] = {}
    for (phrase, _), count in counts.items():
        asks[phrase] = asks.get(phrase, 0) + count
    gains = [
        counts.get((row.cleaned, row.decided_label), 0)
        - (0 if row.wrong else asks.get(row.cleaned, 0))
        for row in items.itertuples()
    ]
    return pd.Series(100 * np.array(gains, float) / total, index=items.index)


def _open(connection: Connection, classifier: str) -> dict[str, int]:
    table = review_item.c
    query = (
        sa.select(table.strategy, sa.func.count())
        .where(table.classifier == classifier, table.state == "open")
        .group_by(table.strategy)
    )
    return {strategy: count for strategy, count in connection.execute(query)}


def _worth(
    name: str,
    items: pd.DataFrame,
    *,
    share: float,
    waiting: int,
    p_value: float | None,
    level: float,
) -> StrategyWorth:
    points = items["points"].dropna()
    is_worse = p_value is not None and p_value <= level and share > 0
    proposal = (
        f"its labels fix fewer answers than random ones (p = {p_value:.4f}): "
        f"set review.shares.{name} to 0"
        if is_worse
        else ""
    )
    return StrategyWorth(
        strategy=name,
        share=share,
        open=waiting,
        labels=len(items),
        errors=int(items["wrong"].sum()),
        fixed=round(float(items["fixed"].mean()), 2) if len(items) else None,
        points=round(100 * float(points.mean()), 2) if len(points) else None,
        p_value=None if p_value is None else round(p_value, 5),
        proposal=proposal,
    )
