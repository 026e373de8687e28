"""Stage `split`: a snapshot into training and test rows, judged on the newest rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import TrainingImpossible
from core.files import write_json
from core.logs import get_logger
from pipelines.checks import require_checked
from pipelines.model.text import clean_learnable
from pipelines.stages.files import (
    CHECK,
    DATA,
    SPEC,
    classifier_folder,
    read_json,
    read_rows,
    write_rows,
)

TEST_SHARE = 0.3  # of the distinct phrases of the newest test_days
VALIDATION_SHARE = 0.1  # of the distinct phrases that train


@dataclass(frozen=True)
class LabelledRows:
    """The labelled rows of one classifier within its history. All arrays (n,), ordered by (occurred_at, id).

    `phrase_codes` numbers `phrases`, the distinct cleaned phrases; `occurred_at` is datetime64[us] in UTC.
    """

    ids: np.ndarray
    labels: np.ndarray
    regions: np.ndarray
    occurred_at: np.ndarray
    from_source: np.ndarray
    phrase_codes: np.ndarray
    phrases: np.ndarray

    def only(self, chosen: np.ndarray) -> LabelledRows:
        return LabelledRows(
            ids=self.ids[chosen],
            labels=self.labels[chosen],
            regions=self.regions[chosen],
            occurred_at=self.occurred_at[chosen],
            from_source=self.from_source[chosen],
            phrase_codes=self.phrase_codes[chosen],
            phrases=self.phrases,
        )


@dataclass(frozen=True)
class SplitMasks:
    """bool (n,) each: the newest rows; the test rows among them; phrase trained on at all; phrase seen before the newest rows."""

    recent: np.ndarray
    test: np.ndarray
    seen: np.ndarray
    seen_before: np.ndarray


def run(key: str) -> None:
    """Read data/<dataset>/rows.parquet; write build/classifiers/<key>/split/. Raises `DataCheckFailed`, `TrainingImpossible`."""
    require_checked(CHECK)
    spec, folder = read_json(SPEC / key / "split.json"), classifier_folder(key) / "split"
    stored = read_rows(
        DATA / spec["dataset"] / "rows.parquet",
        columns=["id", "phrase", "occurred_at", "region", "origin", spec["label"]],
    )
    usable = labelled_rows(stored, label=spec["label"])
    history = within_history(usable, days=spec["history_days"])
    rows, left_out = leave_out_rare(history, min_rows=spec["min_rows_per_label"])
    parts = split_rows(rows, test_days=spec["test_days"], seed=spec["seed"])
    refuse_impossible(rows, parts, left_out)
    write_rows(folder / "train.parquet", training_table(rows.only(~parts.test), seed=spec["seed"]))
    write_rows(
        folder / "recent.parquet",
        with_left_out(recent_table(rows, parts), history, left_out=left_out),
    )
    told = {
        **report(stored.num_rows, rows, parts, left_out),
        **left_behind(stored.num_rows, usable, history),
    }
    write_json(folder / "report.json", told)
    get_logger().info(
        "split",
        **{name: count for name, count in told.items() if name != "left_out"},
        labels_left_out=len(left_out),
    )


def labelled_rows(table: pa.Table, *, label: str) -> LabelledRows:
    """Rows with a label of this classifier and a phrase to learn from (feedback may carry another classifier's label only)."""
    table = table.filter(_has_label(table[label])).sort_by(
        [("occurred_at", "ascending"), ("id", "ascending")]
    )
    distinct = {
        phrase: clean_learnable(phrase) for phrase in pc.unique(table["phrase"]).to_pylist()
    }
    cleaned = np.array([distinct[phrase] for phrase in table["phrase"].to_pylist()], dtype=object)
    phrases, codes = np.unique(cleaned, return_inverse=True)
    rows = LabelledRows(
        ids=_column(table, "id"),
        labels=_column(table, label),
        regions=_column(table, "region"),
        occurred_at=table["occurred_at"].cast(pa.timestamp("us")).to_numpy(),
        from_source=pc.equal(table["origin"], "source").to_numpy(),
        phrase_codes=codes,
        phrases=phrases,
    )
    return rows.only(cleaned != "")


def _has_label(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(labels), ""), False)


def _column(table: pa.Table, name: str) -> np.ndarray:
    return np.array(table[name].to_pylist(), dtype=object)


def within_history(rows: LabelledRows, *, days: int) -> LabelledRows:
    """The rows of the last `days` before the newest source row, and what came after it."""
    return rows.only(_newest(rows, days)) if len(rows.ids) else rows


def leave_out_rare(rows: LabelledRows, *, min_rows: int) -> tuple[LabelledRows, dict[str, int]]:
    """Drop the labels with fewer rows than `min_rows`; say how many rows each had."""
    labels, codes, counts = np.unique(rows.labels, return_inverse=True, return_counts=True)
    left_out = {
        str(label): int(count)
        for label, count in zip(labels, counts, strict=True)
        if count < min_rows
    }
    return rows.only(counts[codes] >= min_rows), left_out


def split_rows(rows: LabelledRows, *, test_days: int, seed: int) -> SplitMasks:
    """Of the newest `test_days`, the rows of 30 % of the distinct phrases test; all other rows train."""
    if not len(rows.ids):
        none = np.zeros(0, bool)
        return SplitMasks(none, none, none, none)
    recent = _newest(rows, test_days)
    test = (
        recent
        & chosen_phrases(rows.phrases, share=TEST_SHARE, salt=f"test-{seed}")[rows.phrase_codes]
    )
    return SplitMasks(recent, test, _occurring(rows, ~test), _occurring(rows, ~recent))


def chosen_phrases(phrases: Sequence[str] | np.ndarray, *, share: float, salt: str) -> np.ndarray:
    """bool (n,): a fixed `share` of all phrases there can be, by a salted hash of the phrase alone."""
    limit, salted = round(share * 2**64), hashlib.blake2b(salt.encode(), digest_size=8)
    return np.array([_hash(salted, phrase) < limit for phrase in phrases], bool)


def _hash(salted: Any, phrase: str) -> int:
    digest = salted.copy()
    digest.update(phrase.encode())
    return int.from_bytes(digest.digest(), "big")


def _newest(rows: LabelledRows, days: int) -> np.ndarray:
    """Days count back from the newest source row: a fix of today must not empty the test days of a source that ends last spring."""
    dated = rows.occurred_at[rows.from_source] if rows.from_source.any() else rows.occurred_at
    return rows.occurred_at > dated.max() - np.timedelta64(days, "D")


def _occurring(rows: LabelledRows, among: np.ndarray) -> np.ndarray:
    present = np.zeros(len(rows.phrases), bool)
    present[rows.phrase_codes[among]] = True
    return present[rows.phrase_codes]


def refuse_impossible(rows: LabelledRows, parts: SplitMasks, left_out: Mapping[str, int]) -> None:
    """Raise `TrainingImpossible` when these rows cannot carry a classifier."""
    if not len(rows.ids):
        came = (
            f"{len(left_out)} labels, the most frequent with {max(left_out.values())} rows"
            if left_out
            else "no labelled row in the history"
        )
        raise TrainingImpossible(
            "at least two labels with min_rows_per_label rows",
            came=came,
            do="lower min_rows_per_label, or widen history_days",
        )
    trained = sorted(set(rows.labels[~parts.test]))
    if len(trained) < 2:
        raise TrainingImpossible(
            "at least two labels among the training rows",
            came=f"only {', '.join(trained) or 'none'}",
            do="widen history_days, lower min_rows_per_label, or correct source.label",
        )
    if not parts.test.any():
        raise TrainingImpossible(
            "test rows: 30 % of the phrases of the newest test_days",
            came=f"none of {int(parts.recent.sum())} recent rows",
            do="raise test_days",
        )


def training_table(rows: LabelledRows, *, seed: int) -> pa.Table:
    """Distinct (cleaned, label), sorted, with the number of rows and whether the phrase is in the validation slice."""
    labels, label_codes = np.unique(rows.labels, return_inverse=True)
    pairs, counts = np.unique(
        rows.phrase_codes.astype(np.int64) * len(labels) + label_codes, return_counts=True
    )
    cleaned = rows.phrases[pairs // len(labels)]
    validation = chosen_phrases(cleaned, share=VALIDATION_SHARE, salt=f"validation-{seed}")
    return pa.table(
        {
            "cleaned": pa.array(cleaned, pa.string()),
            "label": pa.array(labels[pairs % len(labels)], pa.string()),
            "rows": pa.array(counts, pa.int64()),
            "validation": pa.array(validation),
        }
    )


def recent_table(rows: LabelledRows, parts: SplitMasks) -> pa.Table:
    """Every row of the newest test_days."""
    mine, recent = rows.only(parts.recent), parts.recent
    return pa.table(
        {
            "id": pa.array(mine.ids, pa.string()),
            "cleaned": pa.array(mine.phrases[mine.phrase_codes], pa.string()),
            "label": pa.array(mine.labels, pa.string()),
            "occurred_at": pa.array(mine.occurred_at, pa.timestamp("us", "UTC")),
            "region": pa.array(mine.regions, pa.string()),
            "part": pa.array(np.where(parts.test[recent], "test", "train"), pa.string()),
            "seen": pa.array(parts.seen[recent]),
            "seen_before": pa.array(parts.seen_before[recent]),
        }
    )


def with_left_out(
    recent: pa.Table, history: LabelledRows, *, left_out: Mapping[str, int]
) -> pa.Table:
    """Add the rows of the same days whose label was left out: part "left out". No head knows them, but live traffic brings them."""
    rows = history.only(
        np.isin(history.labels, list(left_out))
        & (history.occurred_at >= recent["occurred_at"].to_numpy().min())
    )
    none = np.zeros(len(rows.ids), bool)
    added = recent_table(rows, SplitMasks(recent=~none, test=none, seen=none, seen_before=none))
    added = added.set_column(
        added.column_names.index("part"),
        "part",
        pa.array(["left out"] * len(rows.ids), pa.string()),
    )
    return pa.concat_tables([recent, added]).sort_by(
        [("occurred_at", "ascending"), ("id", "ascending")]
    )


def report(
    stored: int, rows: LabelledRows, parts: SplitMasks, left_out: Mapping[str, int]
) -> dict[str, Any]:
    """What became of the rows, in numbers."""
    return {
        "stored_rows": stored,
        "rows": len(rows.ids),
        "train_rows": int((~parts.test).sum()),
        "test_rows": int(parts.test.sum()),
        "unseen_test_rows": int((parts.test & ~parts.seen).sum()),
        "recent_rows": int(parts.recent.sum()),
        "labels": len(set(rows.labels)),
        "left_out": dict(left_out),
        "left_out_rows": sum(left_out.values()),
        "first": str(rows.occurred_at.min()),
        "last": str(rows.occurred_at.max()),
        "test_share": TEST_SHARE,
    }


def left_behind(stored: int, usable: LabelledRows, history: LabelledRows) -> dict[str, int]:
    """Rows that were not even looked at: without a label or a phrase to learn from, or older than the history."""
    return {
        "unusable_rows": stored - len(usable.ids),
        "rows_before_history": len(usable.ids) - len(history.ids),
    }
