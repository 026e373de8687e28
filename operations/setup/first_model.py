"""How good a first model is likely to be: a quick fit on n-grams alone, without the embedder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.params.heads import TfidfSvmHead
from operations.setup.source_profile import Learnable
from pipelines.model.heads import TrainingRows, fit_head
from pipelines.stages.split import training_table

MOST_PAIRS = 6_000
MOST_TEST_ROWS = 3_000
_NO_EMBEDDER = "none"


@dataclass(frozen=True)
class FirstModel:
    """Weighted F1 of the fit on the test rows, beside that of the most frequent label.

    `trained` and `tested` count phrases and rows; larger sources are sampled.
    """

    weighted_f1: float
    majority: float
    trained: int
    tested: int


def try_first_model(learnable: Learnable, *, seed: int) -> FirstModel:
    """Fit on a sample of the training rows and score on the newest rows, as `evaluate` would."""
    from sklearn.metrics import f1_score

    rows = learnable.rows
    random = np.random.default_rng(seed)
    training = _training_rows(learnable, random, seed=seed)
    params = TfidfSvmHead(kind="tfidf_svm")
    head = fit_head(params, training=training, embedder_id=_NO_EMBEDDER, seed=seed)

    tested = np.flatnonzero(learnable.masks.test)
    if len(tested) > MOST_TEST_ROWS:
        tested = random.choice(tested, MOST_TEST_ROWS, replace=False)
    phrases = rows.phrases[rows.phrase_codes[tested]].tolist()
    scores = head.probabilities(phrases, np.zeros((len(phrases), 1), np.float32))
    answers = np.array(head.labels)[scores.argmax(axis=1)]

    right = rows.labels[tested].astype(str)
    labels, counts = np.unique(training.labels.astype(str), return_counts=True)
    majority = np.full(len(right), labels[counts.argmax()])
    scored = {"average": "weighted", "zero_division": 0.0}
    return FirstModel(
        weighted_f1=float(f1_score(right, answers, **scored)),
        majority=float(f1_score(right, majority, **scored)),
        trained=len(training.cleaned),
        tested=len(tested),
    )


def _training_rows(learnable: Learnable, random: np.random.Generator, *, seed: int) -> TrainingRows:
    table = training_table(learnable.rows, test=learnable.masks.test, seed=seed)
    pairs = table.filter(np.asarray(table["rows"]) > 0)
    if len(pairs) > MOST_PAIRS:
        pairs = pairs.take(np.sort(random.choice(len(pairs), MOST_PAIRS, replace=False)))
    return TrainingRows(
        cleaned=np.array(pairs["cleaned"].to_pylist(), dtype=object),
        labels=np.array(pairs["label"].to_pylist(), dtype=object),
        weights=pairs["rows"].to_numpy().astype(np.float64),
        vectors=np.zeros((len(pairs), 1), np.float32),
        validation=pairs["validation"].to_numpy(zero_copy_only=False),
    )
