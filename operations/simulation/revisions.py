"""Revisions of a simulated memory, where the watch looks for them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.memory_revisions import MemoryRevision, append_revision
from core.tables.loop import feedback
from operations.simulation.memory import RunningMemory
from operations.simulation.source import KEY
from pipelines.memory.store import revision_folder, store_memory


def store_revision(engine: Engine, models: Path, memory: RunningMemory, *, now: datetime) -> None:
    """Store the newest state of a memory; its number is that of its renewals."""
    packed = memory.packed(classifier=KEY, revision=memory.renewals)
    with engine.begin() as connection:
        revision = MemoryRevision(
            classifier=KEY,
            revision=packed.revision,
            made_at=now,
            as_of=now,
            digest=store_memory(models, packed),
            location=str(revision_folder(models, KEY, packed.revision).resolve()),
            snapshot="none",
            first_feedback=connection.scalar(sa.select(sa.func.min(feedback.c.id))),
            last_feedback=connection.scalar(sa.select(sa.func.max(feedback.c.id))),
            phrases=len(packed.hashes),
            labels=len(packed.codes),
            enabled=packed.enabled,
            why="simulated",
        )
        append_revision(connection, revision)
