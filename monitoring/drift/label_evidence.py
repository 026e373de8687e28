"""Labels that may say that a head has become worse: unselected ones, in order of receipt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from sqlalchemy.engine import Connection, Engine

from core.contracts import ModelVersion, Verdict
from core.decisions import record_decision
from monitoring.drift.label_bets import LabelTest, bet_on_labels, threshold_for, worst_stretch
from monitoring.drift.label_streams import SourceLabels, source_labels, unselected_labels
from monitoring.labels.unselected import DAYS_READ
from monitoring.windows.reports import hold_reports

FLOOR_QUANTILE = 0.05
"""One answer with a tiny chance of being sampled must not silence the other labels."""
LEAST_LABELS = 20
"""Fewer labels call nothing, however wrong the answers."""
LABEL_TEST = "label_test"
"""The evidence of a drift that labels called, and no other, has this key."""


@dataclass(frozen=True)
class Worsening:
    """First and last of the answers where the head is most likely worse; `wrong` is the share of
    their `labels` that contradict them.
    """

    first: datetime
    last: datetime
    labels: int
    wrong: float


@dataclass(frozen=True)
class LabelEvidence:
    """What the labels since the last call say; `worsening` is None without a call."""

    result: LabelTest
    threshold: float
    worsening: Worsening | None = None

    @property
    def nearness(self) -> tuple[bool, float]:
        """Return whether the labels call, and the sum of bets over the threshold."""
        return self.verdict() is not None, self.result.highest / self.threshold

    def verdict(self) -> Verdict | None:
        """Return "drift" when the labels say so."""
        worse = self.worsening
        if worse is None:
            return None
        reason = (
            f"{100 * worse.wrong:.0f} % of {worse.labels} unselected labels of answers from "
            f"{worse.first:%Y-%m-%d} to {worse.last:%Y-%m-%d} contradict them, "
            f"{100 * self.result.expected:.0f} % are expected at most"
        )
        evidence = {LABEL_TEST: self.as_evidence(), "began": worse.first.isoformat()}
        return Verdict("drift", (reason,), evidence)

    def as_evidence(self) -> dict[str, float]:
        result = self.result
        return {
            "labels": result.labels,
            "wrong": round(result.wrong, 4),
            "expected": round(result.expected, 4),
            "sum_of_bets": round(result.highest, 1),
            "threshold": round(self.threshold, 1),
        }


def call_by_labels(
    engine: Engine,
    champion: ModelVersion,
    *,
    reference: pd.DataFrame,
    source: SourceLabels,
    false_calls: float,
    now: datetime,
) -> Verdict | None:
    """Return a "drift" that the labels call, and record it; None when they call none.

    Parameters
    ----------
    reference : the champion's reference rows: how sure its answers are of normal traffic
    source : the source's rows that occurred after a moment: id, label, occurred_at
    false_calls : how many false calls per year are tolerated
    """
    with engine.begin() as connection:
        classifier = champion.classifier
        hold_reports(connection, classifier)
        evidence = read_label_evidence(
            connection,
            champion,
            reference=reference,
            source=source,
            false_calls=false_calls,
            now=now,
        )
        verdict = evidence.verdict() if evidence else None
        if verdict is not None:
            record_decision(
                connection, verdict, classifier=classifier, subject="drift", decided_at=now
            )
        return verdict


def read_label_evidence(
    connection: Connection,
    champion: ModelVersion,
    *,
    reference: pd.DataFrame,
    source: SourceLabels,
    false_calls: float,
    now: datetime,
) -> LabelEvidence | None:
    """Return what the labels of the champion's answers say; None without any.

    People and the source are two tests, because their labels come in two orders. Where both have
    labels, each has half of `false_calls`. The one that calls is returned, else the one nearer to a
    call. None too without reference rows: nothing says how many wrong answers are normal.
    """
    weight = reference["weight"]
    if not weight.sum():
        return None
    expected = 1 - float((reference["confidence"] * weight).sum() / weight.sum())
    streams = (
        unselected_labels(connection, champion.classifier, version=champion.version, now=now),
        source_labels(connection, champion, source, now=now),
    )
    speaking = [rows for rows in streams if len(rows)]
    tests = [_test(rows, expected, false_calls / len(speaking)) for rows in speaking]
    return max(tests, key=lambda evidence: evidence.nearness, default=None)


def _test(rows: pd.DataFrame, expected: float, false_calls: float) -> LabelEvidence:
    threshold = threshold_for(labels_per_year=_per_year(rows), false_calls_per_year=false_calls)
    result = bet_on_labels(
        rows["wrong"].to_numpy(),
        expected=expected,
        threshold=threshold,
        weights=_weights(rows["probability"]),
    )
    if result.crossed is None or result.labels < LEAST_LABELS:
        return LabelEvidence(result, threshold)
    return LabelEvidence(result, threshold, _worsening(rows, expected))


def _worsening(rows: pd.DataFrame, expected: float) -> Worsening:
    ordered = rows.assign(weight=_weights(rows["probability"]))
    ordered = ordered.sort_values("occurred_at", kind="stable")
    stretch = worst_stretch(
        ordered["wrong"].to_numpy(), expected=expected, weights=ordered["weight"].to_numpy()
    )
    worse = ordered[stretch]
    first, last = (worse["occurred_at"].iloc[place].to_pydatetime() for place in (0, -1))
    return Worsening(first, last, len(worse), float(worse["wrong"].mean()))


def _per_year(rows: pd.DataFrame) -> float:
    """Return how many labels come per year, from a week of receipt on."""
    span = (rows["received_at"].max() - rows["received_at"].min()) / pd.Timedelta(days=1)
    return float(len(rows) * DAYS_READ / max(span, 7.0))


def _weights(probability: pd.Series) -> pd.Series:
    """Return how much each label counts: less where the answer was likelier to be sampled.

    The rarest twentieth counts in full, as do labels without a probability.
    """
    chance = probability.astype(float)
    floor = chance.quantile(FLOOR_QUANTILE)
    return (floor / chance).clip(upper=1.0).fillna(1.0)
