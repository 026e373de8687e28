from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from core.params.heads import Head as HeadParams
from pipelines.model.calibration import fit_temperature
from pipelines.model.classifier import PhraseClassifier, rank_labels
from pipelines.model.head_file import Head, save_head
from pipelines.model.heads import fit_head, fit_heads
from pipelines.model.linear_heads import PART, prune_ngrams
from pipelines.model.novelty import novelty
from pipelines.model.scoring import softmax
from pipelines.model.training import TrainingRows, fitting_rows, main_labels
from tests.support.training import best_labels, phrases_of, training_rows, vectors_of

LEARNING = ("logistic", "hybrid_svm", "tfidf_svm")
"""The perceptron, which needs TensorFlow to be fitted, is in tests/model."""
SMALL = {"hybrid_svm": {"buckets": 512}, "tfidf_svm": {"buckets": 512}}


def small_params(kind: str, **changes: object) -> HeadParams:
    return TypeAdapter(HeadParams).validate_python({"kind": kind, **SMALL.get(kind, {}), **changes})


def fit(kind: str, training: TrainingRows | None = None, **changes: object) -> Head:
    params = small_params(kind, **changes)
    return fit_head(params, training=training or training_rows(), embedder_id="words-1", seed=7)


def few_rows(cleaned: list[str], labels: list[str], counts: list[float]) -> TrainingRows:
    return TrainingRows(
        np.array(cleaned, dtype=object),
        np.array(labels),
        np.array(counts),
        vectors_of(cleaned),
        np.zeros(len(cleaned), bool),
    )


@pytest.mark.parametrize("kind", LEARNING)
def test_a_head_learns_what_words_mean(kind: str) -> None:
    head = fit(kind)
    answers = PhraseClassifier(head, vectors_of).predict(
        ["Cardiac MURMUR", "asthma acute", "femur broken"]
    )
    assert [answer.label for answer in answers] == ["heart", "lung", "bone"]


@pytest.mark.parametrize("kind", [*LEARNING, "majority"])
def test_probabilities_are_a_distribution(kind: str) -> None:
    head = fit(kind)
    phrases = [*phrases_of("lung")[:20], "unknown", ""]
    probabilities = head.probabilities(phrases, vectors_of(phrases))
    assert probabilities.shape == (22, 3) and probabilities.dtype == np.float32
    assert (probabilities >= 0).all() and np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert head.probabilities([], vectors_of([])).shape == (0, 3)


@pytest.mark.parametrize("kind", LEARNING)
def test_a_phrase_gets_the_same_answer_alone_and_in_a_batch(kind: str) -> None:
    head = fit(kind)
    phrases = [*phrases_of("lung"), *phrases_of("heart")]
    vectors = vectors_of(phrases)
    together = head.probabilities(phrases, vectors)
    alone = [
        head.probabilities([phrase], vectors[place : place + 1])[0]
        for place, phrase in enumerate(phrases)
    ]
    assert np.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("kind", LEARNING)
def test_the_order_of_the_rows_does_not_change_the_labels_learnt(kind: str) -> None:
    rows = training_rows()
    order = np.random.default_rng(0).permutation(330)
    shuffled = TrainingRows(
        rows.cleaned[order],
        rows.labels[order],
        rows.weights[order],
        rows.vectors[order],
        rows.validation[order],
    )
    phrases = rows.cleaned.tolist()
    one, two = (best_labels(fit(kind, given), phrases, rows.vectors) for given in (rows, shuffled))
    assert np.mean(np.array(one) == np.array(two)) > 0.99


def test_majority_answers_the_most_frequent_label_with_its_share() -> None:
    head = fit("majority", few_rows(["a", "b", "c"], ["x", "y", "y"], [5, 2, 2]))
    answer = PhraseClassifier(head, vectors_of).predict(["anything"])[0]
    assert (answer.label, answer.probability, answer.alternatives[0][0]) == (
        "x",
        pytest.approx(5 / 9),
        "y",
    )


@pytest.mark.parametrize("kind", LEARNING)
def test_two_labels_are_enough(kind: str) -> None:
    head = fit(kind, training_rows(("heart", "bone")))
    assert best_labels(head, ["coronary", "spinal"], vectors_of(["coronary", "spinal"])) == [
        "heart",
        "bone",
    ]


@pytest.mark.parametrize("kind", LEARNING)
def test_a_label_that_lies_wholly_in_the_validation_slice_is_learnt(kind: str) -> None:
    rows = training_rows()
    head = fit(kind, replace(rows, validation=rows.validation | (rows.labels == "bone")))
    assert head.labels == ("bone", "heart", "lung")
    assert best_labels(head, ["spinal joint"], vectors_of(["spinal joint"])) == ["bone"]


@pytest.mark.parametrize("kind", LEARNING)
def test_no_validation_slice_is_no_error(kind: str) -> None:
    rows = training_rows()
    assert fit(kind, replace(rows, validation=np.zeros(len(rows.labels), bool))).labels == (
        "bone",
        "heart",
        "lung",
    )


def test_tfidf_svm_looks_at_the_words_alone() -> None:
    head = fit("tfidf_svm")
    rows = training_rows()
    phrases = rows.cleaned.tolist()
    vectors = rows.vectors
    assert np.array_equal(
        head.probabilities(phrases, vectors), head.probabilities(phrases, -vectors)
    )


def test_a_phrase_with_two_labels_teaches_the_frequent_one() -> None:
    rows = few_rows(["b", "a", "a", "c", "c"], ["x", "x", "y", "z", "y"], [1, 2, 3, 4, 4])
    assert main_labels(rows).tolist() == [True, False, True, False, True]


def test_rows_of_a_label_without_any_other_row_are_fitted() -> None:
    rows = replace(
        few_rows(["a", "b", "c"], ["x", "x", "y"], [1, 1, 1]),
        validation=np.array([True, False, True]),
    )
    assert fitting_rows(rows, np.array([0, 0, 1])).tolist() == [False, True, True]


def with_test_rows(rows: TrainingRows, chosen: np.ndarray) -> TrainingRows:
    """The same rows, of which `chosen` are test rows."""
    return replace(
        rows,
        weights=np.where(chosen, 0, rows.weights),
        test_weights=np.where(chosen, rows.weights, 0),
    )


@pytest.mark.parametrize("kind", [*LEARNING, "majority"])
def test_the_judged_head_has_not_seen_the_test_rows(kind: str, tmp_path: Path) -> None:
    rows = training_rows()
    test = np.arange(len(rows.labels)) % 4 == 0
    params = small_params(kind)
    without = fit(kind, with_test_rows(rows, test).without_test())
    heads = fit_heads(params, training=with_test_rows(rows, test), embedder_id="words-1", seed=7)
    assert save_head(heads.judged, tmp_path / "1") == save_head(without, tmp_path / "2")
    assert save_head(heads.served, tmp_path / "3") != save_head(heads.judged, tmp_path / "4")


@pytest.mark.parametrize("kind", LEARNING)
def test_the_served_head_answers_with_a_label_that_only_test_rows_have(kind: str) -> None:
    rows = training_rows()
    heads = fit_heads(
        small_params(kind),
        training=with_test_rows(rows, rows.labels == "bone"),
        embedder_id="words-1",
        seed=7,
    )
    assert heads.judged.labels == ("heart", "lung")
    assert heads.served.labels == ("bone", "heart", "lung")
    assert best_labels(heads.served, ["spinal joint"], vectors_of(["spinal joint"])) == ["bone"]


def test_a_label_that_test_rows_outnumber_is_forgotten() -> None:
    rows = replace(
        few_rows(["a", "a", "b", "c"], ["x", "y", "x", "y"], [2, 0, 5, 5]),
        test_weights=np.array([0.0, 9.0, 0.0, 0.0]),
    )
    heads = fit_heads(small_params("hybrid_svm"), training=rows, embedder_id="words-1", seed=7)
    assert best_labels(heads.judged, ["a"], rows.vectors[:1]) == ["x"]
    assert best_labels(heads.served, ["a"], rows.vectors[:1]) == ["y"]


def test_temperature_undoes_a_known_overconfidence() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(20_000, 5)).astype(np.float32) * 2
    codes = (softmax(logits).cumsum(axis=1) < random.uniform(size=(20_000, 1)) * 0.999).sum(axis=1)
    assert fit_temperature(logits * 3, codes, weights=np.ones(20_000)) == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("keep", [0.01, 0.5, 1.0])
def test_pruning_keeps_the_largest_weights(keep: float) -> None:
    weights = np.random.default_rng(2).normal(size=(100, 7)).astype(np.float32)
    pruned = prune_ngrams(weights, keep=keep)
    assert len(pruned["ngram_values"]) == round(700 * keep)
    assert (
        np.abs(pruned["ngram_values"]).min()
        >= np.sort(np.abs(weights), axis=None)[-round(700 * keep)] - 1e-3
    )
    assert pruned["ngram_starts"].tolist() == sorted(pruned["ngram_starts"].tolist())


@pytest.mark.parametrize("keep", [0.01, 0.3])
def test_pruning_in_parts_keeps_places_values_and_equals(keep: float) -> None:
    random = np.random.default_rng(4)
    weights = random.normal(size=(2 * PART + 100, 7)).astype(np.float32).round(2)
    pruned = prune_ngrams(weights, keep=keep)
    kept = np.repeat(np.arange(len(weights)), np.diff(pruned["ngram_starts"]))
    whole = np.zeros_like(weights)
    whole[kept, pruned["ngram_labels"]] = pruned["ngram_values"]
    least = np.sort(np.abs(weights), axis=None)[-round(keep * weights.size)]
    expected = np.where(np.abs(weights) >= least, weights, 0)
    assert np.count_nonzero(expected) > round(keep * weights.size)  # equals of the last one stay
    assert np.array_equal(whole, expected.astype(np.float16))


def test_a_head_of_220_labels_is_at_most_8_MB(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    labels = tuple(f"label{number}" for number in range(220))
    pruned = prune_ngrams(random.normal(size=(2 * 2**14, 220)).astype(np.float32), keep=0.05)
    arrays: dict[str, np.ndarray] = {
        "weights": random.normal(size=(512, 220)).astype(np.float32),
        "bias": np.zeros(220, np.float32),
        "idf": np.ones(2**15, np.float32),
        "centroids": random.normal(size=(220, 512)).astype(np.float16),
        **pruned,
    }
    save_head(
        Head(
            "hybrid_svm",
            labels,
            "e",
            arrays,
            {"buckets": 2**14, "ngram_weight": 0.7, "temperature": 1},
        ),
        tmp_path,
    )
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 8_000_000


def test_a_known_phrase_is_less_novel_than_a_strange_one() -> None:
    head = fit("logistic")
    known, strange = novelty(head, vectors_of(["heart valve", "qqq zzz"]))
    assert 0 <= known < strange <= 2


def test_labels_are_ranked_best_first_and_equal_ones_in_their_order() -> None:
    ranked = rank_labels(("a", "b", "c", "d"), np.array([[0.1, 0.4, 0.4, 0.1]], np.float32), top=3)
    assert (ranked[0].label, [label for label, _ in ranked[0].alternatives]) == ("b", ["c", "a"])
    assert rank_labels(("a", "b"), np.array([[0.2, 0.8]]), top=5)[0].alternatives == (("a", 0.2),)
