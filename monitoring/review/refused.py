"""Phrases that no label fits, in clusters that may be new labels; what a person says of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING, ModelVersion
from core.deployments import current_champions
from core.errors import InvalidFeedback
from core.feedback import NONE_OF_THESE, FeedbackRow, insert_feedback, separate_feedback
from core.tables.loop import feedback, inference
from core.tables.pins import was_refused
from monitoring.review.clusters import cluster_vectors
from monitoring.review.phrase_vectors import open_vectors, vectors_folder
from monitoring.review.recent_log import routed

READ = 100_000
"""Newest answers among which refused ones are looked for."""
CLUSTERED = 500
"""Refused phrases with the most answers; clustering is quadratic."""
SHOWN = 20
LABELS_READ = 5_000
"""Newest labels of a classifier that say which phrases people have judged."""
LATE = "90 days"
"""A label that comes later after its answer is not looked for: it would open every month."""


@dataclass(frozen=True)
class RefusedPhrase:
    """A phrase that was refused `answers` times lately; `guess` is the best label of the newest."""

    cleaned: str
    request_id: str
    guess: str
    answers: int


@dataclass(frozen=True)
class Proposal:
    """Refused phrases that say nearly the same, the most frequent first: perhaps one new label."""

    phrases: tuple[RefusedPhrase, ...]

    @property
    def answers(self) -> int:
        return sum(phrase.answers for phrase in self.phrases)


def champion_proposals(connection: Connection, classifier: str, *, home: Path) -> list[Proposal]:
    """Return `propose_labels` of the champion; none without one."""
    champion = current_champions(connection).get(classifier)
    return propose_labels(connection, champion.model, home=home) if champion else []


def propose_labels(connection: Connection, model: ModelVersion, *, home: Path) -> list[Proposal]:
    """Return clusters of the champion's refused phrases, those with the most answers first.

    A phrase about which people have said something is left out. Vectors are renewed every hour: a
    phrase without one yet stands alone.
    """
    phrases = refused_phrases(connection, model.classifier)
    vectors = open_vectors(vectors_folder(home, model.embedder_id))
    places = np.full(len(phrases), -1)
    if vectors is not None and phrases:
        places = vectors.places([phrase.cleaned for phrase in phrases])

    known = np.flatnonzero(places >= 0)
    groups: dict[object, list[RefusedPhrase]] = {}
    if len(known) and vectors is not None:
        numbers = cluster_vectors(np.asarray(vectors.whole[places[known]], np.float32))
        for place, number in zip(known.tolist(), numbers.tolist(), strict=True):
            groups.setdefault(number, []).append(phrases[place])

    alone = [[phrase] for phrase, place in zip(phrases, places, strict=True) if place < 0]
    proposals = [Proposal(tuple(group)) for group in [*groups.values(), *alone]]
    return sorted(proposals, key=lambda proposal: (-proposal.answers, proposal.phrases[0].cleaned))


def refused_phrases(connection: Connection, classifier: str) -> list[RefusedPhrase]:
    """Return the CLUSTERED phrases refused most often among the newest answers, without labels.

    All labels of the newest answers count, and the newest labels of older ones.
    """
    columns = [inference.c[name] for name in ("sequence", "request_id", "cleaned")]
    newest = (
        routed(classifier)
        .with_only_columns(*columns, was_refused().label("refused"))
        .order_by(inference.c.sequence.desc())
        .limit(READ)
        .subquery()
    )
    answers = sa.func.count().filter(newest.c.refused)
    labelled = sa.select(feedback.c.request_id).where(feedback.c.classifier == classifier)
    judged = select_judged(classifier).subquery()
    counted = (
        sa.select(
            newest.c.cleaned,
            answers.label("answers"),
            sa.func.max(newest.c.sequence).filter(newest.c.refused).label("sequence"),
        )
        .where(~newest.c.cleaned.in_(sa.select(judged.c.cleaned)))
        .group_by(newest.c.cleaned)
        .having(answers > 0, ~sa.func.bool_or(newest.c.request_id.in_(labelled)))
        .order_by(answers.desc(), newest.c.cleaned)
        .limit(CLUSTERED)
        .subquery()
    )
    query = (
        sa.select(counted.c.cleaned, inference.c.request_id, inference.c.label, counted.c.answers)
        .join(inference, inference.c.sequence == counted.c.sequence)
        .where(inference.c.classifier == classifier)
        .order_by(counted.c.answers.desc(), counted.c.cleaned)
    )
    return [RefusedPhrase(*row) for row in connection.execute(query)]


def select_judged(classifier: str) -> sa.Select[tuple[Any, ...]]:
    """Select the answers of the newest LABELS_READ labels: what people have said something about.

    The offset has PostgreSQL look each answer up: it would read whole months of the log instead.
    """
    newest = (
        sa.select(feedback.c.id, feedback.c.request_id, feedback.c.kind, feedback.c.received_at)
        .where(feedback.c.classifier == classifier)
        .order_by(feedback.c.id.desc())
        .limit(LABELS_READ)
        .subquery()
    )
    answer = (
        sa.select(inference.c.cleaned, was_refused().label("refused"))
        .where(
            inference.c.request_id == newest.c.request_id,
            inference.c.classifier == classifier,
            inference.c.role.in_(ANSWERING),
            inference.c.occurred_at >= newest.c.received_at - sa.cast(LATE, sa.Interval),
            inference.c.occurred_at <= newest.c.received_at + sa.cast("1 day", sa.Interval),
        )
        .offset(0)
        .lateral()
    )
    return sa.select(newest.c.id, newest.c.request_id, newest.c.kind, *answer.c).join(
        answer, sa.true()
    )


@dataclass(frozen=True)
class JudgedRefusals:
    """Refused answers about which people have said something: rightly refused, and falsely."""

    confirmed: int
    false: int

    def __str__(self) -> str:
        judged = self.confirmed + self.false
        if not judged:
            return "nobody has judged a refused answer yet"
        return f"of {judged:,} refused answers that people judged, {self.confirmed:,} fit no label"


def judged_refusals(connection: Connection, classifier: str) -> JudgedRefusals:
    """Count refused answers by their newest feedback, of the newest LABELS_READ."""
    judged = select_judged(classifier).subquery()
    last = (
        sa.select(judged.c.request_id, judged.c.kind)
        .distinct(judged.c.request_id)
        .where(judged.c.refused)
        .order_by(judged.c.request_id, judged.c.id.desc())
        .subquery()
    )
    confirmed = sa.func.count().filter(last.c.kind == NONE_OF_THESE)
    row = connection.execute(sa.select(confirmed, sa.func.count()).select_from(last)).one()
    return JudgedRefusals(row[0], row[1] - row[0])


def name_label(
    connection: Connection,
    classifier: str,
    cleaned: Sequence[str],
    label: str,
    *,
    author: str,
    now: datetime,
) -> list[RefusedPhrase]:
    """Store one label, new or known, for refused phrases; "" confirms that none is right.

    Returns the phrases that were refused and had no label yet. Raises `InvalidFeedback` when none
    of them is such a phrase. The caller commits.
    """
    named = [
        phrase for phrase in refused_phrases(connection, classifier) if phrase.cleaned in cleaned
    ]
    if not named:
        raise InvalidFeedback(
            "phrases that were refused and have no label",
            came=f"{len(cleaned)} others",
            do="reload the page",
        )
    kind = "correction" if label else NONE_OF_THESE
    rows = [
        FeedbackRow(0, phrase.request_id, label, author, now, kind=kind, new_label=True)
        for phrase in named
    ]
    separated = separate_feedback(connection, rows, labels=None)
    if separated.problems:
        raise separated.problems[0][1]
    insert_feedback(connection, separated.accepted)
    return named
