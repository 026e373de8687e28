"""Where memories lie: `<models>/<classifier>/memory/`, a folder per revision."""

from __future__ import annotations

import hashlib
import shutil
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import UnknownVersion
from core.files import appearing_whole
from core.memory_revisions import MemoryRevision
from pipelines.model.memory import Memory, load_memory, save_memory

SOURCE_LABELS = "source-labels.parquet"
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("cleaned", pa.string()),
        ("label", pa.string()),
        ("occurred_at", pa.timestamp("us", "UTC")),
    ]
)


def revision_folder(models: Path, classifier: str, revision: int) -> Path:
    """Where one revision lies; its location in the table is relative to the home."""
    return models / classifier / "memory" / str(revision)


def store_memory(models: Path, memory: Memory) -> str:
    """Keep a revision, whole or not at all; return its digest. A half-made one is replaced."""
    folder = revision_folder(models, memory.classifier, memory.revision)
    if folder.exists():
        shutil.rmtree(folder)  # no row of the table names it: its run ended before that
    with appearing_whole(folder) as part:
        return save_memory(memory, part)


def store_source_labels(models: Path, classifier: str, labels: pa.Table) -> str:
    """Keep the source's labels of a retraining; return the digest that names them.

    Renewals between retrainings start from them. `labels` is what the stage `split` writes as
    labels.parquet; rows from feedback are left out, because a revision reads feedback from its
    table.
    """
    own = labels.filter(labels["from_source"]).select(_SCHEMA.names).cast(_SCHEMA)
    buffer = pa.BufferOutputStream()
    pq.write_table(own, buffer, compression="zstd")
    content = buffer.getvalue().to_pybytes()
    digest = hashlib.sha256(content).hexdigest()
    folder = _source_folder(models, classifier, digest)
    if not folder.exists():
        with appearing_whole(folder) as part:
            part.mkdir()
            (part / SOURCE_LABELS).write_bytes(content)
    return digest


def recorded_memory(revision: MemoryRevision) -> Memory:
    """Load a revision; raise `HeadRefused` when its files are not those recorded."""
    return load_memory(Path(revision.location), digest=revision.digest)


def read_source_labels(
    models: Path, classifier: str, *, snapshot: str, since: datetime | None = None
) -> pd.DataFrame:
    """Return id, cleaned, label, occurred_at; with `since`, of the rows that occurred after it.

    Raises `UnknownVersion` when they are not kept.
    """
    file = _source_folder(models, classifier, snapshot) / SOURCE_LABELS
    if not file.is_file():
        raise UnknownVersion(
            f"the source's labels of {classifier} as of its snapshot",
            came=f"no file {file}",
            do=f"run `perennial retrain {classifier}`",
        )
    later = None if since is None else [("occurred_at", ">", since)]
    return pq.read_table(file, filters=later).to_pandas()


def no_source_labels() -> pd.DataFrame:
    """Return what `read_source_labels` does of a source without rows."""
    return _SCHEMA.empty_table().to_pandas()


def _source_folder(models: Path, classifier: str, snapshot: str) -> Path:
    return models / classifier / "memory" / "source" / snapshot
