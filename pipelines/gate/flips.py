"""Which answers of clients would change: served against served, on recent phrases by frequency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.contracts import Verdict
from core.params.gate import GateParams

SHOWN = 10


@dataclass(frozen=True)
class Flips:
    """`share` of the recent answers that would change, and the most frequent changes: (before,
    after, share of the answers).
    """

    share: float
    most_frequent: tuple[tuple[str, str, float], ...]


def count_flips(
    before: Sequence[str] | np.ndarray, after: Sequence[str] | np.ndarray, counts: np.ndarray
) -> Flips:
    """Compare both versions' answers to distinct phrases; `counts` says how often each came
    lately.
    """
    total = float(np.sum(counts))
    if not total:
        return Flips(0.0, ())
    changes: Counter[tuple[str, str]] = Counter()
    for old, new, count in zip(before, after, counts, strict=True):
        if old != new:
            changes[str(old), str(new)] += float(count)  # type: ignore[assignment]
    ordered = sorted(changes.items(), key=lambda change: (-change[1], change[0]))
    shown = tuple((old, new, count / total) for (old, new), count in ordered[:SHOWN])
    return Flips(sum(changes.values()) / total, shown)


def hold_large_changes(verdict: Verdict, flips: Flips, policy: GateParams) -> Verdict:
    """Add the flips to the evidence; a promotion that changes more than `max_flips` waits for a
    person: Verdict "hold".
    """
    shown = [f"{old} -> {new}: {100 * share:.2f} %" for old, new, share in flips.most_frequent]
    evidence = {**verdict.evidence, "flips_share": round(flips.share, 5), "flips": shown}
    if verdict.kind != "promote" or flips.share <= policy.max_flips:
        return Verdict(verdict.kind, verdict.reasons, evidence)
    reason = (
        f"{100 * flips.share:.1f} % of the recent answers would change "
        f"(max_flips {100 * policy.max_flips:.1f} %): "
        "a person promotes or leaves it"
    )
    return Verdict("hold", (reason, *verdict.reasons), evidence)
