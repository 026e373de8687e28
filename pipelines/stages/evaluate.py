"""Stage `evaluate`: scores the judged head, beside a memory of its training rows.

Writes plots, drift's reference rows, and when the version refuses a phrase.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.files import write_json
from pipelines.model.abstention import save_abstention
from pipelines.model.arrays import AnyArray, Bool
from pipelines.model.head_file import Head, judged_folder, load_head
from pipelines.model.rules import JUDGED_RULES
from pipelines.model.self_training import REPORT, self_training_metrics
from pipelines.stages.abstaining import abstention_metrics, describe_abstention
from pipelines.stages.evaluation import answer_rows, answers_of, evaluate, flat_metrics
from pipelines.stages.files import SPEC, classifier_folder, read_json, read_rows, write_rows
from pipelines.stages.memories import answers_without_own, training_memory
from pipelines.stages.near_duplicates import score_near
from pipelines.stages.plots import draw_plots
from pipelines.stages.served import compare_heads
from pipelines.stages.vectors import read_vectors

if TYPE_CHECKING:
    from pipelines.model.embedder import Embed

FRESH_DAYS = 3
"""How long a phrase counts as new after its first row.

Fashions in traffic recur, and the next retraining learns them. With 90 days (new in all of the test
days), every window of a version that had learnt a drift raised an alarm. With 3 days none did, and
the false alarms on calm traffic did not change.
"""
_PREDICTION_COLUMNS = [
    "id",
    "cleaned",
    "label",
    "occurred_at",
    "seen",
    "predicted",
    "probability",
]
_REFERENCE_COLUMNS = ["occurred_at", "region", "cleaned", "predicted", "probability"]


def run(key: str) -> None:
    """Evaluate the heads of one classifier.

    Reads the split, both heads and build/embeddings; writes build/classifiers/<key>/evaluation/.
    """
    folder = classifier_folder(key)
    served = load_head(folder / "model")
    judged = load_head(judged_folder(folder / "model"))
    labels = read_rows(folder / "split" / "labels.parquet")
    memory = training_memory(labels, classifier=key)
    recent = answer_rows(judged, read_rows(folder / "split" / "recent.parquet"), memory=memory)
    tested = recent.filter(pc.equal(recent["part"], "test"))
    pairs = read_rows(folder / "split" / "train.parquet")
    rule, abstention = describe_abstention(judged, tested, read_json(SPEC / key / "abstain.json"))
    taught = _self_training(folder / "model" / REPORT)
    evaluation = {
        **evaluate(key, tested),
        **score_near(tested, pairs),
        "served": compare_heads(judged, served, pairs),
        **_judged_rules(folder / "model" / JUDGED_RULES),
        **({"self_training": taught} if taught else {}),
        "abstention": abstention,
    }

    out = folder / "evaluation"
    save_abstention(rule, out)
    test_share = read_json(folder / "split" / "report.json")["test_share"]
    write_json(out / "evaluation.json", evaluation)
    figures = {**abstention_metrics(abstention), **self_training_metrics(taught)}
    write_json(out / "metrics.json", {**flat_metrics(evaluation), **figures})
    write_rows(out / "predictions.parquet", tested.select(_PREDICTION_COLUMNS))
    reference = reference_table(answer_known(served, recent, labels), test_share=test_share)
    write_rows(out / "reference.parquet", reference)
    draw_plots(out, answers_of(tested), evaluation)


def _judged_rules(path: Path) -> dict[str, Any]:
    """Return what `train` found of the block's rules; empty for a block without any."""
    return read_json(path) if path.exists() else {}


def _self_training(path: Path) -> dict[str, Any]:
    """Return what `train` found of unlabelled phrases; empty for a block that learns none."""
    return read_json(path) if path.exists() else {}


def reference_table(recent: pa.Table, *, test_share: float) -> pa.Table:
    """Weigh recent rows so that they stand for live traffic; rows of weight 0 are dropped.

    Live traffic brings phrases that training has seen, and fresh ones that it cannot have seen.
    A row whose phrase was known FRESH_DAYS before counts 1, whether the phrase was trained on or
    held out. Fresh phrases are represented by the held-out rows alone: each counts 1 / test_share,
    which stands in for the fresh rows that were trained on. Rows of left-out labels count 1.
    """
    seen = recent["seen"].to_numpy(zero_copy_only=False)
    part = np.array(recent["part"].to_pylist())
    known = known_rows(recent)
    weight = np.where(known, 1.0, np.where((part == "test") & ~seen, 1 / test_share, 0.0))
    weighed = recent.select(_REFERENCE_COLUMNS).append_column("weight", pa.array(weight))
    return weighed.filter(pa.array(weight > 0))


def known_rows(recent: pa.Table) -> Bool:
    """Mark the rows that count 1: the phrase known for FRESH_DAYS, or the label left out."""
    seen_before = recent["seen_before"].to_numpy(zero_copy_only=False)
    left_out = np.array(recent["part"].to_pylist()) == "left out"
    old = known_for(recent) >= np.timedelta64(FRESH_DAYS, "D")
    known: Bool = seen_before | left_out | old
    return known


def answer_known(
    served: Head, recent: pa.Table, labels: pa.Table, *, embed: Embed = read_vectors
) -> pa.Table:
    """Replace the answers of known phrases by those that clients get.

    These are the served head's, beside a memory that lacks the row itself: the judged head has
    not seen the held-out phrases, which production knows. `labels` is split/labels.parquet.
    """
    known = np.flatnonzero(known_rows(recent))
    if not len(known):
        return recent
    predicted = np.array(recent["predicted"].to_pylist(), dtype=object)
    probability = recent["probability"].to_numpy().copy()
    rows = recent.take(pa.array(known))
    predicted[known], probability[known] = answers_without_own(served, rows, labels, embed=embed)
    for name, values in (("predicted", predicted), ("probability", probability)):
        column = pa.array(values, recent.schema.field(name).type)
        recent = recent.set_column(recent.column_names.index(name), name, column)
    return recent


def known_for(recent: pa.Table) -> AnyArray:
    """Return the time since each row's phrase first occurred in `recent`: timedelta64 (n,).

    `recent` is ordered by time.
    """
    codes = recent["cleaned"].combine_chunks().dictionary_encode().indices.to_numpy()
    occurred_at: AnyArray = recent["occurred_at"].to_numpy()
    _, first = np.unique(codes, return_index=True)
    ages: AnyArray = occurred_at - occurred_at[first[codes]]
    return ages
