"""The answers of several versions to one retraining's rows, beside the same memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.model.head_file import Head
from pipelines.model.memory import Memory
from pipelines.stages.evaluation import best_answers
from pipelines.stages.memories import labels_memory, training_memory
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Respondent:
    """Answers phrases with any head and one memory.

    The embeddings are those that the candidate was trained on.
    """

    embeddings: Path
    memory: Memory

    def answer(self, head: Head, phrases: Sequence[str]) -> np.ndarray:
        """str (n,): the head's labels of distinct phrases."""
        labels, _ = best_answers(
            head, list(phrases), memory=self.memory, embeddings=self.embeddings
        )
        return np.array(labels, dtype=str)

    def answer_rows(self, head: Head, rows: pa.Table) -> np.ndarray:
        """str (n,): the head's labels of the rows; each distinct phrase is answered once."""
        cleaned = rows["cleaned"].combine_chunks().dictionary_encode()
        labels = self.answer(head, cleaned.dictionary.to_pylist())
        return np.asarray(labels[cleaned.indices.to_numpy()])


def judging_respondent(workspace: Workspace, classifier: str) -> Respondent:
    """Return the respondent whose memory lacks the test rows: it answers what judges."""
    labels = read_labels(workspace, classifier)
    memory = training_memory(labels, classifier=classifier)
    return Respondent(workspace.folder / "build" / "embeddings", memory)


def serving_respondent(workspace: Workspace, classifier: str) -> Respondent:
    """Return the respondent whose memory has every row, as clients are answered."""
    labels = read_labels(workspace, classifier)
    memory = labels_memory(labels, classifier=classifier)
    return Respondent(workspace.folder / "build" / "embeddings", memory)


def read_labels(workspace: Workspace, classifier: str) -> pa.Table:
    """Return split/labels.parquet: the label of every row, in order of time."""
    folder = workspace.folder / "build" / "classifiers" / classifier
    return pq.read_table(folder / "split" / "labels.parquet")


def majority_label(folder: Path) -> str:
    """The most frequent label of the training rows: the floor that any version must beat."""
    train = pq.read_table(folder / "split" / "train.parquet", columns=["label", "rows"])
    totals = train.group_by("label").aggregate([("rows", "sum")])
    most = pc.index(totals["rows_sum"], pc.max(totals["rows_sum"])).as_py()
    return str(totals["label"][most].as_py())
