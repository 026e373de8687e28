"""How near an embedder is to what it was made from: fixed phrases, and what a classifier on top of it loses."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np

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
TRAINING_TERMS, TEST_TERMS = 4000, 2000


def measure_parity(embed: Embed) -> float:
    """The largest difference to the numpy reference on fixed phrases, rounded up to two digits."""
    difference = float(np.abs(embed(PHRASES) - reference_embed(PHRASES)).max())
    step = 10.0 ** (math.floor(math.log10(difference)) - 1) if difference else 1.0
    return float(f"{math.ceil(difference / step) * step:.2g}")


def measure_loss(embed: Embed, *, of: Embed) -> Mapping[str, float]:
    """Compare with the float form: cosines on fixed phrases and ICD-10-CM terms, weighted F1 of a logistic regression on the terms.

    The terms are 6,000 of 22 chapters, a third of them test, the same at every call; each form trains its own regression.
    `weighted_f1_difference` is this form minus the float form.
    """
    phrases, labels = _terms()
    ours, theirs = embed(phrases), of(phrases)
    cosines = np.concatenate([_cosines(ours, theirs), _cosines(embed(PHRASES), of(PHRASES))])
    scores = [_weighted_f1(vectors, labels) for vectors in (ours, theirs)]
    return {
        "cosine_mean": _rounded(cosines.mean()),
        "cosine_min": _rounded(cosines.min()),
        "weighted_f1": _rounded(scores[0]),
        "weighted_f1_difference": _rounded(scores[0] - scores[1]),
    }


def _terms() -> tuple[list[str], np.ndarray]:
    """Cleaned terms in an order that has nothing to do with their chapters, which are given as numbers."""
    from pipelines.source.icd import load_catalogue

    catalogue = load_catalogue()
    chapters = catalogue.chapter_of_block[catalogue.block]
    found = {
        clean_phrase(base): int(chapter)
        for base, chapter in zip(catalogue.base, chapters, strict=True)
    }
    ranked = sorted(found, key=lambda term: (zlib.crc32(term.encode()), term))[
        : TRAINING_TERMS + TEST_TERMS
    ]
    return ranked, np.array([found[term] for term in ranked])


def _cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return np.einsum("ij,ij->i", ours, theirs) / lengths


def _weighted_f1(vectors: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    head = LogisticRegression(C=30, max_iter=300).fit(
        vectors[:TRAINING_TERMS], labels[:TRAINING_TERMS]
    )
    return float(
        f1_score(
            labels[TRAINING_TERMS:], head.predict(vectors[TRAINING_TERMS:]), average="weighted"
        )
    )


def _rounded(value: float) -> float:
    return round(float(value), 6)
