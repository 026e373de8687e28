"""The answers of several versions to one retraining's rows, beside the same memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.gate.drifted import UnlearntDrift
from pipelines.model.head_file import Head, judged_folder, load_head
from pipelines.model.memory import Memory
from pipelines.stages.evaluation import best_answers
from pipelines.stages.memories import answers_without_own, labels_memory, training_memory
from pipelines.stages.vectors import read_vectors
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Respondent:
    """Answers phrases with any head and one memory, or none.

    The embeddings are those that the candidate was trained on.
    """

    embeddings: Path
    memory: Memory | None

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


def answer_before_and_after(
    workspace: Workspace,
    classifier: str,
    champion: Head,
    rows: pa.Table,
    drift: UnlearntDrift,
) -> tuple[np.ndarray, np.ndarray]:
    """str (n,) twice: what clients get with the champion, and with the candidate.

    Before: the champion beside the memory of all labels until the drift began. After: the
    candidate's judged head beside the memory of every row but the one that is asked. The traffic
    repeats its phrases, and most of what a retraining learns of a drift it learns by phrase: rows
    that were left out with their phrase cannot show it. Once a gate has answered the drift, the
    memory has learnt it whatever the verdict was: then both heads have that of today.
    """
    labels = read_labels(workspace, classifier)
    embeddings = workspace.folder / "build" / "embeddings"
    embed = partial(read_vectors, folder=embeddings)
    model = workspace.folder / "build" / "classifiers" / classifier / "model"
    after, _ = answers_without_own(load_head(judged_folder(model)), rows, labels, embed=embed)
    if not drift.unanswered:
        before, _ = answers_without_own(champion, rows, labels, embed=embed)
        return before.astype(str), after.astype(str)
    moment = pa.scalar(drift.began, labels["occurred_at"].type)
    earlier = labels.filter(pc.less(labels["occurred_at"], moment))
    if not len(earlier):
        return Respondent(embeddings, None).answer_rows(champion, rows), after.astype(str)
    memory = labels_memory(earlier, classifier=classifier)
    return Respondent(embeddings, memory).answer_rows(champion, rows), after.astype(str)


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
