"""Collects what the strategies choose from. Every read is bounded, however long the log is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.deployments import current_rollouts
from core.label_reports import open_suspects, suspect_request
from core.pins import read_pins
from core.tables.loop import decision, feedback, inference
from monitoring.drift.label_requests import open_request
from monitoring.labels.feedback import answered
from monitoring.review.asking import asked_phrases
from monitoring.review.recent_log import ROUTED, RecentLog
from monitoring.review.strategies import StrategyInputs
from pipelines.model.arrays import Float32
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.novelty import novelty

LABELS_SINCE = timedelta(days=90)
LABELS_READ = 20_000
SHADOWS_READ = 20_000
STUDIED = 2000
"""Phrases that are embedded: those with the most answers in doubt. A second of work."""
LABEL_COLUMNS = ("cleaned", "label", "author")
DISAGREEMENT_COLUMNS = ("cleaned", "request_id", "doubt")


@dataclass(frozen=True)
class Versions:
    """The champion, and a version that waits to replace it; None where there is none."""

    champion: PhraseClassifier | None = None
    candidate: PhraseClassifier | None = None


def gather(
    connection: Connection,
    classifier: str,
    recent: RecentLog,
    drawn: pd.DataFrame,
    *,
    versions: Versions,
    since: datetime,
    now: datetime,
) -> StrategyInputs:
    """Return what is known at `now`; `since` is where the recent log begins.

    Without a champion at hand nothing is embedded: no phrase is novel, no candidate is compared.
    """
    phrases = asked_phrases(recent)
    labels = recent_labels(connection, classifier, since=now - LABELS_SINCE)
    pinned = read_pins(connection, now=now, classifier=classifier).pins
    labelled = frozenset([*labels["cleaned"], *(pin.cleaned for pin in pinned)])
    shadowed = shadow_disagreements(connection, classifier, since=since)
    studied, vectors = _studied(phrases, labelled, versions)
    unlearnt, distances = _novel(studied, vectors, versions.champion)
    disagreeing = [shadowed, candidate_disagreements(studied, vectors, versions)]
    return StrategyInputs(
        phrases,
        drawn,
        labelled=labelled,
        requested=_requested(connection, classifier),
        novel=dict(zip(studied["cleaned"][unlearnt], distances, strict=True)),
        vectors=vectors[unlearnt],
        disagreements=pd.concat([part for part in disagreeing if len(part)] or [shadowed])
        .sort_values("doubt", ascending=False, kind="stable")
        .drop_duplicates("cleaned"),
        unseen=unseen_labels(connection, classifier, versions.champion),
        contradicted=contradicted_phrases(labels),
        suspects={
            suspect_request(classifier, suspect.rows[0]): suspect
            for suspect in open_suspects(connection, classifier)
        },
    )


def recent_labels(connection: Connection, classifier: str, *, since: datetime) -> pd.DataFrame:
    """Return LABEL_COLUMNS of the newest LABELS_READ labels of people, oldest first.

    "None of these" has an empty label.
    """
    newest = (
        sa.select(feedback)
        .where(feedback.c.classifier == classifier, feedback.c.received_at >= since)
        .order_by(feedback.c.received_at.desc(), feedback.c.id.desc())
        .limit(LABELS_READ)
        .subquery()
    )
    answer = answered(sa.select(newest.c.request_id))
    cleaned = sa.func.coalesce(newest.c.cleaned, answer.c.cleaned)
    query = (
        sa.select(cleaned, sa.func.btrim(newest.c.label), newest.c.author)
        .outerjoin(answer, answer.c.request_id == newest.c.request_id)
        .where(cleaned.is_not(None))
        .order_by(newest.c.received_at, newest.c.id)
    )
    rows = [tuple(row) for row in connection.execute(query)]
    return pd.DataFrame.from_records(rows, columns=list(LABEL_COLUMNS))


def contradicted_phrases(labels: pd.DataFrame) -> dict[str, float]:
    """Return phrase -> share of its authors whose newest label is not the most frequent one.

    `labels` are LABEL_COLUMNS, oldest first. Phrases of which all say the same are left out.
    """
    newest = labels.drop_duplicates(["cleaned", "author"], keep="last")
    newest = newest[newest["label"] != ""]
    counts = newest.groupby(["cleaned", "label"]).size().groupby(level="cleaned")
    outvoted = 1 - counts.max() / counts.sum()
    return {str(phrase): float(share) for phrase, share in outvoted[outvoted > 0].items()}


def shadow_disagreements(
    connection: Connection, classifier: str, *, since: datetime
) -> pd.DataFrame:
    """Return DISAGREEMENT_COLUMNS of the phrases that the shadow now answers otherwise."""
    rollout = current_rollouts(connection).get(classifier)
    if rollout is None or rollout.shadow is None:
        return pd.DataFrame(columns=list(DISAGREEMENT_COLUMNS))
    shadow = (
        sa.select(inference)
        .where(
            inference.c.classifier == classifier,
            inference.c.version == rollout.shadow.model.version,
            inference.c.role == "shadow",
            inference.c.occurred_at >= since,
        )
        .order_by(inference.c.occurred_at.desc())
        .limit(SHADOWS_READ)
        .subquery()
    )
    query = (
        sa.select(
            inference.c.cleaned, inference.c.request_id, inference.c.probability,
            shadow.c.probability.label("other"),
        )
        .join(shadow, shadow.c.request_id == inference.c.request_id)
        .where(inference.c.role.in_(ROUTED), inference.c.label != shadow.c.label)
        .order_by(inference.c.occurred_at)
    )  # fmt: skip
    rows = [
        (row.cleaned, row.request_id, doubt_between(row.probability, row.other))
        for row in connection.execute(query)
    ]
    disagreeing = pd.DataFrame.from_records(rows, columns=list(DISAGREEMENT_COLUMNS))
    return disagreeing.drop_duplicates("cleaned", keep="last")


def candidate_disagreements(
    studied: pd.DataFrame, vectors: Float32, versions: Versions
) -> pd.DataFrame:
    """Return DISAGREEMENT_COLUMNS of the studied phrases that the candidate answers otherwise."""
    candidate = versions.candidate
    if candidate is None or studied.empty:
        return pd.DataFrame(columns=list(DISAGREEMENT_COLUMNS))
    others = candidate.predict_cleaned(
        studied["cleaned"].tolist(), vectors, memory=candidate.memory
    )
    rows = [
        (row.cleaned, row.request_id, doubt_between(1 - row.doubt, other.probability))
        for row, other in zip(studied.itertuples(), others, strict=True)
        if other.label != row.label
    ]
    return pd.DataFrame.from_records(rows, columns=list(DISAGREEMENT_COLUMNS))


def doubt_between(probability: float, other: float) -> float:
    """Return how likely an answer is wrong that another version contradicts.

    Both probabilities are calibrated, and one of the two labels is taken to be right.
    """
    return other / max(probability + other, 1e-9)


def unseen_labels(
    connection: Connection, classifier: str, champion: PhraseClassifier | None
) -> frozenset[str]:
    """Return the champion's labels on which the newest gate could not have proved a fall.

    Decisions of earlier releases do not list the labels that they see: nothing is known of these.
    """
    table = decision.c
    newest = (
        sa.select(table.evidence["seen_labels"])
        .where(table.classifier == classifier, table.subject == "gate")
        .order_by(table.id.desc())
        .limit(1)
    )
    seen = connection.scalar(newest)
    if seen is None or champion is None:
        return frozenset()
    return frozenset(champion.head.labels) - set(seen)


def _requested(connection: Connection, classifier: str) -> tuple[str, ...]:
    """Return the phrases of a drift that waits for labels, most rows first."""
    request = open_request(connection, classifier)
    moved = pd.DataFrame() if request is None else request.moved
    return () if moved.empty else tuple(moved["phrase"].astype(str))


def _studied(
    phrases: pd.DataFrame, labelled: frozenset[str], versions: Versions
) -> tuple[pd.DataFrame, Float32]:
    """Return the STUDIED unlabelled phrases with the most answers in doubt, and their vectors."""
    champion = versions.champion
    if champion is None:
        return phrases.head(0), np.empty((0, 0), np.float32)
    open_phrases = phrases[~phrases["cleaned"].isin(labelled)]
    value = open_phrases["doubt"] * open_phrases["asks"]
    chosen = value.sort_values(ascending=False, kind="stable").index[:STUDIED]
    studied = open_phrases.loc[chosen].reset_index(drop=True)
    return studied, champion.embed(studied["cleaned"].tolist())


def _novel(
    studied: pd.DataFrame, vectors: Float32, champion: PhraseClassifier | None
) -> tuple[np.ndarray, list[float]]:
    """Mark the studied phrases that the champion's memory does not know; return their novelty."""
    if champion is None or studied.empty:
        return np.zeros(len(studied), bool), []
    memory = champion.memory
    unlearnt = np.array(
        [memory is None or not memory.knows(phrase) for phrase in studied["cleaned"]]
    )
    return unlearnt, novelty(champion.head, vectors[unlearnt]).astype(float).tolist()
