"""The scores that refuse foreign phrases, ours and its peers, and what each finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.abstain_phrases import Phrases, PhraseSplit

if TYPE_CHECKING:
    from pipelines.model.head_file import Head

MAX_FALSE = 0.04
MIN_PRECISION = 0.97
OURS = "together"
CONFIDENCE = "confidence (maximum softmax)"
NOVELTY = "novelty"


def contend(head: Head, parts: PhraseSplit, foreign: Phrases) -> dict[str, dict[str, float]]:
    """Return score -> its figures: for every contender, high for phrases that a label fits."""
    known = np.array(head.labels)
    right = {
        name: known[head.probabilities(list(part.cleaned), part.vectors).argmax(axis=1)]
        == part.labels
        for name, part in (("unseen", parts.unseen), ("fresh", parts.fresh))
    }
    return {
        name: judge(score(parts.unseen), score(parts.fresh), score(foreign), right)
        for name, score in contenders(head, parts).items()
    }


Score = Callable[[Phrases], np.ndarray]


def contenders(head: Head, parts: PhraseSplit) -> dict[str, Score]:
    """Return the scores that compete; only the peers look at training phrases."""
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor

    from pipelines.model.abstention import fit_score, log_odds
    from pipelines.model.novelty import novelty

    def confidence(phrases: Phrases) -> np.ndarray:
        shares = head.probabilities(list(phrases.cleaned), phrases.vectors)
        return np.asarray(shares.max(axis=1))

    def far(phrases: Phrases) -> np.ndarray:
        return novelty(head, phrases.vectors)

    def odds(shares: np.ndarray) -> np.ndarray:
        return np.array([log_odds(share) for share in shares.tolist()])

    sure = odds(confidence(parts.unseen))
    usual = far(parts.unseen)
    rule = fit_score(confidence(parts.unseen), usual)
    local = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(parts.train.vectors)
    forest = IsolationForest(random_state=0).fit(parts.train.vectors)
    return {
        OURS: lambda phrases: rule.scores(confidence(phrases), far(phrases)),
        CONFIDENCE: lambda phrases: odds(confidence(phrases)),
        NOVELTY: lambda phrases: -far(phrases),
        "sum of both, standardised": lambda phrases: (
            odds(confidence(phrases)) / sure.std() - far(phrases) / usual.std()
        ),
        "LocalOutlierFactor": lambda phrases: local.score_samples(phrases.vectors),
        "IsolationForest": lambda phrases: forest.score_samples(phrases.vectors),
    }


def judge(
    unseen: np.ndarray, fresh: np.ndarray, foreign: np.ndarray, right: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return the figures of one score under both policies.

    With `max_false`: the share of fresh phrases refused, of foreign ones found, and F1 of these.
    With `min_precision`: the share of fresh phrases answered, and how many of them are right.
    """
    from sklearn.metrics import roc_auc_score

    from pipelines.stages.abstention_rule import proved_scores, refusing_at_most, right_at_least

    unseen, fresh, foreign = (np.asarray(scores, float) for scores in (unseen, fresh, foreign))
    truth = np.append(np.ones(len(fresh)), np.zeros(len(foreign)))
    limit = refusing_at_most(unseen, MAX_FALSE)
    refused_foreign = (foreign < limit).sum()
    refused = (fresh < limit).sum()
    least = right_at_least(proved_scores(unseen, right["unseen"]), MIN_PRECISION)
    answered = fresh >= least
    return {
        "AUC": float(roc_auc_score(truth, np.append(fresh, foreign))),
        "refused": float(refused / len(fresh)),
        "found": float(refused_foreign / len(foreign)),
        "F1": float(2 * refused_foreign / (refused_foreign + refused + len(foreign))),
        "answered": float(answered.mean()),
        "precision": float(right["fresh"][answered].mean()) if answered.any() else 1.0,
    }
