"""Which phrases a new revision answers otherwise, and why: pure."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipelines.model.memory import Memory, changed_hashes, phrase_hash

MAX_CHANGES = 50


def changed_phrases(before: Memory, after: Memory, labels: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the phrases whose answer differs, at most MAX_CHANGES, newly labelled ones first.

    Each has `cleaned`, `before`, `after`, `labels` (how many came now; 0 where those of other
    phrases turned it) and `share`, the weight of the new label beside the head's.

    Parameters
    ----------
    labels : cleaned, head_label and is_new, of one phrase in order of receipt. The head's label, of
        the last row, answers where a memory leaves it the largest part; "" where it is unknown
    """
    if before.enabled != after.enabled:
        labels = labels[labels["is_new"].astype(bool)]
    differing = changed_hashes(before, after)
    concerned = [phrase for phrase in set(labels["cleaned"]) if phrase_hash(phrase) in differing]
    changes = []
    for cleaned, rows in labels[labels["cleaned"].isin(concerned)].groupby("cleaned", sort=True):
        head = str(rows["head_label"].iloc[-1])
        old, _ = _answer(before, str(cleaned), head)
        new, share = _answer(after, str(cleaned), head)
        if old != new and old and new:
            changes.append(
                {
                    "cleaned": str(cleaned),
                    "before": old,
                    "after": new,
                    "labels": int(rows["is_new"].sum()),
                    "share": round(share, 3),
                }
            )
    return sorted(changes, key=lambda change: not change["labels"])[:MAX_CHANGES]


def _answer(memory: Memory, cleaned: str, head: str) -> tuple[str, float]:
    """Return label and share; the label is "" where only the head can tell it."""
    place = memory.place(cleaned) if memory.enabled else None
    if place is None:
        return head, 1.0
    head_share, weights = memory.evidence(place)
    if head:
        weights[head] = weights.get(head, 0.0) + head_share
    # A head is never quite certain: of equal weights, the phrase's own label answers.
    best = max(weights, key=lambda label: (round(weights[label], 6), label != head))
    return best, weights[best]
