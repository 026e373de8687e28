"""Labels that were not given because an answer was wrong, in the order in which they are tested."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ModelVersion
from core.feedback import NONE_OF_THESE, is_label
from core.tables.loop import decision, feedback
from core.tables.pins import says_more_than_the_pin
from monitoring.drift.faults import is_faulty
from monitoring.labels.feedback import answered
from monitoring.labels.unselected import DAYS_READ, unselected_requests

SourceLabels = Callable[[datetime], pd.DataFrame]
LABELS_READ = 5_000
COLUMNS = (
    "request_id", "cleaned", "author", "received_at", "probability", "wrong", "occurred_at",
)  # fmt: skip


def unselected_labels(
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


def source_labels(
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

    They are answers that `unselected_labels` would read, and that people did not contradict.
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
