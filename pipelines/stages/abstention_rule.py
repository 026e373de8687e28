"""Chooses the threshold below which a head refuses: pure, from phrases that it never saw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipelines.model.abstention import Abstention, fit_score
from pipelines.model.arrays import Bool, Float32, Float64
from pipelines.stages.intervals import lower_bound

EVERYTHING = float(np.finfo(np.float64).max)
"""The threshold that no score reaches."""

Policy = Mapping[str, float | None]
"""The `abstain` block of a classifier; empty for one that always answers."""


@dataclass(frozen=True)
class Unseen:
    """The distinct test phrases that were never trained on, (n,) each.

    `right`: the best label is that of most of the phrase's rows.
    """

    confidence: Float32
    novelty: Float32
    right: Bool


@dataclass(frozen=True)
class Choice:
    """The rule, None where it would refuse nothing, and what the phrases can prove.

    `provable` is the greatest precision that the surest phrases show with 95 %.
    """

    rule: Abstention | None
    provable: float


NOTHING = Choice(None, 0.0)


def choose_rule(unseen: Unseen, policy: Policy) -> Choice:
    """Return the rule that keeps the policy on new phrases.

    The limits are about phrases that nobody labelled, so phrases that the judged head never saw set
    the threshold.
    """
    if not len(unseen.right):
        return NOTHING
    score = fit_score(unseen.confidence, unseen.novelty)
    scores = score.scores(unseen.confidence, unseen.novelty)
    ranked = proved_scores(scores, unseen.right)
    share = policy["max_false"]
    least = policy["min_precision"]
    threshold = refusing_at_most(scores, share) if share else right_at_least(ranked, least or 1.0)
    chosen = replace(score, threshold=threshold)
    return Choice(chosen if threshold > -math.inf else None, round(max(ranked.values()), 5))


def refusing_at_most(scores: Float64, share: float) -> float:
    """Return the threshold below which a new phrase of the same kind falls with at most `share`.

    The k-th smallest of n scores, k = floor(share * (n + 1)): split conformal prediction. -inf when
    there are too few phrases for the share.
    """
    place = math.floor(share * (len(scores) + 1))
    return float(np.sort(scores)[place - 1]) if place else -math.inf


def right_at_least(proved: Mapping[float, float], share: float) -> float:
    """Return the lowest threshold that is proved for `share`, EVERYTHING without one."""
    return min((score for score, bound in proved.items() if bound >= share), default=EVERYTHING)


def proved_scores(scores: Float64, right: Bool) -> dict[float, float]:
    """Return score -> bound of the share that is right among phrases of at least that score.

    The bound is the one-sided one of Clopper and Pearson, with 95 %.
    """
    order = np.argsort(-scores, kind="stable")
    bounds = lower_bound(np.cumsum(right[order]), np.arange(1, len(order) + 1))
    # Of equal scores the last one stays, which counts all of them.
    return dict(zip(scores[order].tolist(), bounds.tolist(), strict=True))
