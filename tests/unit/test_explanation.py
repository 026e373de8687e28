"""Explanations: shares sum to the logits, and agree with Shapley values where those are exact."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from core.params.heads import Head as HeadParams
from pipelines.model.abstention import Abstention
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.explanation import EXACT_WORDS, MOST_WORDS, Explanation, explain, split_words
from pipelines.model.head_file import Head
from pipelines.model.heads import fit_head
from tests.support.heads import LABELS, ensemble_of, make_head
from tests.support.training import WORDS, training_rows, vectors_of

KINDS = ("hybrid_svm", "tfidf_svm", "logistic", "ensemble")


@pytest.fixture(scope="module", params=KINDS)
def classifier(request: pytest.FixtureRequest) -> PhraseClassifier:
    if request.param == "ensemble":
        head = ensemble_of(fit("hybrid_svm"), fit("logistic"))
    else:
        head = fit(request.param)
    return PhraseClassifier(head, vectors_of)


def fit(kind: str) -> Head:
    params: HeadParams = TypeAdapter(HeadParams).validate_python(kind)
    return fit_head(params, training=training_rows(), embedder_id="words-1", seed=7)


def assert_adds_up(explanation: Explanation) -> None:
    answer = explanation.base[0] + sum(word.answer for word in explanation.words)
    runner_up = explanation.base[1] + sum(word.runner_up for word in explanation.words)
    assert (answer, runner_up) == pytest.approx(explanation.logits, abs=1e-4)


PHRASES = (
    "acute cardiac murmur",
    "x-ray of left femur - fracture",
    "- / -",
    "heart",
    "ünïcode ﬁ lung",
    "pleural pleural pleural",
    "word " * 300 + "valve",
)


def test_an_explanation_says_that_the_version_refuses_the_phrase() -> None:
    head = fit("logistic")
    refuses = Abstention(threshold=1e9, novelty_limit=2.0, novelty_weight=0.0)
    assert explain(PhraseClassifier(head, vectors_of, abstention=refuses), "heart").abstained
    assert not explain(PhraseClassifier(head, vectors_of), "heart").abstained


@pytest.mark.parametrize("phrase", PHRASES)
def test_the_shares_of_the_words_sum_to_the_logits(
    classifier: PhraseClassifier, phrase: str
) -> None:
    explanation = explain(classifier, phrase)
    assert_adds_up(explanation)
    assert " ".join(word.word for word in explanation.words) == explanation.cleaned


def test_the_word_that_names_a_label_adds_the_most(classifier: PhraseClassifier) -> None:
    for label, words in WORDS.items():
        for word in words:
            explanation = explain(classifier, f"recurrent {word} unspecified")
            assert explanation.label == label
            assert max(explanation.words, key=lambda share: share.margin).word == word


@given(st.text(max_size=60))
def test_any_text_is_explained(text: str) -> None:
    head = make_head("1")
    model = PhraseClassifier(head, lambda cleaned: np.ones((len(cleaned), 512), np.float32))
    explanation = explain(model, text)
    assert explanation.label in LABELS
    assert_adds_up(explanation)


@pytest.mark.parametrize(
    ("phrase", "error"),
    [
        ("murmur", 1e-5),
        ("cardiac murmur", 1e-5),
        ("acute cardiac murmur", 1e-5),
        ("acute cardiac murmur left", 0.05),
        ("recurrent acute cardiac murmur of valve", 0.1),
        ("mild recurrent acute cardiac murmur of the left valve", 0.3),
    ],
)
def test_shares_are_near_the_shapley_values(
    classifier: PhraseClassifier, phrase: str, error: float
) -> None:
    """The oracle is the definition, over all orders. SHAP's Exact explainer gives the same."""
    explanation = explain(classifier, phrase)
    exact = shapley(classifier, phrase, explanation.head_label)
    shares = np.array([word.answer for word in explanation.words])
    limit = 1e-5 if classifier.head.kind == "tfidf_svm" and len(exact) <= EXACT_WORDS else error
    if classifier.head.kind == "ensemble" and len(exact) > EXACT_WORDS:
        limit = 2 * error  # n-grams are occluded, too: they do not add up in a mean
    assert np.abs(shares - exact).sum() <= limit * np.abs(exact).sum()


def shapley(classifier: PhraseClassifier, phrase: str, label: str) -> np.ndarray:
    words = phrase.split()
    head = classifier.head
    place = head.labels.index(label)
    count = len(words)
    subsets = [chosen for size in range(count + 1) for chosen in combinations(range(count), size)]
    texts = [" ".join(words[number] for number in chosen) for chosen in subsets]
    value = dict(zip(subsets, head.logits(texts, vectors_of(texts))[:, place], strict=True))
    shares = np.zeros(count)
    for chosen in subsets:
        for number in set(range(count)) - set(chosen):
            weight = factorial(len(chosen)) * factorial(count - len(chosen) - 1) / factorial(count)
            joined = tuple(sorted((*chosen, number)))
            shares[number] += weight * float(value[joined] - value[chosen])
    return shares


def test_a_head_of_one_label_is_its_own_runner_up() -> None:
    model = PhraseClassifier(make_head("1", labels=("heart",)), vectors)
    explanation = explain(model, "cardiac murmur")
    assert explanation.label == explanation.runner_up == "heart"


def vectors(cleaned: Sequence[str]) -> np.ndarray:
    return np.ones((len(cleaned), 512), np.float32)


def test_long_phrases_end_in_one_share() -> None:
    words = split_words("w " * 100 + "end")
    assert len(words) == MOST_WORDS
    assert words[-1].endswith(" end")
