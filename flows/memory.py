"""Renews a classifier's memory: seconds, without a fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pandas as pd

from core.locks import AdvisoryLock, hold_named
from core.logs import get_logger
from core.memory_revisions import MemoryRevision, append_revision, newest_revisions
from flows.context import LoopContext
from monitoring.received_labels import received_labels
from pipelines.memory.build import build_memory
from pipelines.memory.evidence_rows import join_labels
from pipelines.memory.judge import Foretold, foretell
from pipelines.memory.store import read_source_labels, revision_folder, store_memory


def renew_memory(
    context: LoopContext, classifier: str, *, snapshot: str, fitted_as_of: datetime, now: datetime, why: str
) -> MemoryRevision:
    """Make and record the next revision: the source's labels of `snapshot`, and all feedback.

    The memory is judged on the labels received since `fitted_as_of`, the moment up to which the
    champion's head has seen labels, and switched off when the head alone foretells them better.
    Raises `UnknownVersion` when the source's labels are not stored.
    """
    models = context.settings.models
    source = read_source_labels(models, classifier, snapshot=snapshot)
    with context.engine.begin() as connection:
        hold_named(connection, AdvisoryLock.MEMORY, classifier)
        before = newest_revisions(connection).get(classifier)
        number = before.revision + 1 if before else 1
        received = received_labels(connection, classifier=classifier, received_by=now)
        labels = join_labels(source, received)
        foretold = foretell(labels, since=pd.Timestamp(fitted_as_of))
        memory = replace(
            build_memory(labels, classifier=classifier, revision=number, as_of=pd.Timestamp(now)),
            enabled=not foretold.loses,
        )
        revision = MemoryRevision(
            classifier=classifier,
            revision=number,
            made_at=now,
            as_of=now,
            digest=store_memory(models, memory),
            location=str(
                revision_folder(models, classifier, number).relative_to(context.settings.home)
            ),
            snapshot=snapshot,
            first_feedback=int(received["id"].min()) if len(received) else None,
            last_feedback=int(received["id"].max()) if len(received) else None,
            phrases=len(memory.hashes),
            labels=len(labels),
            enabled=memory.enabled,
            why=f"{why}; {_told(foretold)}",
        )
        append_revision(connection, revision)
    get_logger().info("memory", classifier=classifier, revision=number, enabled=memory.enabled)
    return revision


def _told(foretold: Foretold) -> str:
    if not foretold.labels:
        return "no label since the last fit to judge it by"
    return (
        f"of {foretold.labels} labels since the last fit it foretold {foretold.memory_right}, "
        f"the head alone {foretold.head_right}"
    )
