"""Stage `evaluate`: a head against its test rows; numbers, plots, and the rows that drift is measured from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.contracts import Evaluation
from core.files import write_json
from pipelines.model.head_file import Head, load_head
from pipelines.stages.files import classifier_folder, read_json, read_rows, write_rows
from pipelines.stages.plots import draw_plots
from pipelines.stages.scores import ScoredAnswers, confused_pairs, prefixed, score, score_labels
from pipelines.stages.vectors import read_vectors

TOP_CONFUSED = 20
CHUNK = 4096
FRESH_DAYS = 3
"""A phrase counts as new for so long: a traffic's fashions recur, and the next retraining learns them. With 90 (new in all of the
newest days) a version that learnt a drift was alarmed by every window of it; with 3 by none, and calm traffic stayed as calm."""


def run(key: str) -> None:
    """Read the split, the head and build/embeddings; write build/classifiers/<key>/evaluation/."""
    folder = classifier_folder(key)
    recent = answer_rows(
        load_head(folder / "model"), read_rows(folder / "split" / "recent.parquet")
    )
    tested = recent.filter(pc.equal(recent["part"], "test"))
    evaluation = evaluate(key, tested)
    out, test_share = (
        folder / "evaluation",
        read_json(folder / "split" / "report.json")["test_share"],
    )
    write_json(out / "evaluation.json", evaluation)
    write_json(out / "metrics.json", flat_metrics(evaluation))
    write_rows(
        out / "predictions.parquet",
        tested.select(
            ["id", "cleaned", "label", "occurred_at", "seen", "predicted", "probability"]
        ),
    )
    write_rows(out / "reference.parquet", reference_table(recent, test_share=test_share))
    draw_plots(out, answers_of(tested), evaluation)


def tested_rows(key: str) -> pa.Table:
    """The rows that a head is tested on."""
    recent = read_rows(classifier_folder(key) / "split" / "recent.parquet")
    return recent.filter(pc.equal(recent["part"], "test"))


def flat_metrics(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of all test rows, and with `unseen_` before their names those of the phrases never trained on."""
    return {**evaluation["metrics"], **prefixed("unseen_", evaluation["unseen_metrics"])}


def answer_rows(head: Head, rows: pa.Table) -> pa.Table:
    """`rows` with the columns `predicted` and `probability`; each distinct phrase is answered once."""
    cleaned = rows["cleaned"].combine_chunks().dictionary_encode()
    phrases = cleaned.dictionary.to_pylist()
    labels, shares = _best(head, phrases)
    codes = cleaned.indices.to_numpy()
    return rows.append_column("predicted", pa.array(labels[codes], pa.string())).append_column(
        "probability", pa.array(shares[codes], pa.float64())
    )


def _best(head: Head, phrases: list[str]) -> tuple[np.ndarray, np.ndarray]:
    vectors, names = read_vectors(phrases), np.array(head.labels, dtype=object)
    labels, shares = np.empty(len(phrases), dtype=object), np.empty(len(phrases))
    for start in range(0, len(phrases), CHUNK):
        part = slice(start, start + CHUNK)
        probabilities = head.probabilities(phrases[part], vectors[part])
        labels[part], shares[part] = names[probabilities.argmax(axis=1)], probabilities.max(axis=1)
    return labels, shares


def evaluate(key: str, tested: pa.Table) -> dict[str, Any]:
    """The Evaluation contract, with every label's scores and the pairs most confused."""
    answers = answers_of(tested)
    labels = score_labels(answers)
    contract = Evaluation(
        classifier=key,
        rows=len(answers.truth),
        metrics=score(answers),
        unseen_metrics=score(answers.only(~tested["seen"].to_numpy(zero_copy_only=False))),
        recall_by_label={label: scores["recall"] for label, scores in labels.items()},
        support_by_label={label: int(scores["support"]) for label, scores in labels.items()},
    )
    return {
        **asdict(contract),
        "labels": labels,
        "confused": confused_pairs(answers, top=TOP_CONFUSED),
    }


def answers_of(rows: pa.Table) -> ScoredAnswers:
    """The columns that scores are made from."""
    truth, predicted = (
        np.array(rows[name].to_pylist(), dtype=str) for name in ("label", "predicted")
    )
    return ScoredAnswers(truth, predicted, rows["probability"].to_numpy())


def reference_table(recent: pa.Table, *, test_share: float) -> pa.Table:
    """Recent rows as live traffic would show them.

    Live traffic brings phrases that training met, and fresh ones that it cannot have met. So a row counts once when its phrase
    was known FRESH_DAYS before, trained on or held out, as in live traffic. Fresh phrases are those of the held-out rows, which
    count 1 / test_share, for the fresh ones that did train are left out. Rows of left-out labels count once.
    """
    before, seen = (recent[name].to_numpy(zero_copy_only=False) for name in ("seen_before", "seen"))
    part = np.array(recent["part"].to_pylist())
    known = before | (part == "left out") | (known_for(recent) >= np.timedelta64(FRESH_DAYS, "D"))
    weight = np.where(known, 1.0, np.where((part == "test") & ~seen, 1 / test_share, 0.0))
    weighed = recent.select(
        ["occurred_at", "region", "cleaned", "predicted", "probability"]
    ).append_column("weight", pa.array(weight))
    return weighed.filter(pa.array(weight > 0))


def known_for(recent: pa.Table) -> np.ndarray:
    """timedelta64 (n,): how long before each row its phrase occurred first among these rows, which are in order of time."""
    codes = recent["cleaned"].combine_chunks().dictionary_encode().indices.to_numpy()
    occurred_at = recent["occurred_at"].to_numpy()
    _, first = np.unique(codes, return_index=True)
    return occurred_at - occurred_at[first[codes]]
