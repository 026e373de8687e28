"""Why a phrase got its answer: what each of its words added to the answer and to the runner-up.

Logits are a part of the embedding and a part of the n-grams. The part of the n-grams costs
microseconds, so that its Shapley values are exact. Those of the embedding come from few phrases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.model.arrays import Float32
from pipelines.model.classifier import PhraseClassifier, rank_labels
from pipelines.model.head_file import Head
from pipelines.model.memory import AppliedMemory
from pipelines.model.rules import first_match
from pipelines.model.scoring import softmax
from pipelines.model.text import clean_phrase
from pipelines.model.training_phrases import NearPhrase, TrainingPhrases
from pipelines.model.word_shares import (
    Float64,
    all_phrases,
    exact_shares,
    occluded,
    occlusion_shares,
)

MOST_WORDS = 40
"""Further words are explained as one: clients may send 2,000 characters."""
EXACT_WORDS = 7
"""Words of a phrase for which all 2^n are scored by their n-grams; longer ones are occluded."""
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
    those labels, `head_label` that of the head alone, which the words explain. `rule` is the
    pattern of the rule that decided between both, "" for none, `with_rule` its answer. `neighbours`
    are the nearest training phrases, None where the version keeps none. `abstained` is true when
    the version refuses the phrase, whatever a pin answers.
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
    rule: str = ""
    with_rule: tuple[str, float] = ("", 0.0)
    neighbours: tuple[NearPhrase, ...] | None = None
    abstained: bool = False


@dataclass(frozen=True)
class Step:
    """What one part makes of a phrase: head, rule, labels of the phrase itself, a person's pin."""

    by: Literal["head", "rule", "memory", "pin"]
    label: str
    probability: float
    rule: str = ""

    @property
    def sentence(self) -> str:
        if self.by == "pin":
            return f"A person pinned the phrase to {self.label}."
        answer = f"{self.label} with probability {self.probability:.3f}"
        if self.by == "memory":
            return f"With the labels that the phrase itself had: {answer}."
        if self.by == "rule":
            return f"By the rule {self.rule}, which matches the phrase: {answer}."
        return f"By its words: {answer}."


def answer_steps(explanation: Explanation, *, pinned_label: str | None) -> list[Step]:
    """Return what each part makes of the phrase, in order; clients get the last one's label.

    `pinned_label` is None without a pin. A pin to the label before it rests.
    """
    steps = [Step("head", explanation.head_label, explanation.head_probability)]
    if explanation.rule:
        label, probability = explanation.with_rule
        steps.append(Step("rule", label, probability, explanation.rule))
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
    own_logits = head.logits([cleaned], own_vector)
    [own] = rank_labels(head.labels, softmax(own_logits), top=2)
    rule = first_match(head.rules, cleaned)
    [ruled] = rank_labels(head.labels, head.probabilities([cleaned], own_vector), top=1)
    runner_up = own.alternatives[0][0] if own.alternatives else own.label
    places = [head.labels.index(own.label), head.labels.index(runner_up)]

    words = split_words(cleaned)
    base, shares = _word_shares(head, words, vectors, places)
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
        logits=_pair(own_logits[0, places]),
        rule=rule.pattern if rule else "",
        with_rule=(ruled.label, ruled.probability),
        neighbours=None if phrases is None else tuple(phrases.nearest(vectors[0], besides=cleaned)),
        abstained=answer.abstained,
    )


def split_words(cleaned: str) -> list[str]:
    """Return the words of a cleaned phrase; those after MOST_WORDS - 1 as one."""
    words = cleaned.split(" ")
    rest = words[MOST_WORDS - 1 :]
    return [*words[: MOST_WORDS - 1], " ".join(rest)] if rest else words


def texts_to_embed(cleaned: str) -> list[str]:
    """Return the phrase and the parts of it whose embeddings the shares of its words need."""
    return occluded(split_words(cleaned))


def _word_shares(
    head: Head, words: Sequence[str], vectors: Float32, places: Sequence[int]
) -> tuple[Float64, Float64]:
    """Return the logits of nothing, (2,), and the share of each word, (words, 2)."""

    def logits(texts: Sequence[str], vectors: Float32) -> Float64:
        return head.logits(texts, vectors)[:, places].astype(np.float64)

    if head.kind not in LINEAR_NGRAMS or len(words) > EXACT_WORDS:
        return occlusion_shares(logits(occluded(words), vectors), words=len(words))
    base, embedded = occlusion_shares(logits([""] * len(vectors), vectors), words=len(words))
    phrases = all_phrases(words)
    ngrams = logits(phrases, np.zeros((len(phrases), vectors.shape[1]), np.float32))
    return base, embedded + exact_shares(ngrams, words=len(words))


def _pair(values: NDArray[np.floating]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
