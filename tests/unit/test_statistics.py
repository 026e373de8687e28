import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from monitoring.statistics import (
    STATISTICS,
    Answers,
    draw_projection,
    fourier_features,
    jensen_shannon,
    kolmogorov_smirnov,
    make_reference,
    measure,
)

samples = st.lists(st.floats(0, 1), min_size=1, max_size=40)
counts = st.lists(st.integers(0, 50), min_size=5, max_size=5).filter(any)


def unit(random: np.random.Generator, rows: int) -> np.ndarray:
    vectors = random.normal(size=(rows, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@given(counts, counts)
def test_jensen_shannon_is_scipys_distance(left: list[int], right: list[int]) -> None:
    p, q = np.array(left) / sum(left), np.array(right) / sum(right)
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-6)


@given(samples, samples)
def test_kolmogorov_smirnov_is_scipys(left: list[float], right: list[float]) -> None:
    below = np.arange(1, len(right) + 1) / len(right)
    ours = kolmogorov_smirnov(np.sort(left), np.sort(right), below=below)
    assert ours == pytest.approx(ks_2samp(left, right, method="asymp").statistic, abs=1e-9)


def test_the_feature_distance_approximates_the_kernel_distance() -> None:
    random = np.random.default_rng(3)
    left, right = unit(random, 300), unit(random, 300) * np.float32(0.2) + np.float32(0.2)
    projection = draw_projection(np.concatenate([left, right]), seed=1)
    width = 1 / np.std(projection)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean(np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * width**2))))

    exact = kernel(left, left) + kernel(right, right) - 2 * kernel(left, right)
    features = [fourier_features(part, projection=projection).mean(axis=0) for part in (left, right)]
    assert np.sum((features[0] - features[1]) ** 2) == pytest.approx(exact, rel=0.25)


def test_a_window_equal_to_its_reference_is_at_distance_zero() -> None:
    answers = make_answers(np.random.default_rng(1), 200)
    measured = dict(zip(STATISTICS, measure(answers, reference=make_reference(answers, weight=np.ones(200), labels=4)), strict=True))
    assert [measured[name] for name in ("label_shares", "embeddings", "confidence")] == pytest.approx([0, 0, 0], abs=1e-5)
    assert measured["low_confidence"] == np.mean(answers.confidence < 0.5)
    assert measured["novelty_p90"] == pytest.approx(np.quantile(answers.novelty, 0.9))


def test_a_weight_is_worth_as_many_rows() -> None:
    random = np.random.default_rng(2)
    answers, window = make_answers(random, 100), make_answers(random, 50)
    weight = random.integers(1, 5, 100)
    repeated = answers.take(np.repeat(np.arange(100), weight))
    weighted = measure(window, reference=make_reference(answers, weight=weight, labels=4))
    assert measure(window, reference=make_reference(repeated, weight=np.ones(len(repeated)), labels=4)) == pytest.approx(weighted, abs=1e-5)


def make_answers(random: np.random.Generator, rows: int) -> Answers:
    return Answers(random.integers(0, 4, rows), random.random(rows), random.random(rows), random.random((rows, 256), np.float32))
