"""Phrases that no label fits, in clusters that may be new labels; what a person says of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING, ModelVersion
from core.deployments import current_champions
from core.errors import InvalidFeedback
from core.feedback import NONE_OF_THESE, FeedbackRow, insert_feedback, separate_feedback
from core.pin_tables import was_refused
from core.tables import feedback, inference
from monitoring.review.clusters import cluster_vectors
from monitoring.review.phrase_vectors import open_vectors, vectors_folder
from monitoring.review.recent_log import routed

READ = 100_000
"""Newest answers among which refused ones are looked for."""
CLUSTERED = 500
"""Refused phrases with the most answers; clustering is quadratic."""
SHOWN = 20
LABELS_READ = 20_000


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
    """Return the CLUSTERED phrases refused most often among the newest answers, without labels."""
    columns = [inference.c[name] for name in ("sequence", "request_id", "cleaned", "label")]
    newest = (
        routed(classifier)
        .with_only_columns(*columns, was_refused().label("refused"))
        .order_by(inference.c.sequence.desc())
        .limit(READ)
        .subquery()
    )
    counted = (
        sa.select(
            newest.c.cleaned,
            sa.func.count().label("answers"),
            sa.func.max(newest.c.sequence).label("sequence"),
        )
        .where(newest.c.refused, ~newest.c.cleaned.in_(_judged(classifier)))
        .group_by(newest.c.cleaned)
        .order_by(sa.literal_column("answers").desc(), newest.c.cleaned)
        .limit(CLUSTERED)
        .subquery()
    )
    query = (
        sa.select(counted.c.cleaned, newest.c.request_id, newest.c.label, counted.c.answers)
        .join(newest, newest.c.sequence == counted.c.sequence)
        .order_by(counted.c.answers.desc(), counted.c.cleaned)
    )
    return [RefusedPhrase(*row) for row in connection.execute(query)]


def _judged(classifier: str) -> sa.Select[tuple[str]]:
    """Select the phrases about which people have said something."""
    about = feedback.join(inference, inference.c.request_id == feedback.c.request_id)
    return (
        sa.select(inference.c.cleaned)
        .select_from(about)
        .where(feedback.c.classifier == classifier, inference.c.classifier == classifier)
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
    newest = (
        sa.select(feedback.c.id, feedback.c.request_id, feedback.c.kind)
        .where(feedback.c.classifier == classifier)
        .order_by(feedback.c.id.desc())
        .limit(LABELS_READ)
        .subquery()
    )
    last = (
        sa.select(newest.c.request_id, newest.c.kind)
        .distinct(newest.c.request_id)
        .join(inference, inference.c.request_id == newest.c.request_id)
        .where(inference.c.role.in_(ANSWERING), was_refused())
        .order_by(newest.c.request_id, newest.c.id.desc())
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
