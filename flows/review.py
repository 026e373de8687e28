"""What people should look at next: refills the queues, and keeps the phrases near each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import Deployment, ModelVersion
from core.deployments import current_rollouts
from core.errors import PerennialError, UnknownVersion
from core.logs import get_logger
from core.memory_revisions import MemoryRevision, newest_revisions
from core.params.review import ReviewParams
from core.tables.loop import decision
from core.tables.review import review_item
from flows.answering import open_embedder
from flows.context import LoopContext
from monitoring.review.knowing import Versions
from monitoring.review.neighbours import store_facts
from monitoring.review.phrase_facts import phrase_facts, wanted_phrases
from monitoring.review.phrase_vectors import update_vectors, vectors_folder
from monitoring.review.refill import Refilled, refill_queue
from pipelines.memory.store import read_source_labels, recorded_memory
from pipelines.model.arrays import Float32
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import Embed
from pipelines.model.head_file import load_checked
from pipelines.model_store import stored_version

WAITING = ("hold", "undecided", "wait")
"""Verdicts of the gate after which a candidate may still become champion."""
EMPTY_PAUSE = timedelta(minutes=1)


@dataclass(frozen=True)
class Embedders:
    """Opens each embedder once, when the first phrase is embedded: that takes seconds."""

    context: LoopContext
    opened: dict[str, Embed] = field(default_factory=dict)

    def of(self, model: ModelVersion) -> Embed:
        """Return the embedder of a version. Raises `EmbedderUnusable` at the first phrase."""

        def embed(cleaned: Sequence[str]) -> Float32:
            if model.embedder_id not in self.opened:
                self.opened[model.embedder_id] = open_embedder(self.context.settings, model)
            return self.opened[model.embedder_id](cleaned)

        return embed


def refill_review(
    context: LoopContext,
    classifier: str,
    *,
    now: datetime,
    embedders: Embedders | None = None,
    pause: timedelta = timedelta(0),
) -> Refilled:
    """Refill the queue of a classifier; without `embedders` in a second, but with nothing novel."""
    block = context.params.classifiers.get(classifier)
    with context.engine.begin() as connection:

        def open_versions() -> Versions:
            return (
                Versions() if embedders is None else versions_of(connection, classifier, embedders)
            )

        return refill_queue(
            connection,
            classifier,
            review=block.review if block else ReviewParams(),
            now=now,
            seed=context.params.seed,
            open_versions=open_versions,
            pause=pause,
        )


def refill_when_empty(context: LoopContext, classifier: str, *, now: datetime) -> Refilled:
    """Refill a queue in which nothing waits, at most once in EMPTY_PAUSE: a second of work."""
    return refill_review(context, classifier, now=now, pause=EMPTY_PAUSE)


def versions_of(connection: Connection, classifier: str, embedders: Embedders) -> Versions:
    """Open the champion, and the version that waits to replace it."""
    rollout = current_rollouts(connection).get(classifier)
    if rollout is None or rollout.champion is None:
        return Versions()
    champion = rollout.champion.model
    revision = newest_revisions(connection).get(classifier)
    candidate = waiting_candidate(connection, champion, rollout.canary, embedders.context)
    return Versions(
        _opened(champion, revision, embedders),
        _opened(candidate, revision, embedders) if candidate else None,
    )


def _opened(
    model: ModelVersion, revision: MemoryRevision | None, embedders: Embedders
) -> PhraseClassifier:
    head = load_checked(Path(model.head_location), digest=model.head_digest)
    memory = recorded_memory(revision) if revision else None
    return PhraseClassifier(head, embedders.of(model), memory=memory)


def waiting_candidate(
    connection: Connection, champion: ModelVersion, canary: Deployment | None, context: LoopContext
) -> ModelVersion | None:
    """Return the canary, or the version that the newest gate left waiting; None without one.

    Versions of another embedder do not count: their vectors are not those of the champion.
    """
    if canary is not None:
        candidate: ModelVersion | None = canary.model
    else:
        candidate = _left_waiting(connection, champion, context)
    is_comparable = candidate is not None and candidate.embedder_id == champion.embedder_id
    return candidate if is_comparable else None


def _left_waiting(
    connection: Connection, champion: ModelVersion, context: LoopContext
) -> ModelVersion | None:
    table = decision.c
    newest = (
        sa.select(table.kind, table.evidence)
        .where(table.classifier == champion.classifier, table.subject == "gate")
        .order_by(table.id.desc())
        .limit(1)
    )
    row = connection.execute(newest).one_or_none()
    version = "" if row is None or row.kind not in WAITING else str(row.evidence.get("version", ""))
    if version in ("", champion.version):
        return None
    try:
        return stored_version(
            context.settings.models, classifier=champion.classifier, version=version
        )
    except PerennialError as error:  # the store no longer has it, or not as it was
        get_logger().warning("candidate not compared", error=str(error))
        return None


def keep_phrases(context: LoopContext, *, now: datetime, embedders: Embedders) -> int:
    """Renew the phrases among which neighbours are found; return how many are new."""
    with context.engine.connect() as connection:
        champions = [
            rollout.champion.model
            for rollout in current_rollouts(connection).values()
            if rollout.champion is not None
        ]
        groups: dict[str, list[ModelVersion]] = {}
        for model in champions:
            groups.setdefault(model.embedder_id, []).append(model)
        return sum(
            _keep_group(connection, context, models, now=now, embedders=embedders)
            for models in groups.values()
        )


def _keep_group(
    connection: Connection,
    context: LoopContext,
    models: list[ModelVersion],
    *,
    now: datetime,
    embedders: Embedders,
) -> int:
    """Renew the phrases of the champions that share an embedder."""
    revisions = newest_revisions(connection)
    facts: list[pd.DataFrame] = []
    for model in models:
        revision = revisions.get(model.classifier)
        facts_of_model = phrase_facts(
            connection,
            model.classifier,
            trained=_trained(context, revision),
            memory=recorded_memory(revision) if revision else None,
            now=now,
        )
        store_facts(context.settings.home, model, facts_of_model)
        facts.append(facts_of_model)
    queued = _queued(connection, [model.classifier for model in models])
    folder = vectors_folder(context.settings.home, models[0].embedder_id)
    return update_vectors(folder, wanted_phrases(facts, queued), embedders.of(models[0]))


def _trained(context: LoopContext, revision: MemoryRevision | None) -> list[str]:
    """Return the cleaned phrases of the snapshot that the memory was made from."""
    if revision is None:
        return []
    try:
        labels = read_source_labels(
            context.settings.models, revision.classifier, snapshot=revision.snapshot
        )
    except UnknownVersion:
        return []
    return [str(phrase) for phrase in labels["cleaned"].unique()]


def _queued(connection: Connection, classifiers: Sequence[str]) -> set[str]:
    table = review_item.c
    query = sa.select(table.cleaned).where(table.classifier.in_(classifiers), table.state == "open")
    return set(connection.scalars(query))
