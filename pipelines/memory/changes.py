"""Which phrases a new revision answers otherwise, and why: pure."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipelines.model.memory import Memory, changed_hashes, phrase_hash

MAX_CHANGES = 50


def changed_phrases(before: Memory, after: Memory, received: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the phrases among `received` whose answer differs, at most MAX_CHANGES.

    Each has `cleaned`, `before`, `after`, `labels` (how many came now; 0 where those of other
    phrases turned it) and `share`, the weight of the new label beside the head's. `received` has
    cleaned, head_label and is_new; the head's label answers where a memory leaves it the largest
    part.
    """
    differing = changed_hashes(before, after)
    hashes = received["cleaned"].map(phrase_hash)
    changes = []
    for cleaned, rows in received[hashes.isin(differing)].groupby("cleaned", sort=True):
        head = str(rows["head_label"].iloc[-1])
        old, _ = _answer(before, str(cleaned), head)
        new, share = _answer(after, str(cleaned), head)
        if old != new:
            changes.append(
                {
                    "cleaned": str(cleaned),
                    "before": old,
                    "after": new,
                    "labels": int(rows["is_new"].sum()),
                    "share": round(share, 3),
                }
            )
    return changes[:MAX_CHANGES]


def _answer(memory: Memory, cleaned: str, head: str) -> tuple[str, float]:
    place = memory.place(cleaned) if memory.enabled else None
    if place is None:
        return head, 1.0
    head_share, weights = memory.evidence(place)
    weights[head] = weights.get(head, 0.0) + head_share
    # A head is never quite certain: of equal weights, the phrase's own label answers.
    best = max(weights, key=lambda label: (round(weights[label], 6), label != head))
    return best, weights[best]
