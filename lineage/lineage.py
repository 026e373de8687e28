"""Traces a version or an answer to its origin, in git, the tables, MLflow and the model store.

Each fact comes from the one place that owns it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.contracts import Inference
from core.errors import PerennialError
from core.tables.loop import snapshot as snapshot_table
from flows.context import LoopContext
from lineage import history_facts, training_facts
from lineage.replay import logged_rows, pin_that_answered
from pipelines.dvc_repository import tracked_rows
from pipelines.registry import RegisteredVersion

Facts = dict[str, Any]


def version_lineage(context: LoopContext, classifier: str, version: str | None = None) -> Facts:
    """Everything that made a version, and what became of it; by default, of the champion.

    Sections: source, snapshot, code, params, embedder, head, checks, verdicts, deployments, drift,
    feedback, mlflow, surroundings. Raises `UnknownVersion`.
    """
    number = version or context.champion_version(classifier)
    registered = context.registry.version(classifier, number)
    tags = registered.tags
    params = training_facts.params(context, registered)
    snapshot = training_facts.snapshot(context, registered)
    feedback_rows = history_facts.feedback_rows(context, classifier, snapshot)
    return {
        "classifier": classifier,
        "version": registered.version,
        "run": tags.get("run", ""),
        "reason": tags.get("reason", ""),
        "source": training_facts.source(context, registered, params, snapshot),
        "snapshot": snapshot,
        "code": training_facts.code(context, registered),
        "params": params,
        "embedder": training_facts.embedder(context, registered),
        "head": training_facts.head(context, registered),
        "checks": training_facts.checks(context, registered),
        "verdicts": history_facts.verdicts(context, registered),
        "deployments": history_facts.deployments(context, registered),
        "drift": history_facts.drift(context, registered),
        "feedback": {"rows": feedback_rows},
        "mlflow": {
            "run_id": registered.run_id,
            "metrics": context.registry.metrics(registered.run_id),
        },
        "surroundings": json.loads(tags.get("surroundings", "{}")),
    }


def request_lineage(context: LoopContext, request_id: str) -> Facts:
    """An answer, its version, its pin, its feedback, and the first version that learned from it.

    Raises `UnknownRequest` and `UnknownVersion`.
    """
    rows = logged_rows(context, request_id)
    answer = rows[0]
    received = history_facts.received_feedback(context, request_id)
    pin = pin_that_answered(context, answer)
    learned = None
    labels = [row for row in received if row["label"]]
    if labels:
        learned = _learned(context, answer, labels[0]["received_at"])

    return {
        "request_id": request_id,
        "answers": [asdict(row) for row in rows],
        "pin": asdict(pin) if pin else None,
        "feedback": received,
        "learnt": learned,
        "version": version_lineage(context, answer.classifier, answer.version),
    }


def _learned(context: LoopContext, answer: Inference, received_at: datetime) -> Facts | None:
    """The first version whose snapshot was taken after the feedback, and the row's part in it."""
    versions = context.registry.versions(answer.classifier)
    by_tag = {version.tags.get("git_tag", ""): version for version in versions}
    tag = _first_tag_since(context, list(by_tag), received_at)
    if tag is None:
        return None

    first = by_tag[tag]
    snapshot = training_facts.snapshot(context, first)
    return {
        "version": first.version,
        "snapshot": snapshot,
        "row": _training_row(context, first, snapshot.get("dataset", ""), answer.request_id),
        "verdicts": history_facts.verdicts(context, first),
        "deployments": history_facts.deployments(context, first),
    }


def _first_tag_since(context: LoopContext, tags: list[str], moment: datetime) -> str | None:
    table = snapshot_table.c
    query = (
        sa.select(table.git_tag)
        .where(table.git_tag.in_(tags), table.as_of >= moment)
        .order_by(table.as_of, table.id)
        .limit(1)
    )
    with context.engine.connect() as connection:
        return connection.scalar(query)


def _training_row(
    context: LoopContext, registered: RegisteredVersion, dataset: str, request_id: str
) -> Facts | None:
    """The row of the snapshot and its part in the split; None when DVC's cache lacks the files."""
    repository = context.settings.repository
    tag = registered.tags["git_tag"]
    split = f"build/classifiers/{registered.classifier}/split/recent.parquet"
    try:
        [row] = tracked_rows(repository, tag, f"data/{dataset}/rows.parquet", key=request_id)
        recent = tracked_rows(repository, tag, split, key=request_id)
    except (PerennialError, ValueError):
        return None
    return {**row, "part": recent[0]["part"] if recent else "before the test days"}
