"""Where memories lie: `<models>/<classifier>/memory/`, a folder per revision."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import UnknownVersion
from core.files import appearing_whole
from pipelines.model.memory import Memory, save_memory

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


def source_labels_table(labels: pd.DataFrame) -> pa.Table:
    """Ordered by (occurred_at, id), so that equal rows give equal bytes."""
    return pa.Table.from_pandas(labels, schema=_SCHEMA, preserve_index=False).sort_by(
        [("occurred_at", "ascending"), ("id", "ascending")]
    )


def store_source_labels(models: Path, classifier: str, *, snapshot: str, file: Path) -> None:
    """Keep the source's labels as of a snapshot: renewals between retrainings start from them."""
    folder = models / classifier / "memory" / "source" / snapshot
    if not folder.exists():
        with appearing_whole(folder) as part:
            part.mkdir()
            shutil.copy(file, part / SOURCE_LABELS)


def read_source_labels(models: Path, classifier: str, *, snapshot: str) -> pd.DataFrame:
    """Return id, cleaned, label, occurred_at. Raises `UnknownVersion` when they are not kept."""
    file = models / classifier / "memory" / "source" / snapshot / SOURCE_LABELS
    if not file.is_file():
        raise UnknownVersion(
            f"the source's labels of {classifier} as of its snapshot",
            came=f"no file {file}",
            do=f"call `perennial retrain {classifier}`",
        )
    return pq.read_table(file).to_pandas()
