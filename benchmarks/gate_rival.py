"""The rule that the gate replaced: one bootstrap of all rows, and the recall of labels with at
least 100 of them.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from core.params.gate import GateParams
from pipelines.gate.rows import GateRows
from pipelines.gate.scores import encode

ROUNDS = 1000
ROUNDS_AT_ONCE = 250
MIN_ROWS_FOR_RECALL = 100


def decide_by_bootstrap(rows: GateRows, policy: GateParams, *, seed: int) -> str:
    """Return "promote" or "reject"; corrections count like all rows, as they did."""
    assert rows.champion is not None
    truth, candidate, champion = encode(rows.truth, rows.candidate, rows.champion)
    gains = bootstrap_gains(truth, candidate, champion, rows.phrases, seed=seed)
    if -float(np.quantile(gains, 0.05)) > policy.max_weighted_f1_drop:
        return "reject"
    for label in np.flatnonzero(np.bincount(truth) >= MIN_ROWS_FOR_RECALL):
        own = truth == label
        drop = np.mean(champion[own] == label) - np.mean(candidate[own] == label)
        if drop > policy.max_label_recall_drop:
            return "reject"
    return "promote"


def bootstrap_gains(
    truth: np.ndarray,
    candidate: np.ndarray,
    champion: np.ndarray,
    phrases: np.ndarray,
    *,
    seed: int,
) -> np.ndarray:
    """float (ROUNDS,): gains in weighted F1 of phrases drawn with replacement."""
    _, clusters = np.unique(phrases, return_inverse=True)
    total = int(clusters.max()) + 1
    random = np.random.default_rng(seed)
    gains = []
    for _ in range(0, ROUNDS, ROUNDS_AT_ONCE):
        draws = random.multinomial(total, np.full(total, 1 / total), size=ROUNDS_AT_ONCE)
        ours = _weighted_f1(truth, candidate, clusters, draws)
        gains.append(ours - _weighted_f1(truth, champion, clusters, draws))
    return np.concatenate(gains)


def _weighted_f1(
    truth: np.ndarray, answers: np.ndarray, clusters: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    labels = int(max(truth.max(), answers.max())) + 1
    shape = (draws.shape[1], labels)

    def counted(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        matrix = sparse.csr_matrix((weights.astype(float), (clusters, columns)), shape=shape)
        return np.asarray(draws @ matrix)

    ones = np.ones(len(clusters))
    hits = counted(truth, truth == answers)
    predicted = counted(answers, ones)
    actual = counted(truth, ones)
    f1 = 2 * hits / np.maximum(predicted + actual, 1e-12)
    return np.asarray((f1 * actual).sum(axis=1) / actual.sum(axis=1))
