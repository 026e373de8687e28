"""How a classifier stands: what answers, how good it is, what waits, what a person should do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import Deployment
from core.feedback import is_label
from core.tables.loop import decision, feedback
from core.tables.pins import repeats_a_pin
from monitoring.drift.label_requests import open_request
from monitoring.drift.unanswered import open_drift
from monitoring.outcomes import Unfinished
from monitoring.performance.quality import Quality, answers_since, recent_quality
from monitoring.windows.learnt import trained_as_of

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Decided:
    """The newest decision on a subject, with its first reason.

    `broken_client` says what a client sends wrong, whatever the decision was.
    """

    kind: str
    decided_at: datetime
    reason: str
    version: str | None
    broken_client: str | None = None


@dataclass(frozen=True)
class Attention:
    """Something that a person should do; the smallest `rank` comes first."""

    rank: int
    text: str


@dataclass(frozen=True)
class Standing:
    """The standing of one classifier.

    `quality` is that of the champion's newest answers, None before its first one. `drift` and
    `gate` are the newest decisions on both. `waits` are sentences about what is under way.
    """

    classifier: str
    version: str | None
    since: datetime | None
    answers_of_last_day: int
    quality: Quality | None
    drift: Decided | None
    gate: Decided | None
    waits: tuple[str, ...]
    attention: tuple[Attention, ...]


def read_standing(
    connection: Connection,
    classifier: str,
    champion: Deployment | None,
    *,
    cool_down_days: float,
    unfinished: Sequence[Unfinished] = (),
    now: datetime,
) -> Standing:
    """Read the standing of a classifier as of now; `unfinished` are its verdicts that are."""
    version = champion.model.version if champion else None
    gate = newest_decision(connection, classifier, "gate")
    drift = newest_decision(connection, classifier, "drift")

    waits, attention = _drift_waits(connection, classifier, cool_down_days, now)
    if not waits:
        waits += [verdict.sentence for verdict in unfinished if verdict.kind == "wait"]
    if version is not None:
        waits += _labels_wait(connection, classifier, version)
    attention += _labels_wanted(connection, classifier)
    attention += [need for verdict in unfinished for need in _for_a_person(classifier, verdict)]

    if drift and drift.broken_client:
        attention.append(Attention(4, f"a client has to be mended: {drift.broken_client}"))
    if version is None:
        cure = f"`perennial retrain {classifier}`"
        attention.append(Attention(5, f"no version answers yet: {cure}"))
    return Standing(
        classifier=classifier,
        version=version,
        since=champion.since if champion else None,
        answers_of_last_day=answers_since(connection, classifier=classifier, since=now - DAY),
        quality=recent_quality(connection, classifier=classifier, version=version)
        if version
        else None,
        drift=drift,
        gate=gate,
        waits=tuple(waits),
        attention=tuple(attention),
    )


def newest_decision(connection: Connection, classifier: str, subject: str) -> Decided | None:
    """Return the newest decision on a subject, None before the first one."""
    table = decision.c
    row = connection.execute(
        sa.select(table.kind, table.decided_at, table.reasons, table.evidence)
        .where(table.classifier == classifier, table.subject == subject)
        .order_by(table.id.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    reason = row.reasons[0] if row.reasons else ""
    return Decided(
        row.kind,
        row.decided_at,
        reason,
        row.evidence.get("version"),
        row.evidence.get("broken_client"),
    )


def _drift_waits(
    connection: Connection, classifier: str, cool_down_days: float, now: datetime
) -> tuple[list[str], list[Attention]]:
    """Return the drift that waits for its retraining, or the one that needs it now."""
    drift = open_drift(connection, classifier, now=now)
    if drift is None:
        return [], []
    called = f"the drift called at {drift.called_at:%Y-%m-%d %H:%M}"
    due = drift.due(now=now, cool_down_days=cool_down_days)
    if due.kind == "wait":
        return [f"{called} waits: {due.reasons[0]}"], []
    cure = f"`perennial retrain {classifier} --reason drift`, or wait for the next watch"
    return [], [Attention(1, f"{called} has no retraining yet: {cure}")]


def _labels_wait(connection: Connection, classifier: str, version: str) -> list[str]:
    """Count the labels that the champion's training did not see."""
    trained_at = trained_as_of(connection, classifier=classifier, version=version)
    query = sa.select(sa.func.count()).where(
        feedback.c.classifier == classifier, is_label(), ~repeats_a_pin(feedback)
    )
    if trained_at is not None:
        query = query.where(feedback.c.received_at > trained_at)
    count = connection.scalar(query) or 0
    labels = "label" if count == 1 else "labels"
    return [f"{count:,} {labels} came since its training"] if count else []


def _labels_wanted(connection: Connection, classifier: str) -> list[Attention]:
    request = open_request(connection, classifier)
    if request is None:
        return []
    phrases = len(request.verdict.evidence.get("label_requests", ()))
    since = f"{request.asked_at:%Y-%m-%d %H:%M}"
    most = f"{phrases} {'phrase' if phrases == 1 else 'phrases'} would help most"
    text = f"a drift wants labels since {since}; {most}"
    return [Attention(2, f"{text}: `perennial watch {classifier}` lists them")]


def _for_a_person(classifier: str, unfinished: Unfinished) -> list[Attention]:
    """Return a version that the gate holds, or a retraining that failed."""
    if unfinished.kind == "wait":
        return []
    if unfinished.kind == "failed":
        return [Attention(0, f"the retraining {unfinished.sentence}")]
    version = f"{classifier} {unfinished.version}"
    cure = f"`perennial rollout promote {version}`, or `reject {version} --why ...`"
    return [Attention(3, f"{unfinished.sentence}; {cure}")]
