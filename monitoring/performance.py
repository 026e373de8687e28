"""How good a version is on real traffic: from feedback where there is some, estimated from confidence where there is none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables import asked_by_clients, inference
from monitoring.feedback import newest_feedback


@dataclass(frozen=True)
class Performance:
    """Quality of one version over a time.

    `answers` scored as champion, canary or shadow; `labelled` of them with feedback; `weighted_f1` and `accuracy` of those, None
    without any; `estimated_accuracy`: mean calibrated confidence of all answers, within .025 to .045 of the truth, None without any.
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
    """Join the version's answers (as champion, canary or shadow) of [since, until) with the newest feedback of each request."""
    chosen = _chosen(classifier, version, since, until)
    answers, confidence = connection.execute(
        sa.select(sa.func.count(), sa.func.avg(chosen.c.probability)).select_from(chosen)
    ).one()
    told = newest_feedback()
    pairs = connection.execute(
        sa.select(told.c.label, chosen.c.label).join(
            chosen, chosen.c.request_id == told.c.request_id
        )
    ).all()
    right, said = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Performance(
        classifier, version, answers, len(pairs),
        weighted_f1=weighted_f1(right, said) if pairs else None,
        accuracy=sum(a == b for a, b in pairs) / len(pairs) if pairs else None,
        estimated_accuracy=confidence,
    )  # fmt: skip


def weighted_f1(right: list[str], said: list[str]) -> float:
    """Mean F1 of the labels, weighted by how often each is right; Evidently's is macro only."""
    from sklearn.metrics import f1_score

    return float(f1_score(right, said, average="weighted", zero_division=0.0))


def _chosen(
    classifier: str, version: str, since: datetime | None, until: datetime | None
) -> sa.Subquery:
    """One answer a request: a version that changed its role in between may have two."""
    query = sa.select(inference.c.request_id, inference.c.label, inference.c.probability).distinct(
        inference.c.request_id
    )
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
