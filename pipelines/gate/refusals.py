"""How many recent answers two versions would refuse, and when the difference needs a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from core.contracts import Verdict
from core.params.gate import GateParams
from pipelines.model.arrays import Bool

LEVEL = 0.05
"""Chance with which equal rules, differing on single phrases alone, would hold a candidate."""


@dataclass(frozen=True)
class Refusals:
    """Shares of the recent `answers` that are refused, `before` and `after`.

    `chance`: how likely equal rules differ on as many phrases in one direction.
    """

    answers: int
    before: float
    after: float
    chance: float


def count_refusals(before: Bool, after: Bool, counts: np.ndarray) -> Refusals:
    """Compare which distinct phrases both versions refuse; `counts` says how often each came."""
    total = float(counts.sum())
    only_before = int((before & ~after).sum())
    changed = int((before != after).sum())
    return Refusals(
        answers=int(total),
        before=float(counts[before].sum() / total),
        after=float(counts[after].sum() / total),
        chance=float(binomtest(only_before, changed).pvalue) if changed else 1.0,
    )


def hold_moved_refusals(verdict: Verdict, refusals: Refusals | None, policy: GateParams) -> Verdict:
    """Add the shares to the evidence; a promotion that moves them too far waits for a person.

    None: neither version refuses anything, or too few answers are recent.
    """
    if refusals is None:
        return verdict
    evidence = {
        **verdict.evidence,
        "abstained_share": round(refusals.after, 5),
        "champion_abstained_share": round(refusals.before, 5),
        "abstained_answers": refusals.answers,
    }
    moved = abs(refusals.after - refusals.before)
    sentence = (
        f"it would refuse {100 * refusals.after:.1f} % of the recent answers, "
        f"the champion {100 * refusals.before:.1f} %"
    )
    too_far = moved > policy.max_abstained_change and refusals.chance <= LEVEL
    if verdict.kind != "promote" or not too_far:
        return Verdict(verdict.kind, (*verdict.reasons, sentence), evidence)
    limit = f"max_abstained_change {100 * policy.max_abstained_change:.1f} %"
    reason = f"{sentence} ({limit}): a person promotes or leaves it"
    return Verdict("hold", (reason, *verdict.reasons), evidence)
