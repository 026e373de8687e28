"""The pairs of a split with their embeddings, as heads are fitted on them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.model.training import TrainingRows
from pipelines.stages.files import EMBEDDINGS, classifier_folder, read_rows
from pipelines.stages.vectors import read_vectors

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.model.embedder import Embed


def training_rows(key: str, *, root: Path = Path()) -> TrainingRows:
    """Return the distinct (cleaned, label) of the split with their embeddings.

    `root` is the checkout in which the stages ran.
    """
    table = read_rows(root / classifier_folder(key) / "split" / "train.parquet")
    return rows_of(table, embed=partial(read_vectors, folder=root / EMBEDDINGS))


def rows_of(table: pa.Table, *, embed: Embed) -> TrainingRows:
    """Return the pairs of a `training_table` with their embeddings."""
    cleaned = table["cleaned"].to_pylist()
    return TrainingRows(
        cleaned=np.array(cleaned, dtype=object),
        labels=np.array(table["label"].to_pylist(), dtype=str),
        weights=table["rows"].to_numpy().astype(np.float64),
        vectors=embed(cleaned),
        validation=table["validation"].to_numpy(zero_copy_only=False),
        present=table["present"].to_numpy(zero_copy_only=False),
        test_weights=table["test_rows"].to_numpy().astype(np.float64),
        present_with_test=table["present_with_test"].to_numpy(zero_copy_only=False),
    )
