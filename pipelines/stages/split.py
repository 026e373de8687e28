"""Stage `split`: splits a snapshot into training and test rows; the newest rows test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from core.errors import TrainingImpossible
from core.files import write_json
from core.logs import get_logger
from core.params.costs import CostParams, refuse_unknown_labels
from pipelines.checks import require_checked
from pipelines.model.arrays import MAX_LABELS, Bool, Strings
from pipelines.stages.files import (
    CHECK,
    DATA,
    SPEC,
    classifier_folder,
    read_json,
    read_rows,
    write_rows,
)
from pipelines.stages.labelled_rows import (
    ORDER,
    LabelledRows,
    labelled_rows,
    leave_out_rare,
    newest_days,
    of_line,
    within_history,
)
from pipelines.stages.present import present_pairs, single_acts
from pipelines.stages.unlabelled import write_unlabelled_part

TEST_SHARE = 0.3
"""Of the distinct phrases of the newest test_days."""
VALIDATION_SHARE = 0.1
"""Of the distinct phrases that train."""


@dataclass(frozen=True)
class SplitMasks:
    """What is true of each row, bool (n,).

    Attributes
    ----------
    recent : among the newest test_days
    test : a test row, one of the recent ones
    seen : its phrase is trained on
    seen_before : its phrase occurs before the recent rows
    """

    recent: Bool
    test: Bool
    seen: Bool
    seen_before: Bool


def run(key: str) -> None:
    """Split the snapshot of one classifier.

    Reads data/<dataset>/rows.parquet; writes build/classifiers/<key>/split/. Raises
    `DataCheckFailed` and `TrainingImpossible`.
    """
    require_checked(CHECK)
    spec = read_json(SPEC / key / "split.json")
    snapshot = read_rows(
        DATA / spec["dataset"] / "rows.parquet",
        columns=["id", "phrase", "occurred_at", "region", "origin", spec["label"]],
    )
    stored = of_line(snapshot, spec.get("line", {}).get("value"))
    usable = labelled_rows(stored, label=spec["label"])
    history = within_history(usable, days=spec["history_days"])
    costs = CostParams.model_validate(read_json(SPEC / key / "costs.json"))
    refuse_unknown_labels(costs, {str(label) for label in history.labels})
    rows, left_out = leave_out_rare(history, min_rows=spec["min_rows_per_label"])
    masks = split_rows(rows, test_days=spec["test_days"], seed=spec["seed"])
    refuse_impossible(rows, masks, left_out)

    folder = classifier_folder(key) / "split"
    pairs = training_table(rows, test=masks.test, seed=spec["seed"])
    recent = with_left_out(recent_table(rows, masks), history, left_out=left_out)
    counts = {
        **report(stored.num_rows, rows, masks, left_out),
        **left_behind(stored.num_rows, usable, history),
    }
    if "line" in spec:
        counts["rows_of_other_regions"] = snapshot.num_rows - stored.num_rows
    write_rows(folder / "train.parquet", pairs)
    write_rows(folder / "labels.parquet", labels_table(rows, test=masks.test))
    write_rows(folder / "recent.parquet", recent)
    write_json(folder / "report.json", counts)
    write_unlabelled_part(key, DATA / spec["dataset"], labelled=usable.phrases)
    _log_counts(counts)


def _log_counts(counts: Mapping[str, Any]) -> None:
    numbers = {name: count for name, count in counts.items() if name != "left_out"}
    get_logger().info("split", **numbers, labels_left_out=len(counts["left_out"]))


def split_rows(rows: LabelledRows, *, test_days: int, seed: int) -> SplitMasks:
    """Mark the test rows: those of 30 % of the distinct phrases of the newest `test_days`.

    All other rows train. Whole phrases test, so the scores of unseen phrases are those of new text.
    """
    if not len(rows.ids):
        none = np.zeros(0, bool)
        return SplitMasks(none, none, none, none)
    recent = newest_days(rows, test_days)
    chosen = chosen_phrases(rows.phrases, share=TEST_SHARE, salt=f"test-{seed}")
    test = recent & chosen[rows.phrase_codes]
    return SplitMasks(recent, test, _occurring(rows, ~test), _occurring(rows, ~recent))


def chosen_phrases(phrases: Sequence[str] | Strings, *, share: float, salt: str) -> Bool:
    """Choose a `share` of all possible phrases by a salted hash: bool (n,).

    The choice depends on the phrase alone: a phrase that tests in one snapshot tests in the next.
    """
    limit = round(share * 2**64)  # the hash has 8 bytes
    salted = hashlib.blake2b(salt.encode(), digest_size=8)
    return np.array([_hash(salted, phrase) < limit for phrase in phrases], bool)


def _hash(salted: Any, phrase: str) -> int:
    digest = salted.copy()
    digest.update(phrase.encode())
    return int.from_bytes(digest.digest(), "big")


def _occurring(rows: LabelledRows, among: Bool) -> Bool:
    """Mark the rows whose phrase occurs in the rows `among`."""
    present = np.zeros(len(rows.phrases), bool)
    present[rows.phrase_codes[among]] = True
    occurring: Bool = present[rows.phrase_codes]
    return occurring


def refuse_impossible(rows: LabelledRows, masks: SplitMasks, left_out: Mapping[str, int]) -> None:
    """Raise `TrainingImpossible` when these rows cannot carry a classifier."""
    if not len(rows.ids):
        present = "no labelled row in the history"
        if left_out:
            most = max(left_out.values())
            present = f"{len(left_out)} labels, the most frequent with {most} rows"
        raise TrainingImpossible(
            "at least two labels with min_rows_per_label rows",
            came=present,
            do="lower min_rows_per_label, or widen history_days",
        )

    trained = sorted(set(rows.labels[~masks.test]))
    if len(trained) < 2:
        raise TrainingImpossible(
            "at least two labels among the training rows",
            came=f"only {', '.join(trained) or 'none'}",
            do="widen history_days, lower min_rows_per_label, or correct source.label",
        )

    labels = len(set(rows.labels))
    if labels > MAX_LABELS:
        raise TrainingImpossible(
            f"at most {MAX_LABELS:,} labels",
            came=f"{labels:,}",
            do="raise min_rows_per_label, or choose a coarser column as source.label",
        )

    if not masks.test.any():
        raise TrainingImpossible(
            "test rows: 30 % of the phrases of the newest test_days",
            came=f"none of {int(masks.recent.sum())} recent rows",
            do="raise test_days",
        )


def training_table(rows: LabelledRows, *, seed: int, test: Bool | None = None) -> pa.Table:
    """Return the distinct (cleaned, label), sorted, with counts and marks.

    `rows` and `test_rows` count the pair's rows outside and inside the test part, `test` bool
    (n,), None for no test part; `validation` says that its phrase is in the slice. `present` marks
    the present label of each phrase by the rows outside the test part, `present_with_test` by all.
    """
    test = np.zeros(len(rows.ids), bool) if test is None else test
    labels, label_codes = np.unique(rows.labels, return_inverse=True)
    pairs, pair_of_row, counts = np.unique(
        rows.phrase_codes.astype(np.int64) * len(labels) + label_codes,
        return_inverse=True,
        return_counts=True,
    )
    test_counts = np.bincount(pair_of_row[test], minlength=len(pairs))
    phrase_of_pair = pairs // len(labels)
    cleaned = rows.phrases[phrase_of_pair]
    acts = single_acts(pair_of_row, rows.occurred_at, from_source=rows.from_source)
    validation = chosen_phrases(cleaned, share=VALIDATION_SHARE, salt=f"validation-{seed}")
    return pa.table(
        {
            "cleaned": pa.array(cleaned, pa.string()),
            "label": pa.array(labels[pairs % len(labels)], pa.string()),
            "rows": pa.array(counts - test_counts, pa.int64()),
            "test_rows": pa.array(test_counts, pa.int64()),
            "validation": pa.array(validation),
            "present": pa.array(present_pairs(pair_of_row, phrase_of_pair, acts, among=~test)),
            "present_with_test": pa.array(
                present_pairs(pair_of_row, phrase_of_pair, acts, among=np.ones(len(test), bool))
            ),
        }
    )


def labels_table(rows: LabelledRows, *, test: Bool) -> pa.Table:
    """Return the label of every row in order of time: the evidence that a memory weighs.

    `from_source` is false for rows from feedback, `test` true for test rows.
    """
    return pa.table(
        {
            "id": pa.array(rows.ids, pa.string()),
            "cleaned": pa.array(rows.phrases[rows.phrase_codes], pa.string()),
            "label": pa.array(rows.labels, pa.string()),
            "occurred_at": pa.array(rows.occurred_at, pa.timestamp("us", "UTC")),
            "from_source": pa.array(rows.from_source),
            "test": pa.array(test),
            "region": pa.array(rows.regions, pa.string()),
        }
    )


def recent_table(rows: LabelledRows, masks: SplitMasks) -> pa.Table:
    """Return every row of the newest test_days."""
    recent = masks.recent
    shown = rows.only(recent)
    return pa.table(
        {
            "id": pa.array(shown.ids, pa.string()),
            "cleaned": pa.array(shown.phrases[shown.phrase_codes], pa.string()),
            "label": pa.array(shown.labels, pa.string()),
            "occurred_at": pa.array(shown.occurred_at, pa.timestamp("us", "UTC")),
            "region": pa.array(shown.regions, pa.string()),
            "part": pa.array(np.where(masks.test[recent], "test", "train"), pa.string()),
            "seen": pa.array(masks.seen[recent]),
            "seen_before": pa.array(masks.seen_before[recent]),
        }
    )


def with_left_out(
    recent: pa.Table, history: LabelledRows, *, left_out: Mapping[str, int]
) -> pa.Table:
    """Add the rows of the same days whose label was left out, as part "left out".

    No head knows their labels, but live traffic brings them.
    """
    rare = np.isin(history.labels, list(left_out))
    rows = history.only(rare & (history.occurred_at >= recent["occurred_at"].to_numpy().min()))
    none = np.zeros(len(rows.ids), bool)
    added = recent_table(rows, SplitMasks(recent=~none, test=none, seen=none, seen_before=none))
    part = pa.array(["left out"] * len(rows.ids), pa.string())
    added = added.set_column(added.column_names.index("part"), "part", part)
    return pa.concat_tables([recent, added]).sort_by(ORDER)


def report(
    stored: int, rows: LabelledRows, masks: SplitMasks, left_out: Mapping[str, int]
) -> dict[str, Any]:
    """Return what became of the rows, in numbers."""
    return {
        "stored_rows": stored,
        "rows": len(rows.ids),
        "train_rows": int((~masks.test).sum()),
        "test_rows": int(masks.test.sum()),
        "unseen_test_rows": int((masks.test & ~masks.seen).sum()),
        "recent_rows": int(masks.recent.sum()),
        "labels": len(set(rows.labels)),
        "left_out": dict(left_out),
        "left_out_rows": sum(left_out.values()),
        "first": str(rows.occurred_at.min()),
        "last": str(rows.occurred_at.max()),
        "test_share": TEST_SHARE,
    }


def left_behind(stored: int, usable: LabelledRows, history: LabelledRows) -> dict[str, int]:
    """Count the rows that were never candidates.

    They have no label or no phrase to learn from, or are older than the history.
    """
    return {
        "unusable_rows": stored - len(usable.ids),
        "rows_before_history": len(usable.ids) - len(history.ids),
    }
