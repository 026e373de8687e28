from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from core.errors import HeadRefused
from core.params.heads import EnsembleHead, MlpHead
from core.params.heads import Head as HeadParams
from pipelines.model.calibration import calibration_rows
from pipelines.model.ensemble_head import GREATEST_WEIGHT, LEAST_WEIGHT, fit_weight
from pipelines.model.head_file import Head, load_head, save_head
from pipelines.model.heads import fit_head
from pipelines.model.scoring import softmax
from tests.support.heads import ensemble_of
from tests.support.training import phrases_of, training_rows, vectors_of

PHRASES = [*phrases_of("bone")[:20], *phrases_of("lung")[:20], "never seen", ""]


def fit(kind: str) -> Head:
    params: HeadParams = TypeAdapter(HeadParams).validate_python(kind)
    return fit_head(params, training=training_rows(), embedder_id="words-1", seed=7)


@pytest.fixture(scope="module")
def members() -> tuple[Head, Head]:
    return fit("hybrid_svm"), fit("logistic")


@pytest.mark.parametrize("weight", [0.01, 0.3, 1.0, 10.0])
def test_an_ensemble_answers_with_the_weighted_mean(
    members: tuple[Head, Head], weight: float
) -> None:
    head = ensemble_of(*members, weight=weight)
    vectors = vectors_of(PHRASES)
    svm, logistic = (member.probabilities(PHRASES, vectors) for member in members)
    mean = (svm + weight * logistic) / (1 + weight)
    assert np.allclose(head.probabilities(PHRASES, vectors), mean, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(
    weight=st.floats(LEAST_WEIGHT, GREATEST_WEIGHT),
    temperature=st.floats(0.05, 20),
    phrases=st.lists(st.text(max_size=20), max_size=8),
)
def test_a_loaded_ensemble_answers_as_the_saved_one(
    members: tuple[Head, Head], weight: float, temperature: float, phrases: list[str]
) -> None:
    made = ensemble_of(*members, weight=weight)
    head = replace(made, settings={**made.settings, "mean_temperature": temperature})
    with TemporaryDirectory() as folder:
        save_head(head, Path(folder))
        loaded = load_head(Path(folder))
    vectors = vectors_of(phrases)
    answers = loaded.probabilities(phrases, vectors)
    assert np.array_equal(answers, head.probabilities(phrases, vectors))
    assert np.allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert loaded.labels == head.labels == tuple(sorted(head.labels))


@pytest.mark.parametrize(
    "name", ["perceptron_temperature", "perceptron_weight", "mean_temperature"]
)
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), "1"])
def test_a_setting_that_is_no_positive_number_is_refused(
    members: tuple[Head, Head], name: str, value: object, tmp_path: Path
) -> None:
    made = ensemble_of(*members)
    settings = {**made.settings, name: value}
    save_head(replace(made, settings=settings), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(HeadRefused, match=f"{name} of"):
        load_head(tmp_path)


@pytest.mark.parametrize("weight", [0.05, 0.5, 2.0])
def test_the_weight_that_made_the_labels_is_found(weight: float) -> None:
    random = np.random.default_rng(4)
    first, second = (
        softmax(3 * random.normal(size=(40_000, 4)).astype(np.float32)) for _ in range(2)
    )
    mean = (first + weight * second) / (1 + weight)
    codes = (mean.cumsum(axis=1) < random.uniform(size=(40_000, 1)) * 0.9999).sum(axis=1)
    found = fit_weight(first, second, codes, weights=np.ones(40_000))
    assert found == pytest.approx(weight, rel=0.25)


def test_a_member_that_knows_nothing_gets_the_least_weight() -> None:
    codes = np.arange(300) % 3
    sure = np.eye(3, dtype=np.float32)[codes] * 0.94 + np.float32(0.02)
    blind = np.full((300, 3), 1 / 3, np.float32)
    assert fit_weight(sure, blind, codes, weights=np.ones(300)) < 2 * LEAST_WEIGHT


def test_an_empty_validation_slice_calibrates_on_the_fitted_rows() -> None:
    rows = training_rows()
    codes = np.unique(rows.labels, return_inverse=True)[1]
    assert np.array_equal(calibration_rows(rows, codes), rows.validation)
    without = replace(rows, validation=np.zeros(len(codes), bool))
    assert calibration_rows(without, codes).all()


def test_labels_that_a_phrase_had_before_calibrate_nothing() -> None:
    rows = training_rows()
    codes = np.unique(rows.labels, return_inverse=True)[1]
    present = np.arange(len(codes)) % 4 > 0
    marked = replace(rows, present=present)
    assert np.array_equal(calibration_rows(marked, codes), rows.validation & present)


def test_an_ensemble_can_be_named_by_its_kind_and_refuses_unknown_keys() -> None:
    read = TypeAdapter(HeadParams).validate_python
    assert read("ensemble") == EnsembleHead(kind="ensemble")
    assert EnsembleHead(kind="ensemble").epochs < MlpHead(kind="mlp").epochs
    with pytest.raises(ValidationError, match="neighbours"):
        read({"kind": "ensemble", "neighbours": 5})
