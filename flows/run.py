"""A retraining as a value: what calls for it, and what its published files are known by."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Engine

from core.contracts import Verdict
from core.decisions import record_decision
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Run:
    """One retraining: its id, its moment and its reason."""

    id: str
    now: datetime
    reason: str


@dataclass(frozen=True)
class PublishedRun:
    """What a published run is known by.

    `tag` and `commit` are those of its dvc.lock, `data_md5` is the DVC hash of the data, and
    `snapshots` lists `dataset:logical_hash`, separated by commas.
    """

    tag: str
    commit: str
    data_md5: str
    snapshots: str


def embedder_id(workspace: Workspace) -> str:
    """Return the id of the embedder that made the embeddings of the workspace."""
    file = workspace.folder / "build" / "embedder" / "embedder.json"
    return str(json.loads(file.read_text())["embedder_id"])


def record_verdict(
    engine: Engine, verdict: Verdict, run: Run, *, classifier: str, subject: str
) -> None:
    """Record what a run decided about a classifier (see `record_decision`)."""
    with engine.begin() as connection:
        record_decision(
            connection,
            verdict,
            classifier=classifier,
            subject=subject,
            decided_at=run.now,
            run=run.id,
        )
