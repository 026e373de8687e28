"""Which labels are confused, which do harm by their traffic, and every label in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.errors.rows import AnsweredRows
from pipelines.model.arrays import Int64, Strings

MOST_PAIRS = 50
EXAMPLES = 3
LABEL_EXAMPLES = 2
LONGEST_EXAMPLE = 160
"""Characters of a phrase that are shown."""

Report = dict[str, Any]


def confused_pairs(rows: AnsweredRows) -> list[Report]:
    """Return the pairs with the most mistakes, most rows first; each with examples.

    `share` is the pair's share of all mistakes, `of_label` its share of the label's test rows.
    """
    wrong = np.flatnonzero(rows.wrong)
    pairs: dict[tuple[str, str], list[int]] = {}
    for row in wrong.tolist():
        pairs.setdefault((rows.truth[row], rows.predicted[row]), []).append(row)
    support = dict(zip(*np.unique(rows.truth.astype(str), return_counts=True), strict=True))
    ranked = sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:MOST_PAIRS]
    return [
        {
            "label": label,
            "predicted": predicted,
            "rows": len(members),
            "phrases": len(np.unique(rows.codes[members])),
            "share": round(len(members) / len(wrong), 6),
            "of_label": round(len(members) / int(support[label]), 6),
            "examples": examples(rows, np.array(members), most=EXAMPLES),
        }
        for (label, predicted), members in ranked
    ]


def examples(rows: AnsweredRows, members: Int64, *, most: int) -> list[Report]:
    """Return the most frequent distinct (phrase, right label, answer) of mistaken rows."""
    seen: dict[tuple[int, str, str], list[int]] = {}
    for row in members.tolist():
        seen.setdefault((int(rows.codes[row]), rows.truth[row], rows.predicted[row]), []).append(
            row
        )
    ranked = sorted(seen.items(), key=lambda item: (-len(item[1]), rows.phrases[item[0][0]]))
    return [
        {
            "phrase": shortened(rows.phrases[code]),
            "label": label,
            "predicted": predicted,
            "rows": len(places),
            "probability": round(float(rows.probability[places[0]]), 4),
        }
        for (code, label, predicted), places in ranked[:most]
    ]


def shortened(phrase: str) -> str:
    """Return at most LONGEST_EXAMPLE characters."""
    return phrase if len(phrase) <= LONGEST_EXAMPLE else phrase[: LONGEST_EXAMPLE - 1] + "…"


def score_rows(truth: Strings, predicted: Strings) -> dict[str, Report]:
    """Return label -> precision, recall and support, for every label of either side.

    A score is None where no row speaks of it: the recall of a label without a test row, the
    precision of one that is never answered.
    """
    labels, codes = np.unique(np.concatenate([truth, predicted]).astype(str), return_inverse=True)
    of_truth = codes[: len(truth)]
    of_answer = codes[len(truth) :]
    count = len(labels)
    hits = np.bincount(of_truth[of_truth == of_answer], minlength=count)
    support = np.bincount(of_truth, minlength=count)
    answered = np.bincount(of_answer, minlength=count)
    return {
        str(label): {
            "precision": _ratio(hits[code], answered[code]),
            "recall": _ratio(hits[code], support[code]),
            "f1": _ratio(2 * hits[code], support[code] + answered[code]),
            "support": int(support[code]),
        }
        for code, label in enumerate(labels)
    }


def _ratio(part: int, whole: int) -> float | None:
    return round(float(part / whole), 6) if whole else None


def label_table(
    rows: AnsweredRows, *, trained: Mapping[str, int], traffic: Mapping[str, int]
) -> list[Report]:
    """Return every label, sorted: scores, rows, examples of its mistakes.

    `trained` counts the training rows of each label, `traffic` its recent rows, of the test part or
    not. `lost` is how many of a thousand answers are wrong because of the label: its share of the
    traffic times the share of its test rows that are answered otherwise.
    """
    scores = score_rows(rows.truth, rows.predicted)
    members = _mistakes_of(rows)
    total = max(sum(traffic.values()), 1)
    names = sorted({*scores, *trained})
    return [
        _label_row(
            rows,
            scores.get(name, {"precision": None, "recall": None, "f1": None, "support": 0}),
            name=name,
            trained=trained.get(name, 0),
            share=traffic.get(name, 0) / total,
            mistakes=members.get(name, []),
        )
        for name in names
    ]


def _mistakes_of(rows: AnsweredRows) -> dict[str, list[int]]:
    members: dict[str, list[int]] = {}
    for row in np.flatnonzero(rows.wrong).tolist():
        members.setdefault(rows.truth[row], []).append(row)
    return members


def _label_row(
    rows: AnsweredRows,
    scores: Report,
    *,
    name: str,
    trained: int,
    share: float,
    mistakes: list[int],
) -> Report:
    recall = scores["recall"]
    lost = None if recall is None else round(1000 * share * (1 - recall), 4)
    shown = examples(rows, np.array(mistakes, np.int64), most=LABEL_EXAMPLES)
    return {
        "label": name,
        **scores,
        "trained": trained,
        "traffic": round(share, 6),
        "lost": lost,
        "examples": shown,
    }


def worst_by_traffic(labels: list[Report], *, most: int) -> list[Report]:
    """Return the labels that cost the most wrong answers, without those that cost none."""
    costly = [row for row in labels if row["lost"]]
    return sorted(costly, key=lambda row: (-row["lost"], row["label"]))[:most]
