"""What was found about the labels of a snapshot, as values that a file can hold: pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipelines.labels.merging import Merge
from pipelines.labels.out_of_fold import OutOfFold, Phrases
from pipelines.labels.splitting import Split
from pipelines.labels.wrong import Judged, suspicious
from pipelines.model.arrays import Int64
from pipelines.model.training import TrainingRows
from pipelines.not_measured import NotMeasured

MOST = 500
"""Suspects that are listed. People look at some 40 a week."""
NEIGHBOURS = 3
ROWS_LISTED = 20
"""Rows of one suspect that a decision replaces. Nearly all suspects have one row."""

Rows = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
"""(cleaned, label) -> its rows of the source, as id, phrase, occurred_at and region."""


def ranked_suspects(
    judged: Judged, *, confirmed: Collection[tuple[str, str]], rows: TrainingRows, weeks: float
) -> tuple[Int64, int]:
    """Return the listed suspects, those that matter most first, and how many there are.

    What matters is how many answers a week the label spoils: all of the phrase where heads learn
    the label, else its own share. Pairs that people have `confirmed` are not suspects.
    """
    suspects = suspicious(judged)
    pairs = zip(
        rows.cleaned[judged.places[suspects]], rows.labels[judged.places[suspects]], strict=True
    )
    is_confirmed = np.array([pair in confirmed for pair in pairs], bool)
    suspects = suspects[~is_confirmed]
    value = spoilt_a_week(judged, suspects, rows=rows, weeks=weeks)
    order = np.lexsort((np.arange(len(suspects)), -value))
    return suspects[order[:MOST]], len(suspects)


def spoilt_a_week(
    judged: Judged, suspects: Int64, *, rows: TrainingRows, weeks: float
) -> np.ndarray:
    """Return how many rows a week are likely spoilt by each suspect: float64 (s,)."""
    weights = rows.with_test().weights
    _, phrase_of_pair = np.unique(rows.cleaned, return_inverse=True)
    of_phrase = np.bincount(phrase_of_pair, weights=weights)[phrase_of_pair]
    own = weights[judged.places[suspects]]
    phrase = of_phrase[judged.places[suspects]]
    spoilt = np.where(judged.teaches[suspects], phrase, own * own / phrase)
    value: np.ndarray = spoilt * judged.proposed_share[suspects] / weeks
    return value


def list_suspects(
    judged: Judged,
    suspects: Int64,
    *,
    rows: TrainingRows,
    phrases: Phrases,
    source_rows: Rows,
    weeks: float,
) -> list[dict[str, Any]]:
    """Return each suspect with both labels, its rows and the reasons."""
    value = spoilt_a_week(judged, suspects, rows=rows, weeks=weeks)
    neighbours = _neighbours(phrases, judged.phrases[suspects])
    others = _labels_of(rows, {str(text) for text in rows.cleaned[judged.places[suspects]]})
    listed = []
    for place, (pair, near) in enumerate(zip(suspects.tolist(), neighbours, strict=True)):
        cleaned = str(phrases.cleaned[judged.phrases[pair]])
        given = str(phrases.labels[judged.given[pair]])
        listed.append(
            {
                "cleaned": cleaned,
                "given": given,
                "proposed": str(phrases.labels[judged.proposed[pair]]),
                "given_share": round(float(judged.given_share[pair]), 6),
                "proposed_share": round(float(judged.proposed_share[pair]), 6),
                "teaches": bool(judged.teaches[pair]),
                "spoilt_a_week": round(float(value[place]), 6),
                "labels": others[cleaned],
                "neighbours": near,
                "rows": [dict(row) for row in source_rows.get((cleaned, given), [])[:ROWS_LISTED]],
            }
        )
    return listed


def missing_reports(why: NotMeasured) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return both reports of labels that could not be judged."""
    reason = {"not_measured": why.reason}
    suspects = {"judged": 0, "found": 0, "listed": 0, "suspects": []}
    labels: dict[str, Any] = {
        "phrases": 0,
        "labels": 0,
        "accuracy": None,
        "merges": [],
        "splits": [],
    }
    return {**suspects, **reason}, {**labels, **reason}


def describe_labels(
    phrases: Phrases, answers: OutOfFold, merges: Sequence[Merge], splits: Sequence[Split]
) -> dict[str, Any]:
    """Return merges and splits, with how good the out-of-fold answers are."""
    right = answers.probabilities.argmax(axis=1) == phrases.codes
    return {
        "phrases": len(phrases.codes),
        "labels": len(phrases.labels),
        "accuracy": round(float(right.mean()), 4),
        "merges": [{**asdict(merge), "pays": merge.pays} for merge in merges],
        "splits": [asdict(split) for split in splits],
    }


def _labels_of(rows: TrainingRows, wanted: Collection[str]) -> dict[str, dict[str, int]]:
    """Return phrase -> label -> rows, of the phrases that are `wanted`."""
    everything = rows.with_test()
    labels: dict[str, dict[str, int]] = {}
    for place in np.flatnonzero(np.isin(everything.cleaned, list(wanted))):
        of_phrase = labels.setdefault(str(everything.cleaned[place]), {})
        of_phrase[str(everything.labels[place])] = int(everything.weights[place])
    return labels


def _neighbours(phrases: Phrases, places: Int64) -> list[list[dict[str, Any]]]:
    """Return the nearest other phrases of each place, with their labels."""
    return [_nearest(phrases, place) for place in places.tolist()]


def _nearest(phrases: Phrases, place: int) -> list[dict[str, Any]]:
    """Return those of one phrase: a matrix of all would take gigabytes for a million phrases."""
    similarity = phrases.vectors @ phrases.vectors[place]
    similarity[place] = -2
    count = min(NEIGHBOURS, len(phrases.cleaned) - 1)
    return [
        {
            "cleaned": str(phrases.cleaned[other]),
            "label": str(phrases.labels[phrases.codes[other]]),
            "similarity": round(float(similarity[other]), 4),
        }
        for other in np.argsort(-similarity, kind="stable")[:count].tolist()
    ]
