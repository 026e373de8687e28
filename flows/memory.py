"""Renews a classifier's memory: takes seconds and fits nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from sqlalchemy.engine import Connection

from core.contracts import Verdict
from core.deployments import current_champions
from core.files import replacing
from core.locks import AdvisoryLock, hold_until_commit
from core.logs import get_logger
from core.memory_revisions import MemoryRevision, append_revision, newest_revisions
from flows.context import LoopContext
from flows.run import Run
from monitoring.labels.received import (
    labels_since,
    newest_settled,
    received_answers,
    received_labels,
)
from monitoring.labels.unselected import DAYS_READ, unselected_requests
from monitoring.windows.learnt import trained_as_of
from pipelines.memory.build import build_memory
from pipelines.memory.changes import changed_phrases
from pipelines.memory.evidence_rows import join_labels
from pipelines.memory.judge import Forecast, forecast_labels
from pipelines.memory.store import (
    read_source_labels,
    recorded_memory,
    revision_folder,
    store_memory,
    store_source_labels,
)
from pipelines.model.memory import Memory
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class NewRevision:
    """A new revision, and the one before it; None before the first."""

    before: MemoryRevision | None
    made: MemoryRevision


def remember_retraining(
    context: LoopContext, workspace: Workspace, classifier: str, run: Run
) -> NewRevision | None:
    """Renew the memory from a retraining's snapshot, whatever the gate said of its head.

    None for a classifier that no version answers. When this fails or is killed, the next
    `remember_labels` does it.
    """
    built = workspace.folder / "build" / "classifiers" / classifier
    labels = pq.read_table(built / "split" / "labels.parquet")
    snapshot = store_source_labels(context.settings.models, classifier, labels)
    unfinished = _unfinished_file(context, classifier)
    with replacing(unfinished) as part:
        part.write_text(snapshot)

    renewed = None
    if classifier in context.champions():
        with context.engine.connect() as connection:
            before = newest_revisions(connection).get(classifier)
        made = renew_memory(context, classifier, snapshot=snapshot, now=run.now, why=run.reason)
        renewed = NewRevision(before, made)
    unfinished.unlink(missing_ok=True)
    return renewed


def remember_labels(context: LoopContext, classifier: str, *, now: datetime) -> Verdict:
    """Renew the memory when labels came since its newest revision, or a retraining could not.

    Returns the Verdict "renewed", "current" or "waiting" (for the next retraining, where no
    revision was ever made).
    """
    unfinished = _unfinished_file(context, classifier)
    snapshot = unfinished.read_text() if unfinished.exists() else None
    with context.engine.connect() as connection:
        newest = newest_revisions(connection).get(classifier)
        due = newest is not None and labels_since(
            connection, classifier=classifier, revision=newest, now=now
        )

    if snapshot is not None:
        made = renew_memory(context, classifier, snapshot=snapshot, now=now, why="retraining")
        unfinished.unlink(missing_ok=True)
    elif newest is None:
        return Verdict("waiting", ("no revision yet: the next retraining makes the first",))
    elif not due:
        return Verdict("current", (f"no label since revision {newest.revision}",))
    else:
        made = renew_memory(context, classifier, snapshot=newest.snapshot, now=now, why="labels")

    return describe_renewal(context, NewRevision(newest, made), now=now)


def _unfinished_file(context: LoopContext, classifier: str) -> Path:
    """Holds the digest of a retraining's source labels until a revision knows them."""
    return context.settings.models / classifier / "memory" / "unfinished"


def describe_renewal(context: LoopContext, renewed: NewRevision, *, now: datetime) -> Verdict:
    """Return the Verdict "renewed" with the phrases whose label changed."""
    before = renewed.before
    made = renewed.made
    reason = f"revision {made.revision} of {made.labels} labels: {made.why}"
    if before is None:
        return Verdict("renewed", (reason,), {**asdict(made), "changed": []})
    received = received_answers(context.engine, made.classifier, revision=before, now=now)
    of_source = read_source_labels(
        context.settings.models, made.classifier, snapshot=made.snapshot
    ).assign(head_label="", is_new=False)
    changes = changed_phrases(
        recorded_memory(before), recorded_memory(made), pd.concat([of_source, received])
    )
    return Verdict("renewed", (reason,), {**asdict(made), "changed": changes})


@dataclass(frozen=True, eq=False)
class Renewal:
    """A memory that is not recorded yet, and what it was made from."""

    memory: Memory
    labels: pd.DataFrame
    received: pd.DataFrame
    forecast: Forecast


def renew_memory(
    context: LoopContext, classifier: str, *, snapshot: str, now: datetime, why: str
) -> MemoryRevision:
    """Make and record the next revision: the source's labels of `snapshot`, and all feedback.

    Feedback received after `now` waits, except what the revision before knows already: a retraining
    of an earlier moment takes no label away. The memory is judged on the unselected labels received
    since the champion's fit, and switched off when the head alone predicts them better. Raises
    `UnknownVersion` when the source's labels are not stored.
    """
    models = context.settings.models
    source = read_source_labels(models, classifier, snapshot=snapshot)
    with context.engine.begin() as connection:
        hold_until_commit(connection, AdvisoryLock.MEMORY, classifier)
        settled = newest_settled(context.engine)
        before = newest_revisions(connection).get(classifier)
        as_of = max(now, before.as_of) if before else now
        made = make_memory(
            source,
            received_labels(connection, classifier=classifier, received_by=as_of, newest=settled),
            classifier=classifier,
            revision=before.revision + 1 if before else 1,
            as_of=as_of,
            judged_since=_fitted_at(connection, classifier) or as_of,
            judging=_unselected(connection, classifier, as_of),
        )
        revision = MemoryRevision(
            made_at=now,
            as_of=as_of,
            digest=store_memory(models, made.memory),
            location=str(revision_folder(models, classifier, made.memory.revision).resolve()),
            snapshot=snapshot,
            why=f"{why}; {_judgement(made.forecast)}",
            **_counts(made),
        )
        append_revision(connection, revision)
    get_logger().info("memory", **asdict(revision))
    return revision


def _fitted_at(connection: Connection, classifier: str) -> datetime | None:
    """Return the moment up to which the champion's training rows reach."""
    champion = current_champions(connection).get(classifier)
    if champion is None:
        return None
    return trained_as_of(connection, classifier=classifier, version=champion.model.version)


def _unselected(connection: Connection, classifier: str, as_of: datetime) -> Collection[str]:
    return unselected_requests(connection, classifier, since=as_of - timedelta(days=DAYS_READ))


def make_memory(
    source: pd.DataFrame,
    received: pd.DataFrame,
    *,
    classifier: str,
    revision: int,
    as_of: datetime,
    judged_since: datetime,
    judging: Collection[str] = (),
) -> Renewal:
    """Weigh the labels of both places, and judge the memory that they make. Pure.

    `judging` are the requests whose labels judge it. People correct what the memory has wrong, and
    never what it has right: by corrections, every memory loses against the head alone.
    """
    may_judge = received["request_id"].isin(judging)
    judged = received.assign(head_label=received["head_label"].where(may_judge, ""))
    labels = join_labels(source, judged)
    forecast = forecast_labels(labels, since=pd.Timestamp(judged_since))
    memory = build_memory(
        labels, classifier=classifier, revision=revision, as_of=pd.Timestamp(as_of)
    )
    return Renewal(replace(memory, enabled=not forecast.loses), labels, received, forecast)


def _counts(made: Renewal) -> dict[str, Any]:
    ids = made.received["id"]
    return {
        "classifier": made.memory.classifier,
        "revision": made.memory.revision,
        "first_feedback": int(ids.min()) if len(ids) else None,
        "last_feedback": int(ids.max()) if len(ids) else None,
        "phrases": len(made.memory.hashes),
        "labels": len(made.labels),
        "enabled": made.memory.enabled,
    }


def _judgement(forecast: Forecast) -> str:
    if not forecast.labels:
        return "no unselected label since the last fit to judge it by"
    return (
        f"of {forecast.labels} unselected labels since the last fit it predicted "
        f"{forecast.memory_right}, the head alone {forecast.head_right}"
    )
