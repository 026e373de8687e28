"""Quality of a version on real traffic.

Measured from feedback where there is any, estimated from confidence where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.pin_tables import repeats_a_pin
from core.tables import asked_by_clients, inference
from monitoring.feedback import newest_feedback


@dataclass(frozen=True)
class Performance:
    """Quality of one version over a period.

    `answers` is the number of answers as champion, canary or shadow, and `labelled` the number of
    them with feedback. `weighted_f1` and `accuracy` are those of the labelled answers, None without
    any. `estimated_accuracy` is the mean calibrated confidence of all answers, within 0.025 to
    0.045 of the truth, None without any.
    """

    classifier: str
    version: str
    answers: int
    labelled: int
    weighted_f1: float | None
    accuracy: float | None
    estimated_accuracy: float | None


def measure_performance(
    connection: Connection,
    *,
    classifier: str,
    version: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Performance:
    """Compare the version's answers of [since, until) with the newest feedback of each request."""
    chosen = _chosen(classifier, version, since, until)
    answers, confidence = connection.execute(
        sa.select(sa.func.count(), sa.func.avg(chosen.c.probability)).select_from(chosen)
    ).one()
    newest = newest_feedback()
    labelled = (
        sa.select(newest.c.label, chosen.c.label)
        .join(chosen, chosen.c.request_id == newest.c.request_id)
        .where(~repeats_a_pin(newest))
    )
    pairs = [(right, answer) for right, answer in connection.execute(labelled)]
    return Performance(
        classifier,
        version,
        answers,
        labelled=len(pairs),
        weighted_f1=_weighted_f1(pairs) if pairs else None,
        accuracy=sum(a == b for a, b in pairs) / len(pairs) if pairs else None,
        estimated_accuracy=confidence,
    )


def _weighted_f1(pairs: Sequence[tuple[str, str]]) -> float:
    """Return the mean F1 of the labels, weighted by how often each is right.

    Evidently offers the macro average only.
    """
    from sklearn.metrics import f1_score

    right = [label for label, _ in pairs]
    answers = [answer for _, answer in pairs]
    return float(f1_score(right, answers, average="weighted", zero_division=0.0))


def _chosen(
    classifier: str, version: str, since: datetime | None, until: datetime | None
) -> sa.Subquery:
    """Select one answer per request: a version whose role changed in between may have two."""
    columns = (inference.c.request_id, inference.c.label, inference.c.probability)
    query = sa.select(*columns).distinct(inference.c.request_id)
    query = query.where(
        inference.c.classifier == classifier,
        inference.c.version == version,
        inference.c.role != "asked",
        asked_by_clients(),
    )
    if since is not None:
        query = query.where(inference.c.occurred_at >= since)
    if until is not None:
        query = query.where(inference.c.occurred_at < until)
    return query.order_by(inference.c.request_id, inference.c.occurred_at).subquery()
