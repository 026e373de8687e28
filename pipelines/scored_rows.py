"""Reads from a workspace what the gate compares: test rows, answers of candidate and champion.

`pipelines/comparison.py` decides on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.contracts import ModelVersion
from pipelines.comparison import ScoredRows
from pipelines.model.head_file import load_checked
from pipelines.workspace import Workspace


def scored_rows(workspace: Workspace, classifier: str, champion: ModelVersion | None) -> ScoredRows:
    """Return the candidate's test rows with the answers of candidate and champion."""
    import pyarrow.parquet as pq

    folder = workspace.folder / "build" / "classifiers" / classifier
    rows = pq.read_table(folder / "evaluation" / "predictions.parquet").to_pydict()
    answers = champion_answers(workspace, champion, rows["cleaned"]) if champion else None
    return ScoredRows(
        rows["label"], rows["cleaned"], rows["predicted"], answers, majority_label(folder)
    )


def champion_answers(
    workspace: Workspace, champion: ModelVersion, cleaned: Sequence[str]
) -> list[str]:
    """Return the champion's label for each phrase, in order.

    Its head is applied to the embeddings that the candidate was trained on.
    """
    from pipelines.model.classifier import best_labels
    from pipelines.stages.vectors import read_vectors

    head = load_checked(Path(champion.head_location), digest=champion.head_digest)
    distinct = sorted(set(cleaned))
    vectors = read_vectors(distinct, workspace.folder / "build" / "embeddings")
    answers = dict(zip(distinct, best_labels(head, distinct, vectors), strict=True))
    return [answers[phrase] for phrase in cleaned]


def majority_label(folder: Path) -> str:
    """Return the most frequent label of the training rows: the floor of every version."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    train = pq.read_table(folder / "split" / "train.parquet", columns=["label", "rows"])
    totals = train.group_by("label").aggregate([("rows", "sum")])
    most_frequent = pc.index(totals["rows_sum"], pc.max(totals["rows_sum"])).as_py()
    return str(totals["label"][most_frequent].as_py())
