"""Candidate against champion on the same rows: pure, from labels to a Verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from core.contracts import Verdict
from core.params import GateParams

ROUNDS = 1000
ROUNDS_AT_ONCE = 50
"""Of 30,000 phrases all rounds at once were 240 MB, and as much again for each product; any number gives the same gains."""
CONFIDENCE = 0.95
MIN_ROWS_FOR_RECALL = 100


@dataclass(frozen=True)
class ScoredRows:
    """The test rows as several versions answered them. All sequences have one entry a row.

    `phrases` are the clusters of the bootstrap; `champion` is None before the first promotion; `floor` is the majority label's answer.
    """

    truth: Sequence[str]
    phrases: Sequence[str]
    candidate: Sequence[str]
    champion: Sequence[str] | None
    floor: str


@dataclass(frozen=True)
class _Counts:
    """Sparse per-cluster counts, shape (clusters, labels): true positives, predicted, actual."""

    hits: sparse.csr_matrix
    predicted: sparse.csr_matrix
    actual: sparse.csr_matrix


def decide_promotion(rows: ScoredRows, *, gate: GateParams, seed: int) -> Verdict:
    """Return Verdict "promote" or "reject" with every reason.

    The candidate must reach `min_weighted_f1` and beat the majority floor. Against a champion, the lower 95 % bound of its
    weighted F1 gain (paired bootstrap, clustered by phrase) must not be below `-max_weighted_f1_drop`, and no label with at
    least 100 test rows may lose more than `max_label_recall_drop` of recall.
    """
    labels = sorted({*rows.truth, *rows.candidate, *(rows.champion or ()), rows.floor})
    evidence = _absolute_evidence(rows, labels)
    failures = _absolute_failures(evidence, gate)
    if rows.champion is not None:
        evidence |= _relative_evidence(rows, labels, seed=seed)
        failures += _relative_failures(evidence, gate)
    if failures:
        return Verdict("reject", tuple(failures), evidence)
    return Verdict("promote", (_reason_to_promote(evidence),), evidence)


def weighted_f1(truth: Sequence[str], predicted: Sequence[str]) -> float:
    """Support-weighted mean of the labels' F1, as scikit-learn's `f1_score(average="weighted")`."""
    labels = sorted({*truth, *predicted})
    counts = _count(truth, predicted, np.zeros(len(truth), dtype=np.int64), labels)
    return float(_weighted_f1(counts, np.ones((1, 1)))[0])


def _absolute_evidence(rows: ScoredRows, labels: Sequence[str]) -> dict:
    return {
        "rows": len(rows.truth),
        "labels": len(labels),
        "candidate_weighted_f1": round(weighted_f1(rows.truth, rows.candidate), 5),
        "floor_weighted_f1": round(weighted_f1(rows.truth, [rows.floor] * len(rows.truth)), 5),
    }


def _absolute_failures(evidence: dict, gate: GateParams) -> list[str]:
    failures, score, floor = [], evidence["candidate_weighted_f1"], evidence["floor_weighted_f1"]
    if score < gate.min_weighted_f1:
        failures.append(f"weighted F1 {score:.4f} is below the minimum {gate.min_weighted_f1:.4f}")
    if score <= floor:
        failures.append(
            f"weighted F1 {score:.4f} does not beat always answering the most frequent label ({floor:.4f})"
        )
    return failures


def _relative_evidence(rows: ScoredRows, labels: Sequence[str], *, seed: int) -> dict:
    gains = bootstrap_gains(rows, labels, seed=seed)
    drops = recall_drops(rows)
    worst = max(drops, key=lambda label: drops[label], default=None)
    return {
        "champion_weighted_f1": round(weighted_f1(rows.truth, rows.champion or ()), 5),
        "gain_lower_bound": round(float(np.quantile(gains, 1 - CONFIDENCE)), 5),
        "gain_median": round(float(np.median(gains)), 5),
        "worst_recall_drop": round(drops[worst], 5) if worst is not None else 0.0,
        "worst_recall_label": worst,
    }


def _relative_failures(evidence: dict, gate: GateParams) -> list[str]:
    failures, loss, drop = [], -evidence["gain_lower_bound"], evidence["worst_recall_drop"]
    if loss > gate.max_weighted_f1_drop:
        failures.append(
            f"weighted F1 may drop by {loss:.4f} (lower 95 % bound); allowed are {gate.max_weighted_f1_drop:.4f}"
        )
    if drop > gate.max_label_recall_drop:
        label = evidence["worst_recall_label"]
        failures.append(
            f"recall of {label} drops by {drop:.4f}; allowed are {gate.max_label_recall_drop:.4f}"
        )
    return failures


def _reason_to_promote(evidence: dict) -> str:
    score = f"weighted F1 {evidence['candidate_weighted_f1']:.4f}"
    if "champion_weighted_f1" not in evidence:
        return f"first version: {score} beats the floor {evidence['floor_weighted_f1']:.4f} and the minimum"
    gain = f"gain at least {evidence['gain_lower_bound']:+.4f} (95 %)"
    return f"{score} against the champion's {evidence['champion_weighted_f1']:.4f}; {gain}"


def bootstrap_gains(
    rows: ScoredRows, labels: Sequence[str], *, seed: int, rounds: int = ROUNDS
) -> np.ndarray:
    """Return float (rounds,): candidate minus champion weighted F1 on phrases drawn with replacement."""
    _, clusters = np.unique(np.asarray(rows.phrases, dtype=object).astype(str), return_inverse=True)
    total = int(clusters.max()) + 1
    candidate = _count(rows.truth, rows.candidate, clusters, labels)
    champion = _count(rows.truth, rows.champion or (), clusters, labels)
    random, shares, gains = np.random.default_rng(seed), np.full(total, 1 / total), [np.empty(0)]
    for done in range(0, rounds, ROUNDS_AT_ONCE):
        draws = random.multinomial(total, shares, size=min(ROUNDS_AT_ONCE, rounds - done))
        gains.append(_weighted_f1(candidate, draws) - _weighted_f1(champion, draws))
    return np.concatenate(gains)


def recall_drops(rows: ScoredRows, *, min_rows: int = MIN_ROWS_FOR_RECALL) -> dict[str, float]:
    """Return label -> champion's recall minus the candidate's, for labels with at least `min_rows` test rows."""
    truth, candidate, champion = (
        np.asarray(column, dtype=str)
        for column in (rows.truth, rows.candidate, rows.champion or ())
    )
    drops = {}
    for label, count in zip(*np.unique(truth, return_counts=True), strict=True):
        if count >= min_rows:
            mine = truth == label
            drops[str(label)] = float(
                np.mean(champion[mine] == label) - np.mean(candidate[mine] == label)
            )
    return drops


def _count(
    truth: Sequence[str], predicted: Sequence[str], clusters: np.ndarray, labels: Sequence[str]
) -> _Counts:
    truth_index = np.searchsorted(labels, np.asarray(truth, dtype=str))
    predicted_index = np.searchsorted(labels, np.asarray(predicted, dtype=str))
    shape = (int(clusters.max()) + 1, len(labels))

    def matrix(columns: np.ndarray, weights: np.ndarray) -> sparse.csr_matrix:
        return sparse.csr_matrix((weights.astype(float), (clusters, columns)), shape=shape)

    ones = np.ones(len(clusters))
    return _Counts(
        matrix(truth_index, truth_index == predicted_index),
        matrix(predicted_index, ones),
        matrix(truth_index, ones),
    )


def _weighted_f1(counts: _Counts, draws: np.ndarray) -> np.ndarray:
    """Weighted F1 a draw; `draws` (rounds, clusters) says how often each cluster was drawn."""
    hits, predicted, actual = (
        draws @ matrix for matrix in (counts.hits, counts.predicted, counts.actual)
    )
    f1 = 2 * hits / np.maximum(predicted + actual, 1e-12)
    return (f1 * actual).sum(axis=1) / actual.sum(axis=1)
