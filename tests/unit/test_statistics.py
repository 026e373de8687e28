import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from monitoring.windows.statistics import (
    STATISTICS,
    WindowSample,
    draw_projection,
    fourier_features,
    jensen_shannon,
    kolmogorov_smirnov,
    make_references,
    measure,
    summarise,
)

samples = st.lists(st.floats(0, 1), min_size=1, max_size=40)
counts = st.lists(st.integers(0, 50), min_size=5, max_size=5).filter(any)


def unit(random: np.random.Generator, rows: int) -> np.ndarray:
    vectors = random.normal(size=(rows, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@given(counts, counts)
def test_jensen_shannon_is_scipys_distance(left: list[int], right: list[int]) -> None:
    p = np.array(left) / sum(left)
    q = np.array(right) / sum(right)
    assert jensen_shannon(p, np.array([q, p])) == pytest.approx(
        [jensenshannon(p, q, base=2), 0], abs=1e-6
    )


@given(samples, samples)
def test_kolmogorov_smirnov_is_scipys(left: list[float], right: list[float]) -> None:
    points, rows = np.unique(right, return_counts=True)
    below = np.concatenate([[0], np.cumsum(rows)])[None] / len(right)
    [ours] = kolmogorov_smirnov(np.sort(left), points, below=below)
    assert ours == pytest.approx(ks_2samp(left, right, method="asymp").statistic, abs=1e-9)


def test_the_feature_distance_approximates_the_kernel_distance() -> None:
    random = np.random.default_rng(3)
    left = unit(random, 300)
    right = unit(random, 300) * np.float32(0.2) + np.float32(0.2)
    projection = draw_projection(np.concatenate([left, right]), seed=1)
    width = 1 / np.std(projection)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean(np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * width**2))))

    exact = kernel(left, left) + kernel(right, right) - 2 * kernel(left, right)
    features = [
        fourier_features(part, projection=projection).mean(axis=0) for part in (left, right)
    ]
    assert np.sum((features[0] - features[1]) ** 2) == pytest.approx(exact, rel=0.25)


def test_a_window_equal_to_its_reference_is_at_distance_zero() -> None:
    answers = make_answers(np.random.default_rng(1), 200)
    measured = dict(zip(STATISTICS, against(answers, answers, weight=np.ones(200)), strict=True))
    assert [
        measured[name] for name in ("label_shares", "embeddings", "confidence")
    ] == pytest.approx([0, 0, 0], abs=1e-5)
    assert measured["low_confidence"] == np.mean(answers.confidence < 0.5)
    assert measured["novelty_p90"] == pytest.approx(np.quantile(answers.novelty, 0.9))


def test_a_weight_is_worth_as_many_rows() -> None:
    random = np.random.default_rng(2)
    answers = make_answers(random, 100)
    window = make_answers(random, 50)
    weight = random.integers(1, 5, 100)
    repeated = answers.take(np.repeat(np.arange(100), weight))
    weighted = against(window, answers, weight=weight)
    assert against(window, repeated, weight=np.ones(len(repeated))) == pytest.approx(
        weighted, abs=1e-5
    )


def test_a_reference_of_chosen_groups_is_that_of_their_answers_alone() -> None:
    random = np.random.default_rng(4)
    answers = make_answers(random, 120)
    window = make_answers(random, 50)
    group = np.repeat([0, 1, 2], 40)
    weight = np.ones(120)
    chosen = np.array([[True, False, True], [False, True, False]])
    both = make_references(answers, weight=weight, group=group, chosen=chosen, labels=4)
    measured = measure(summarise(window, labels=4), references=both)
    for row, choice in zip(measured, chosen, strict=True):
        members = np.flatnonzero(choice[group])
        assert row == pytest.approx(
            against(window, answers.take(members), weight=weight[members]), abs=1e-5
        )


def against(window: WindowSample, answers: WindowSample, *, weight: np.ndarray) -> np.ndarray:
    """The six statistics of a window against one reference of all the answers."""
    everything = {"group": np.zeros(len(answers), int), "chosen": np.array([[True]])}
    references = make_references(answers, weight=weight, labels=4, **everything)
    return measure(summarise(window, labels=4), references=references)[0]


def make_answers(random: np.random.Generator, rows: int) -> WindowSample:
    return WindowSample(
        random.integers(0, 4, rows),
        random.random(rows),
        random.random(rows),
        random.random((rows, 256), np.float32),
    )
