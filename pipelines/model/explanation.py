"""Why a phrase got its answer: what each of its words added to the answer and to the runner-up.

Logits of n-grams are linear, so their shares are exact. The embedding is not linear in the words:
the share of a word is the mean of what it adds to nothing and of what it adds to the others, scaled
so that the shares sum to the whole. It is the mean of the first and the last term of the Shapley
value (Lundberg and Lee, 2017), for 2 n embeddings instead of 2^n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.model.arrays import Float32
from pipelines.model.classifier import PhraseClassifier, rank_labels
from pipelines.model.features import count_ngrams
from pipelines.model.head_file import Head
from pipelines.model.memory import AppliedMemory
from pipelines.model.text import clean_phrase
from pipelines.model.training_phrases import NearPhrase, TrainingPhrases

Float64 = NDArray[np.float64]
MOST_WORDS = 40
"""Further words are explained as one: clients may send 2,000 characters."""
LINEAR_NGRAMS = ("hybrid_svm", "tfidf_svm")
"""Kinds of head whose logits are the sum of a part of the vector and a part of the n-grams."""


@dataclass(frozen=True)
class WordShare:
    """What a word added to the logit of the answer and to that of the runner-up."""

    word: str
    answer: float
    runner_up: float

    @property
    def margin(self) -> float:
        """What the word added to the lead of the answer; negative where it spoke against it."""
        return self.answer - self.runner_up


@dataclass(frozen=True)
class Explanation:
    """The head's answer, its runner-up, and the words of the cleaned phrase in their order.

    `base` holds the logits of both without any word: with the shares they sum to `logits`.
    `known` is true when people or the source labelled the phrase itself; `label` is the answer with
    those labels, `head_label` that of the head, which the words explain. `neighbours` are the
    nearest training phrases, None where the version keeps none.
    """

    cleaned: str
    label: str
    probability: float
    known: bool
    head_label: str
    head_probability: float
    runner_up: str
    words: tuple[WordShare, ...]
    base: tuple[float, float]
    logits: tuple[float, float]
    neighbours: tuple[NearPhrase, ...] | None = None


@dataclass(frozen=True)
class Step:
    """What one part makes of a phrase: the head, labels of the phrase itself, a person's pin."""

    by: Literal["head", "memory", "pin"]
    label: str
    probability: float

    @property
    def sentence(self) -> str:
        if self.by == "pin":
            return f"A person pinned the phrase to {self.label}."
        found = f"{self.label} with probability {self.probability:.3f}"
        if self.by == "memory":
            return f"With the labels that the phrase itself had: {found}."
        return f"By its words: {found}."


def answer_steps(explanation: Explanation, *, pinned_label: str | None) -> list[Step]:
    """Return what each part makes of the phrase, in order; clients get the last one's label.

    `pinned_label` is None without a pin. A pin to the label before it rests.
    """
    steps = [Step("head", explanation.head_label, explanation.head_probability)]
    if explanation.known:
        steps.append(Step("memory", explanation.label, explanation.probability))
    if pinned_label not in (None, explanation.label):
        steps.append(Step("pin", str(pinned_label), 1.0))
    return steps


def explain(
    classifier: PhraseClassifier, phrase: str, *, phrases: TrainingPhrases | None = None
) -> Explanation:
    """Explain the answer to one phrase; a head of one label is its own runner-up."""
    cleaned = clean_phrase(phrase)
    vectors = classifier.embed(texts_to_embed(cleaned))
    return explain_embedded(classifier, cleaned, vectors, memory=classifier.memory, phrases=phrases)


def explain_embedded(
    classifier: PhraseClassifier,
    cleaned: str,
    vectors: Float32,
    *,
    memory: AppliedMemory | None,
    phrases: TrainingPhrases | None = None,
) -> Explanation:
    """Do what `explain` does; `vectors` are those of `texts_to_embed(cleaned)`."""
    head = classifier.head
    own_vector = vectors[:1]
    [answer] = classifier.predict_cleaned([cleaned], own_vector, memory=memory)
    [own] = rank_labels(head.labels, head.probabilities([cleaned], own_vector), top=2)
    runner_up = own.alternatives[0][0] if own.alternatives else own.label
    places = [head.labels.index(own.label), head.labels.index(runner_up)]

    words = split_words(cleaned)
    base, shares = _word_shares(head, cleaned, words, vectors, places)
    logits = head.logits([cleaned], own_vector)[0, places]
    return Explanation(
        cleaned,
        answer.label,
        answer.probability,
        known=answer.known,
        head_label=own.label,
        head_probability=own.probability,
        runner_up=runner_up,
        words=tuple(
            WordShare(word, float(first), float(second))
            for word, (first, second) in zip(words, shares, strict=True)
        ),
        base=_pair(base),
        logits=_pair(logits),
        neighbours=None if phrases is None else tuple(phrases.nearest(vectors[0], besides=cleaned)),
    )


def split_words(cleaned: str) -> list[str]:
    """Return the words of a cleaned phrase; those after MOST_WORDS - 1 as one."""
    words = cleaned.split(" ")
    rest = words[MOST_WORDS - 1 :]
    return [*words[: MOST_WORDS - 1], " ".join(rest)] if rest else words


def texts_to_embed(cleaned: str) -> list[str]:
    """Return the phrase, nothing, each word alone, and the phrase without each word."""
    words = split_words(cleaned)
    without = [" ".join([*words[:place], *words[place + 1 :]]) for place in range(len(words))]
    return [cleaned, "", *words, *without]


def _word_shares(
    head: Head, cleaned: str, words: Sequence[str], vectors: Float32, places: Sequence[int]
) -> tuple[Float64, Float64]:
    """Return the logits of nothing, (2,), and the share of each word, (words, 2)."""
    linear = head.kind in LINEAR_NGRAMS
    texts = [""] * len(vectors) if linear else texts_to_embed(cleaned)
    logits = head.logits(texts, vectors)[:, places].astype(np.float64)
    base, shares = _occlusion_shares(logits, words=len(words))
    if linear:
        shares = shares + _ngram_shares(head, cleaned, words, places)
    return base, shares


def _occlusion_shares(logits: Float64, *, words: int) -> tuple[Float64, Float64]:
    """Return the logits of nothing, (2,), and the share of each word, (words, 2).

    `logits`, (2 + 2 words, 2), are those of `texts_to_embed`.
    """
    whole = logits[0]
    nothing = logits[1]
    alone = logits[2 : 2 + words] - nothing
    last = whole - logits[2 + words :]
    shares = (alone + last) / 2
    missing = (whole - nothing) - shares.sum(axis=0)
    size = np.abs(shares)
    total = size.sum(axis=0)
    weight = np.where(total > 0, size / np.where(total > 0, total, 1), 1 / words)
    return nothing, shares + weight * missing


def _ngram_shares(head: Head, cleaned: str, words: Sequence[str], places: Sequence[int]) -> Float64:
    """Return what the n-grams of each word add to the logits of two labels: (words, 2).

    Runs of characters lie within one word. Two neighbours share the n-gram that they form.
    """
    pairs = [f"{first} {second}" for first, second in pairwise(words)]
    logits = _ngram_logits(head, [cleaned, *words, *pairs], places)
    whole, own, both = np.split(logits, [1, 1 + len(words)])
    shared = (both - own[:-1] - own[1:]) / 2
    shares = own.copy()
    shares[:-1] += shared
    shares[1:] += shared
    # Left over is what neighbours form across a word without letters, as in "a - b".
    left_over: Float64 = shares + (whole[0] - shares.sum(axis=0)) / len(words)
    return left_over


def _ngram_logits(head: Head, texts: Sequence[str], places: Sequence[int]) -> Float64:
    """Return the logits of n-grams, all scaled by the length of the first text's: (n, 2)."""
    counts = count_ngrams(texts, buckets=int(head.settings["buckets"]))
    values = counts.values * head.arrays["idf"].astype(np.float64)[counts.columns]
    length = float(np.linalg.norm(values[counts.rows == 0])) or 1.0
    columns, column_of = np.unique(counts.columns, return_inverse=True)
    weights = _ngram_weights(head, columns, places)[column_of]
    sums = [
        np.bincount(counts.rows, values * weights[:, number], minlength=len(texts))
        for number in range(len(places))
    ]
    scale = head.settings["ngram_weight"] / length / head.settings["temperature"]
    logits: Float64 = (np.stack(sums, axis=1) * scale).astype(np.float64)
    return logits


def _ngram_weights(head: Head, columns: NDArray[np.int64], places: Sequence[int]) -> Float64:
    """Return the weights of some n-grams for two labels, (columns, 2), without the whole table."""
    starts = head.arrays["ngram_starts"].astype(np.int64)
    sizes = starts[columns + 1] - starts[columns]
    rows = np.repeat(np.arange(len(columns)), sizes)
    entries = np.arange(sizes.sum()) + np.repeat(starts[columns] - np.cumsum(sizes) + sizes, sizes)
    labels = head.arrays["ngram_labels"][entries]
    values = head.arrays["ngram_values"][entries].astype(np.float64)
    weights = np.zeros((len(columns), len(places)))
    for number, place in enumerate(places):
        of_label = labels == place
        weights[rows[of_label], number] = values[of_label]
    return weights


def _pair(values: NDArray[np.floating]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
