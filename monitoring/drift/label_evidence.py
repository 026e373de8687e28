"""Labels that may say that a head has become worse: unselected ones, in order of receipt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.contracts import ModelVersion, Verdict
from core.decisions import record_decision
from core.feedback import NONE_OF_THESE, is_label
from core.tables.loop import decision, feedback
from core.tables.pins import says_more_than_the_pin
from monitoring.drift.faults import is_faulty
from monitoring.drift.label_bets import LABEL_TEST, LabelTest, bet_on_labels, threshold_for
from monitoring.labels.feedback import answered
from monitoring.labels.unselected import DAYS_READ, unselected_requests
from monitoring.windows.reports import hold_reports

SourceLabels = Callable[[datetime], pd.DataFrame]
LABELS_READ = 5_000
FLOOR_QUANTILE = 0.05
"""One answer with a tiny chance of being sampled must not silence the other labels."""
LEAST_LABELS = 20
"""Fewer labels call nothing, however wrong the answers."""
COLUMNS = (
    "request_id", "cleaned", "author", "received_at", "probability", "wrong", "occurred_at",
)  # fmt: skip


@dataclass(frozen=True)
class LabelEvidence:
    """What the labels since the last call say.

    `began` is when the answer was given from whose label on the head is most likely worse; None
    without a call.
    """

    result: LabelTest
    threshold: float
    began: datetime | None

    @property
    def nearness(self) -> tuple[bool, float]:
        """Return whether the labels call, and the sum of bets over the threshold."""
        return self.verdict() is not None, self.result.highest / self.threshold

    def verdict(self) -> Verdict | None:
        """Return "drift" when the labels say so."""
        result = self.result
        if result.crossed is None or result.labels < LEAST_LABELS:
            return None
        reason = (
            f"{100 * result.wrong:.0f} % of {result.labels} unselected labels contradict the "
            f"answer, {100 * result.expected:.0f} % are expected at most; "
            f"most likely since {self.began:%Y-%m-%d}"
        )
        return Verdict("drift", (reason,), {LABEL_TEST: self.as_evidence()})

    def as_evidence(self) -> dict[str, Any]:
        result = self.result
        return {
            "labels": result.labels,
            "wrong": round(result.wrong, 4),
            "expected": round(result.expected, 4),
            "sum_of_bets": round(result.highest, 1),
            "threshold": round(self.threshold, 1),
            "began": self.began and self.began.isoformat(),
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
        _unselected_labels(connection, champion.classifier, version=champion.version, now=now),
        _source_labels(connection, champion, source, now=now),
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
    began = rows["occurred_at"].iloc[result.since - 1].to_pydatetime() if result.since else None
    return LabelEvidence(result, threshold, began)


def _unselected_labels(
    connection: Connection, classifier: str, *, version: str, now: datetime
) -> pd.DataFrame:
    """Return COLUMNS in order of receipt: each act of an author on a phrase once a day.

    They are of answers that the version gave since the last call of drift, whoever called it.
    Answers that the memory changed are left out: they do not tell what the head answers. Feedback
    dated in the future waits.
    """
    received = _unselected_feedback(connection, classifier, now)
    answer = answered(sa.select(feedback.c.request_id).where(*received))
    label = sa.func.btrim(feedback.c.label)
    query = (
        sa.select(
            feedback.c.request_id,
            answer.c.cleaned,
            feedback.c.author,
            feedback.c.received_at,
            feedback.c.probability,
            (label != answer.c.label).label("wrong"),
            answer.c.occurred_at,
        )
        .join(answer, answer.c.request_id == feedback.c.request_id)
        .where(
            *received,
            answer.c.version == version,
            answer.c.occurred_at > _last_called(connection, classifier),
            answer.c.head_label.is_(None),
            says_more_than_the_pin(answer, label),
        )
        .order_by(feedback.c.received_at.desc(), feedback.c.id.desc())
        .limit(LABELS_READ)
    )
    read = [tuple(row) for row in connection.execute(query)]
    return _acts(pd.DataFrame.from_records(read[::-1], columns=list(COLUMNS)))


def _source_labels(
    connection: Connection, champion: ModelVersion, source: SourceLabels, *, now: datetime
) -> pd.DataFrame:
    """Return COLUMNS of the answers that the source has a row of, in order of time.

    Answers that people confirmed count as right ones: without them, the others would be chosen by
    what people leave unconfirmed.
    """
    classifier = champion.classifier
    since = max(_last_called(connection, classifier), now - timedelta(days=DAYS_READ))
    since = _confirmations_since(connection, classifier, since)
    rows = source(since)
    rows = rows[rows["occurred_at"] <= now].sort_values("occurred_at", kind="stable")
    labels = rows.tail(LABELS_READ).groupby("id")["label"].last()
    answers = _answers_of(connection, champion, labels.index.tolist(), since=since)
    right = answers["request_id"].map(labels)
    if right.isna().all():
        return pd.DataFrame(columns=list(COLUMNS))
    wrong = (right != answers["label"]) & ~answers["confirmed"].astype(bool)
    labelled = answers.assign(
        author="", received_at=answers["occurred_at"], probability=None, wrong=wrong
    )
    return _acts(labelled[list(COLUMNS)])


def _answers_of(
    connection: Connection, champion: ModelVersion, ids: list[str], *, since: datetime
) -> pd.DataFrame:
    """Return the champion's answers of these requests, and those that people confirmed.

    They are answers that `_unselected_labels` would
    read, and that people did not contradict.
    """
    of_people = sa.select(feedback.c.request_id).where(*_may_confirm(champion.classifier, since))
    of_source = sa.func.unnest(sa.literal(ids, sa.ARRAY(sa.Text)))
    requests = sa.union_all(sa.select(of_source), of_people).subquery()
    answer = answered(sa.select(*requests.c))
    has_feedback = sa.exists().where(feedback.c.request_id == answer.c.request_id)
    confirmed = has_feedback.where(is_label(), sa.func.btrim(feedback.c.label) == answer.c.label)
    query = (
        sa.select(
            answer.c.request_id,
            answer.c.cleaned,
            answer.c.occurred_at,
            answer.c.label,
            confirmed.label("confirmed"),
        )
        .where(
            answer.c.classifier == champion.classifier,
            answer.c.version == champion.version,
            answer.c.occurred_at > since,
            answer.c.head_label.is_(None),
            answer.c.pin.is_(None),
            sa.or_(~has_feedback, confirmed),
            ~is_faulty(answer),
        )
        .order_by(answer.c.occurred_at, answer.c.request_id)
    )
    read = connection.execute(query)
    return pd.DataFrame.from_records([tuple(row) for row in read], columns=list(read.keys()))


def _may_confirm(classifier: str, since: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    own = (feedback.c.classifier == classifier, feedback.c.received_at >= since)
    return (*own, feedback.c.kind.not_in(("correction", NONE_OF_THESE)))


def _confirmations_since(connection: Connection, classifier: str, since: datetime) -> datetime:
    """Return `since`, or the later moment behind which LABELS_READ labels may confirm answers."""
    received = sa.select(feedback.c.received_at).where(*_may_confirm(classifier, since))
    newest = received.order_by(feedback.c.received_at.desc()).offset(LABELS_READ - 1).limit(1)
    moment: datetime | None = connection.scalar(newest)
    return moment or since


def _unselected_feedback(
    connection: Connection, classifier: str, now: datetime
) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions on feedback. Corrections are many, and must not push samples out of
    the limit.
    """
    since = now - timedelta(days=DAYS_READ)
    chosen = unselected_requests(connection, classifier, since=since)
    return (
        feedback.c.classifier == classifier,
        is_label(),
        feedback.c.received_at.between(since, now),
        feedback.c.request_id == sa.any_(sa.literal(sorted(chosen), sa.ARRAY(sa.Text))),
    )


def _acts(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out what an author repeats of a phrase on one day."""
    day = pd.to_datetime(rows["received_at"], utc=True).dt.floor("D")
    repeated = rows.assign(day=day).duplicated(["cleaned", "author", "day"])
    return rows[~repeated].reset_index(drop=True)


def _last_called(connection: Connection, classifier: str) -> datetime:
    """Return the moment of the newest call of drift: the test begins anew behind it."""
    query = sa.select(sa.func.max(decision.c.decided_at)).where(
        decision.c.classifier == classifier,
        decision.c.subject == "drift",
        decision.c.kind == "drift",
    )
    moment: datetime | None = connection.scalar(query)
    return moment or datetime.min.replace(tzinfo=UTC)


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
