"""Why a phrase got its answer: what each of its words added to the answer and to the runner-up.

Logits of n-grams are linear, so their shares are exact. The embedding is not linear in the words:
the share of a word is the mean of what it adds to nothing and of what it adds to the others, scaled
so that the shares sum to the whole. It is the mean of the first and the last term of the Shapley
value (Lundberg and Lee, 2017), for 2 n embeddings instead of 2^n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipelines.model.classifier import PhraseClassifier, rank_labels
from pipelines.model.features import as_matrix, count_ngrams
from pipelines.model.head_file import Head
from pipelines.model.rules import first_match
from pipelines.model.scoring import make_scorer
from pipelines.model.text import clean_phrase

Float64 = NDArray[np.float64]
MOST_WORDS = 40
"""Further words are explained as one: clients may send 2,000 characters."""


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
    those labels, `head_label` that of the head, which the words explain. `rule` is the pattern that
    decided before such labels, "" for none.
    """

    cleaned: str
    label: str
    probability: float
    known: bool
    head_label: str
    runner_up: str
    words: tuple[WordShare, ...]
    base: tuple[float, float]
    logits: tuple[float, float]
    rule: str = ""


def explain(classifier: PhraseClassifier, phrase: str) -> Explanation:
    """Explain the answer to one phrase; a head of one label is its own runner-up."""
    head = classifier.head
    cleaned = clean_phrase(phrase)
    words = split_words(cleaned)
    vectors = classifier.embed(_texts(cleaned, words))
    [answer] = classifier.predict_cleaned([cleaned], vectors[:1], memory=classifier.memory)
    without_rules = replace(head, rules=()).probabilities([cleaned], vectors[:1])
    [own] = rank_labels(head.labels, without_rules, top=2)
    rule = first_match(head.rules, cleaned)
    runner_up = own.alternatives[0][0] if own.alternatives else own.label
    places = [head.labels.index(own.label), head.labels.index(runner_up)]

    scorer = make_scorer(head.kind, head.arrays, head.settings)
    embedded = scorer([""] * len(vectors), vectors)[:, places].astype(np.float64)
    base, shares = _occlusion_shares(embedded, words=len(words))
    if "ngram_values" in head.arrays:
        shares = shares + _ngram_shares(head, cleaned, words)[:, places]
    return Explanation(
        cleaned,
        answer.label,
        answer.probability,
        known=answer.known,
        head_label=own.label,
        runner_up=runner_up,
        words=tuple(
            WordShare(word, float(first), float(second))
            for word, (first, second) in zip(words, shares, strict=True)
        ),
        base=(float(base[0]), float(base[1])),
        logits=_pair(scorer([cleaned], vectors[:1])[0, places]),
        rule=rule.pattern if rule else "",
    )


def split_words(cleaned: str) -> list[str]:
    """Return the words of a cleaned phrase; those after MOST_WORDS - 1 as one."""
    words = cleaned.split(" ")
    rest = words[MOST_WORDS - 1 :]
    return [*words[: MOST_WORDS - 1], " ".join(rest)] if rest else words


def _texts(cleaned: str, words: Sequence[str]) -> list[str]:
    """Return the phrase, nothing, each word alone, and the phrase without each word."""
    without = [" ".join([*words[:place], *words[place + 1 :]]) for place in range(len(words))]
    return [cleaned, "", *words, *without]


def _occlusion_shares(logits: Float64, *, words: int) -> tuple[Float64, Float64]:
    """Return the logits of nothing, (2,), and the share of each word, (words, 2).

    `logits`, (2 + 2 words, 2), are those of `_texts`.
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


def _ngram_shares(head: Head, cleaned: str, words: Sequence[str]) -> Float64:
    """Return what the n-grams of each word add to every logit: (words, labels).

    Runs of characters lie within one word. Two neighbours share the n-gram that they form.
    """
    pairs = [f"{first} {second}" for first, second in pairwise(words)]
    whole, own, both = np.split(_ngram_logits(head, [cleaned, *words, *pairs]), [1, 1 + len(words)])
    shared = (both - own[:-1] - own[1:]) / 2
    shares = own.copy()
    shares[:-1] += shared
    shares[1:] += shared
    # Left over is what neighbours form across a word without letters, as in "a - b".
    left_over: Float64 = shares + (whole[0] - shares.sum(axis=0)) / len(words)
    return left_over


def _ngram_logits(head: Head, texts: Sequence[str]) -> Float64:
    """Return the logits of n-grams, all scaled by the length of the first text's: (n, labels)."""
    columns = 2 * int(head.settings["buckets"])
    counts = count_ngrams(texts, buckets=int(head.settings["buckets"]))
    values = as_matrix(counts, shape=(len(texts), columns)).astype(np.float64)
    values = values.multiply(head.arrays["idf"].astype(np.float64)).tocsr()
    length = float(np.sqrt(values[0].multiply(values[0]).sum())) or 1.0
    parts = (
        head.arrays["ngram_values"].astype(np.float64),
        head.arrays["ngram_labels"].astype(np.int32),
        head.arrays["ngram_starts"],
    )
    table = sparse.csr_matrix(parts, shape=(columns, len(head.labels)))
    scale = head.settings["ngram_weight"] / length / head.settings["temperature"]
    logits: Float64 = (values @ table).toarray() * scale
    return logits


def _pair(values: NDArray[np.float32]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
