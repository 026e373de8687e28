"""From the rows of a snapshot to a head, its answers and the gate's verdict, without files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from core.params.schema import ClassifierParams
from operations.simulation.answering import Answering
from operations.simulation.memory import PhraseEvidence, evidence_of_rows
from operations.simulation.source import KEY
from operations.simulation.vectors import Vectors
from pipelines.model.head_file import Head
from pipelines.model.heads import Heads, fit_heads
from pipelines.stages import split
from pipelines.stages.evaluate import answer_known, reference_table
from pipelines.stages.labelled_rows import labelled_rows, leave_out_rare, within_history
from pipelines.stages.train import rows_of


@dataclass(frozen=True)
class Candidate:
    """Both heads of a fit, the `recent` rows that judge it, and the most frequent label.

    `recent` is answered by the judged head and `memory`, that of the training rows; without one,
    by the head alone. `labels` is what the stage `split` writes as labels.parquet.
    """

    heads: Heads
    recent: pa.Table
    labels: pa.Table
    memory: Mapping[str, PhraseEvidence] | None
    floor: str
    training_rows: int

    @property
    def tested(self) -> pa.Table:
        return self.recent.filter(pc.equal(self.recent["part"], "test"))

    def reference(self, answering: Answering) -> pa.Table:
        """Drift's reference rows, where `answering` is what clients hear."""
        recent = self.recent
        if self.memory is not None:
            recent = answer_known(answering.head, recent, self.labels, embed=answering.embed)
        return reference_table(recent, test_share=split.TEST_SHARE)


def make_candidate(
    stored: pa.Table,
    *,
    block: ClassifierParams,
    vectors: Vectors,
    seed: int,
    remembers: bool,
    serves_all_rows: bool,
) -> Candidate:
    """Split and fit as a retraining does; raises `TrainingImpossible`.

    Unless it `serves_all_rows`, the judged head is served and the fit ends with it.
    """
    history = within_history(labelled_rows(stored, label=KEY), days=block.fixed_history_days)
    rows, left_out = leave_out_rare(history, min_rows=block.min_rows_per_label)
    parts = split.split_rows(rows, test_days=block.test_days, seed=seed)
    split.refuse_impossible(rows, parts, left_out)

    train = split.training_table(rows, test=parts.test, seed=seed)
    labels = split.labels_table(rows, test=parts.test)
    recent = split.with_left_out(split.recent_table(rows, parts), history, left_out=left_out)

    heads = fit(train, block=block, vectors=vectors, seed=seed, on_all_rows=serves_all_rows)
    memory = training_evidence(labels) if remembers else None

    totals = train.group_by("label").aggregate([("rows", "sum")])
    floor = totals["label"][pc.index(totals["rows_sum"], pc.max(totals["rows_sum"])).as_py()]
    judged = Answering(heads.judged, vectors, version="candidate", memory=memory)
    return Candidate(
        heads, _answered(recent, judged), labels, memory, floor.as_py(), train.num_rows
    )


def training_evidence(labels: pa.Table) -> dict[str, PhraseEvidence]:
    """What the rows outside the test part say of each phrase."""
    return evidence_of(labels.filter(pc.invert(labels["test"])))


def evidence_of(labels: pa.Table) -> dict[str, PhraseEvidence]:
    """What rows of labels.parquet say of each phrase, every row counted once."""
    return evidence_of_rows(labels["cleaned"].to_pylist(), labels["label"].to_pylist())


def fit_on_all(
    stored: pa.Table, *, block: ClassifierParams, vectors: Vectors, seed: int, min_rows: int
) -> Head:
    """A head that has learnt every row."""
    history = within_history(labelled_rows(stored, label=KEY), days=block.fixed_history_days)
    rows, _ = leave_out_rare(history, min_rows=min_rows)
    train = split.training_table(rows, seed=seed)
    return fit(train, block=block, vectors=vectors, seed=seed, on_all_rows=False).judged


def fit(
    train: pa.Table, *, block: ClassifierParams, vectors: Vectors, seed: int, on_all_rows: bool
) -> Heads:
    """As the stage `train` does, from the table of `training_table`."""
    training = rows_of(train, embed=vectors)
    if not on_all_rows:
        training = training.without_test()
    return fit_heads(block.head, training=training, embedder_id=vectors.embedder_id, seed=seed)


def _answered(recent: pa.Table, answering: Answering) -> pa.Table:
    answers = answering.answer(recent["cleaned"].to_pylist())
    labels = pa.array([label for label, _ in answers], pa.string())
    shares = pa.array([probability for _, probability in answers], pa.float64())
    return recent.append_column("predicted", labels).append_column("probability", shares)
