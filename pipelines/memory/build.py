"""From the labels that people and the source gave to a memory: pure, one moment `as_of`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.errors import TrainingImpossible
from pipelines.memory.evidence import WEIGHING, repeat_deciding, weigh_labels
from pipelines.memory.relabelled import NOBODY, find_changes, shared_changes
from pipelines.model.arrays import MAX_LABELS, Bool, Int64
from pipelines.model.memory import Memory, phrase_hash

LABEL_COLUMNS = ("cleaned", "label", "received_at", "author", "kind")
"""One row per label. `author` and `kind` are "" for rows of the source: these count one by one."""
CORRECTION = "correction"
DECIDING = (CORRECTION, "double_review")
"""Kinds of labels by people who saw the answer; one of them decides over a short past."""


def build_memory(
    labels: pd.DataFrame, *, classifier: str, revision: int, as_of: pd.Timestamp
) -> Memory:
    """Weigh every phrase's labels up to `as_of`.

    Parameters
    ----------
    labels : LABEL_COLUMNS; `received_at` is when the label was received (of a source row: when it
        occurred). Later ones than `as_of` wait. Of equal moments the order of the rows decides.
    """
    counted = count_acts(labels[labels["received_at"] <= as_of])
    names, codes = _distinct(counted["label"])
    phrases, phrase_of = _distinct(counted["cleaned"])
    order = np.argsort(phrase_of, kind="stable")
    bounds = np.searchsorted(phrase_of[order], np.arange(len(phrases) + 1))

    codes = codes[order]
    acts = acts_of_deciding(counted)[order]
    deciding = acts != NOBODY
    received = moments(counted)[order]
    relabelled = _relabelled(phrase_of[order], codes, received, acts, labels=len(names))

    rows = [
        _weigh(codes[start:end], deciding[start:end], relabelled[start:end])
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]

    if len(names) > MAX_LABELS:
        raise TrainingImpossible(
            f"at most {MAX_LABELS:,} labels in the memory of {classifier}",
            came=f"{len(names):,}",
            do="choose a coarser column as source.label",
        )
    return pack_memory(
        phrases.tolist(), rows, names=names.tolist(), classifier=classifier, revision=revision
    )


def count_acts(labels: pd.DataFrame) -> pd.DataFrame:
    """Order by receipt; one act of one author on a phrase counts once a day, its last label.

    A fix of many answers at once is one act, and a script that repeats itself does not count as
    several people.
    """
    ordered = labels.sort_values("received_at", kind="stable", ignore_index=True)
    day = pd.to_datetime(ordered["received_at"], utc=True).dt.floor("D")
    people = ordered["author"] != ""
    repeated = ordered.assign(day=day).duplicated(["cleaned", "author", "day"], keep="last")
    return ordered[~(people & repeated)].reset_index(drop=True)


def _relabelled(
    phrase_of: Int64, codes: Int64, received: Int64, acts: Int64, *, labels: int
) -> Bool:
    """Mark the labels that are part of a relabelling: bool (n,)."""
    marks = np.zeros(len(codes), bool)
    places, changes = find_changes(phrase_of, codes, received, acts)
    if len(places):
        shares = np.bincount(codes, minlength=labels) / len(codes)
        decided_at = np.sort(received[acts != NOBODY])
        marks[places] = shared_changes(changes, decided_at=decided_at, shares=shares)
    return marks


def acts_of_deciding(labels: pd.DataFrame) -> Int64:
    """Number the acts, of one author on one day, of people who saw the answer; others: NOBODY."""
    deciding = labels["kind"].isin(DECIDING).to_numpy()
    given = labels[deciding]
    day = pd.to_datetime(given["received_at"], utc=True).dt.floor("D")
    acts = np.full(len(labels), NOBODY)
    acts[deciding] = given.groupby(["author", day]).ngroup()
    return acts


def moments(labels: pd.DataFrame) -> Int64:
    """Return when each label was received, (n,), in microseconds since the epoch."""
    received = pd.to_datetime(labels["received_at"], utc=True).dt.tz_localize(None)
    at: Int64 = received.to_numpy().astype("datetime64[us]").astype(np.int64)
    return at


_Row = tuple[float, "np.ndarray[tuple[int], np.dtype[np.int64]]", np.ndarray]


def _distinct(texts: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct texts in order, and the place of each among them.

    numpy's own strings would each take the room of the longest.
    """
    codes, distinct = pd.factorize(texts.to_numpy(dtype=object), sort=True)
    return distinct, codes


def _weigh(codes: np.ndarray, deciding: np.ndarray, relabelled: np.ndarray) -> _Row:
    own, numbers = np.unique(codes, return_inverse=True)
    counted = repeat_deciding(numbers.tolist(), deciding.tolist(), relabelled.tolist())
    evidence = weigh_labels(counted, labels=len(own))
    return evidence.head_share, own, evidence.weights


def pack_memory(
    phrases: Sequence[str],
    rows: Sequence[_Row],
    *,
    names: Sequence[str],
    classifier: str,
    revision: int,
) -> Memory:
    """Return the memory of phrases: of each row the head's share, codes into `names`, weights."""
    hashes = np.array([phrase_hash(phrase) for phrase in phrases], np.uint64)
    order = np.argsort(hashes, kind="stable")
    ordered = [rows[place] for place in order.tolist()]
    sizes = [len(own) for _, own, _ in ordered]
    return Memory(
        classifier=classifier,
        revision=revision,
        labels=tuple(names),
        hashes=hashes[order],
        head_shares=np.array([share for share, _, _ in ordered], np.float32),
        starts=np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64),
        codes=_joined([own for _, own, _ in ordered], np.uint16),
        weights=_joined([weights for _, _, weights in ordered], np.float32),
        weighing=WEIGHING,
    )


def _joined(parts: Sequence[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.empty(0, kind), *parts]).astype(kind)
