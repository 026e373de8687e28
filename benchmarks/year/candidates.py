"""From the rows of a snapshot to a head, its answers and the gate's verdict, without files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.year.answering import Answering
from benchmarks.year.source import KEY
from benchmarks.year.vectors import Vectors
from core.contracts import Verdict
from core.params import ClassifierParams
from pipelines.gate.decide import decide
from pipelines.gate.rows import gate_rows
from pipelines.model.head_file import Head
from pipelines.model.heads import TrainingRows, fit_head
from pipelines.stages import split
from pipelines.stages.evaluate import reference_table
from pipelines.stages.labelled_rows import labelled_rows, leave_out_rare, within_history


@dataclass(frozen=True)
class Candidate:
    """A fitted head, the answered `recent` rows that judge it, and the most frequent label."""

    head: Head
    recent: pa.Table
    floor: str
    training_rows: int

    @property
    def tested(self) -> pa.Table:
        return self.recent.filter(pc.equal(self.recent["part"], "test"))

    @property
    def reference(self) -> pa.Table:
        return reference_table(self.recent, test_share=split.TEST_SHARE)


def make_candidate(
    stored: pa.Table, *, block: ClassifierParams, vectors: Vectors, seed: int
) -> Candidate:
    """Split and fit as a retraining does; raises `TrainingImpossible`."""
    history = within_history(labelled_rows(stored, label=KEY), days=block.history_days)
    rows, left_out = leave_out_rare(history, min_rows=block.min_rows_per_label)
    parts = split.split_rows(rows, test_days=block.test_days, seed=seed)
    split.refuse_impossible(rows, parts, left_out)
    train = split.training_table(rows.only(~parts.test), seed=seed)
    recent = split.with_left_out(split.recent_table(rows, parts), history, left_out=left_out)
    head = fit(train, block=block, vectors=vectors, seed=seed)
    totals = train.group_by("label").aggregate([("rows", "sum")])
    floor = totals["label"][pc.index(totals["rows_sum"], pc.max(totals["rows_sum"])).as_py()]
    answered = _answered(recent, Answering(head, vectors, version="candidate"))
    return Candidate(head, answered, floor.as_py(), train.num_rows)


def fit_on_all(
    stored: pa.Table, *, block: ClassifierParams, vectors: Vectors, seed: int, min_rows: int
) -> Head:
    """A head that has learnt every row."""
    history = within_history(labelled_rows(stored, label=KEY), days=block.history_days)
    rows, _ = leave_out_rare(history, min_rows=min_rows)
    train = split.training_table(rows, seed=seed)
    return fit(train, block=block, vectors=vectors, seed=seed)


def fit(train: pa.Table, *, block: ClassifierParams, vectors: Vectors, seed: int) -> Head:
    """As the stage `train` does, from the table of `training_table`."""
    cleaned = train["cleaned"].to_pylist()
    training = TrainingRows(
        cleaned=np.array(cleaned, dtype=object),
        labels=np.array(train["label"].to_pylist(), dtype=str),
        weights=train["rows"].to_numpy().astype(np.float64),
        vectors=vectors(cleaned),
        validation=train["validation"].to_numpy(zero_copy_only=False),
    )
    return fit_head(block.head, training=training, embedder_id=vectors.embedder_id, seed=seed)


def judge_candidate(
    candidate: Candidate, champion: Answering | None, *, block: ClassifierParams, seed: int
) -> Verdict:
    """Hold the candidate's test rows against the champion's answers, as the gate does."""
    tested = candidate.tested.to_pydict()
    cleaned = tested["cleaned"]
    against = None if champion is None else [label for label, _ in champion.answer(cleaned)]
    rows = gate_rows(tested["label"], cleaned, tested["predicted"], against, floor=candidate.floor)
    return decide(rows, block.gate, seed=seed)


def _answered(recent: pa.Table, answering: Answering) -> pa.Table:
    answers = answering.answer(recent["cleaned"].to_pylist())
    labels = pa.array([label for label, _ in answers], pa.string())
    shares = pa.array([probability for _, probability in answers], pa.float64())
    return recent.append_column("predicted", labels).append_column("probability", shares)
