"""Everything that may not be harmed: the whole, slices of the traffic, every label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy.stats import binom

from core.params.gate import GateParams
from pipelines.gate.rows import GateRows
from pipelines.gate.scores import TINY, Favoured, encode, f1_differences
from pipelines.gate.sign_flips import flip_signs, harm_p_values

HARM_LEVEL = 0.05
PROOF_PHRASES = 6
"""So many phrases that all speak against the candidate have p = 1/64; below five, no random test
reaches .05.
"""
POWER = 0.9
POOLED = "the rare labels together"

Kind = Literal["overall", "favoured", "slice", "recall", "precision"]


@dataclass(frozen=True)
class Hypothesis:
    """One claim of the gate: this part is not harmed. `differences` (phrases,) sum to `gain`;
    `allowed` is the fall that is tolerated.
    """

    kind: Kind
    name: str
    differences: np.ndarray
    allowed: float

    @property
    def gain(self) -> float:
        return float(self.differences.sum())


@dataclass(frozen=True)
class Finding:
    """A hypothesis with its p-value for harm, alone and adjusted for all hypotheses."""

    kind: Kind
    name: str
    gain: float
    allowed: float
    p_value: float
    adjusted: float

    @property
    def harm_is_proved(self) -> bool:
        return self.adjusted <= HARM_LEVEL and -self.gain > self.allowed


@dataclass(frozen=True)
class Comparison:
    """Coded test rows of candidate and champion; `phrases` counts clusters."""

    truth: np.ndarray
    candidate: np.ndarray
    champion: np.ndarray
    weights: np.ndarray
    clusters: np.ndarray
    phrases: int
    labels: np.ndarray

    def by_phrase(self, values: np.ndarray) -> np.ndarray:
        """float (phrases,): the sum of row values within each phrase."""
        return np.bincount(self.clusters, values, self.phrases)

    @property
    def shares(self) -> np.ndarray:
        """float (phrases,): each phrase's share of the weight."""
        return np.asarray(self.by_phrase(self.weights) / self.weights.sum())


def compare_answers(rows: GateRows, other: np.ndarray) -> Comparison:
    """The candidate beside another version's answers on the same rows. Needs at least one row."""
    labels = np.unique(np.concatenate([rows.truth, rows.candidate, other]))
    truth, candidate, champion = encode(rows.truth, rows.candidate, other)
    distinct, clusters = np.unique(rows.phrases, return_inverse=True)
    return Comparison(truth, candidate, champion, rows.weights, clusters, len(distinct), labels)


def overall_differences(answers: Comparison, favour: Favoured = "weighted") -> np.ndarray:
    """float (phrases,): what each phrase adds to the gain in weighted, macro or tail F1."""
    return answers.by_phrase(
        f1_differences(answers.truth, answers.candidate, answers.champion, answers.weights, favour)
    )


def accuracy_differences(answers: Comparison, chosen: np.ndarray) -> np.ndarray:
    """float (phrases,): what each phrase adds to the gain in accuracy on the chosen rows."""
    weights = answers.weights * chosen
    right = (answers.candidate == answers.truth).astype(float) - (answers.champion == answers.truth)
    return answers.by_phrase(weights * right) / max(float(weights.sum()), TINY)


def hypotheses(
    rows: GateRows, answers: Comparison, policy: GateParams, favour: Favoured = "weighted"
) -> list[Hypothesis]:
    """All claims about these rows; what the classifier favours beside the traffic is one."""
    whole = overall_differences(answers)
    claims = [Hypothesis("overall", "all test rows", whole, policy.max_weighted_f1_drop)]
    if favour != "weighted":
        favoured = overall_differences(answers, favour)
        claims.append(Hypothesis("favoured", favour, favoured, policy.max_weighted_f1_drop))
    claims += [
        Hypothesis("slice", name, accuracy_differences(answers, mask), policy.max_weighted_f1_drop)
        for name, mask in sorted(rows.slices.items())
        if mask.any() and not mask.all()
    ]
    return [*claims, *label_hypotheses(answers, allowed=policy.max_label_recall_drop)]


def label_hypotheses(answers: Comparison, *, allowed: float) -> Iterator[Hypothesis]:
    """Recall and precision of every label, and the recall of the labels that too few phrases
    could speak for.
    """
    changed = answers.candidate != answers.champion
    touched = np.unique(
        np.concatenate([
            answers.truth[changed], answers.candidate[changed], answers.champion[changed]
        ])
    )  # fmt: skip
    for code in touched:
        name = str(answers.labels[code])
        yield Hypothesis("recall", name, _recall_differences(answers, code), allowed)
        yield Hypothesis("precision", name, _precision_differences(answers, code), allowed)
    rare = phrases_of_labels(answers) < PROOF_PHRASES
    pooled = accuracy_differences(answers, rare[answers.truth])
    yield Hypothesis("recall", POOLED, pooled, allowed)


def _recall_differences(answers: Comparison, code: int) -> np.ndarray:
    return accuracy_differences(answers, answers.truth == code)


def _precision_differences(answers: Comparison, code: int) -> np.ndarray:
    """Hits beyond what the mean precision of both would give, per answer with the label."""
    right = answers.truth == code
    ours = answers.weights * (answers.candidate == code)
    theirs = answers.weights * (answers.champion == code)
    predicted = max(float(ours.sum() + theirs.sum()) / 2, TINY)
    precision = float((right * (ours + theirs)).sum()) / (2 * predicted)
    return answers.by_phrase((ours - theirs) * (right - precision)) / predicted


def phrases_of_labels(answers: Comparison) -> np.ndarray:
    """int (labels,): how many test phrases have each label."""
    pairs = np.unique(answers.truth.astype(np.int64) * answers.phrases + answers.clusters)
    return np.bincount(pairs // answers.phrases, minlength=len(answers.labels))


def find_harm(claims: list[Hypothesis], *, seed: int) -> list[Finding]:
    """Test all claims at once; with equal versions, some harm is called in at most 5 % of
    candidates (see `harm_p_values`).

    Claims that too few discordant phrases touch to be proved at all are not tested (Tarone 1990).
    Which they are does not depend on the signs, so the level holds.
    """
    table = np.stack([claim.differences for claim in claims], axis=1)
    provable = (table != 0).sum(axis=0) >= np.log2(1 / HARM_LEVEL)
    tested = table[:, provable]
    tested = tested[(tested != 0).any(axis=1)]
    p_values = np.ones((2, len(claims)))
    p_values[:, provable] = harm_p_values(tested, flip_signs(len(tested), seed=seed))
    return [
        Finding(claim.kind, claim.name, claim.gain, claim.allowed, float(alone), float(adjusted))
        for claim, (alone, adjusted) in zip(claims, p_values.T, strict=True)
    ]


@cache
def visible_fall(phrases: int) -> float | None:
    """The smallest fall in steps of a tenth that would be proved 9 times in 10 on a label with so
    many test phrases; None: no fall.

    A fall of x makes each phrase wrong with probability x, and `PROOF_PHRASES` of them prove it.
    """
    for fall in np.arange(1, 11) / 10:
        if binom.sf(PROOF_PHRASES - 1, phrases, fall) >= POWER:
            return float(fall)
    return None
