"""Measures how close an embedder is to its original, in vectors and in a classifier's quality."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np

from pipelines.model.arrays import AnyArray, Float32, Int64
from pipelines.model.embedder import Embed
from pipelines.model.embedder_building import reference_embed
from pipelines.model.text import clean_phrase

PHRASES = (
    "chronic kidney disease, stage 3",
    "fracture of the left femur, initial encounter for closed fracture",
    "type 2 diabetes",
    "a",
    "",
    "0.9% nacl 500 ml",
    "influenza a/h1n1",
    "w/o complication (unspecified)",
    "schmerzen im rücken",
    "straße",
    "douleur thoracique aiguë",
    "dolor de cabeza crónico",
    "головная боль",
    "心臓病",
    "급성 신부전",
    "حمى مجهولة السبب",
    "ปวดหัว",
    "how do i activate my new card",
    "what is the exchange rate today",
    "x" * 300,
    "one two three " * 60,
)
TRAINING_TERMS = 4000
TEST_TERMS = 2000


def measure_parity(embed: Embed) -> float:
    """Return the largest difference to the numpy reference on PHRASES, rounded up to two digits."""
    difference = float(np.abs(embed(PHRASES) - reference_embed(PHRASES)).max())
    step = 10.0 ** (math.floor(math.log10(difference)) - 1) if difference else 1.0
    return float(f"{math.ceil(difference / step) * step:.2g}")


def measure_loss(embed: Embed, *, of: Embed) -> Mapping[str, float]:
    """Compare `embed` with the float form `of` that it was converted from.

    Cosines are taken on PHRASES and on ICD-10-CM terms; the weighted F1 is that of a logistic
    regression on the terms, which each form trains for itself. The terms are the same 6,000 of 22
    chapters at every call, a third of them for the test. `weighted_f1_difference` is this form
    minus the float form.
    """
    phrases, labels = _terms()
    ours = embed(phrases)
    theirs = of(phrases)
    cosines = np.concatenate([_cosines(ours, theirs), _cosines(embed(PHRASES), of(PHRASES))])
    scores = [_weighted_f1(vectors, labels) for vectors in (ours, theirs)]
    return {
        "cosine_mean": _rounded(cosines.mean()),
        "cosine_min": _rounded(cosines.min()),
        "weighted_f1": _rounded(scores[0]),
        "weighted_f1_difference": _rounded(scores[0] - scores[1]),
    }


def _terms() -> tuple[list[str], Int64]:
    """Return cleaned terms, ordered independently of their chapters, and the chapters' numbers."""
    from pipelines.source.icd import load_catalogue

    catalogue = load_catalogue()
    chapters = catalogue.chapter_of_block[catalogue.block]
    chapter_of = {
        clean_phrase(base): int(chapter)
        for base, chapter in zip(catalogue.base, chapters, strict=True)
    }
    ranked = sorted(chapter_of, key=lambda term: (zlib.crc32(term.encode()), term))
    terms = ranked[: TRAINING_TERMS + TEST_TERMS]
    return terms, np.array([chapter_of[term] for term in terms])


def _cosines(ours: Float32, theirs: Float32) -> AnyArray:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines: AnyArray = np.einsum("ij,ij->i", ours, theirs) / lengths
    return cosines


def _weighted_f1(vectors: Float32, labels: Int64) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    head = LogisticRegression(C=30, max_iter=300)
    head.fit(vectors[:TRAINING_TERMS], labels[:TRAINING_TERMS])
    predicted = head.predict(vectors[TRAINING_TERMS:])
    return float(f1_score(labels[TRAINING_TERMS:], predicted, average="weighted"))


def _rounded(value: float) -> float:
    return round(float(value), 6)
