"""Six numbers that tell one window of answers from the past. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STATISTICS = ("label_shares", "embeddings", "confidence", "low_confidence", "novelty_mean", "novelty_p90")
FEATURES = 256
LOW_CONFIDENCE = 0.5


@dataclass(frozen=True)
class Answers:
    """Answers as numbers, one row each, in any order.

    `label` (n,) int codes of the head's labels; `confidence` and `novelty` (n,) float;
    `features` (n, 256) float32: random Fourier features of the embedding.
    """

    label: np.ndarray
    confidence: np.ndarray
    novelty: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: np.ndarray) -> Answers:
        return Answers(self.label[index], self.confidence[index], self.novelty[index], self.features[index])


@dataclass(frozen=True)
class Reference:
    """What a window is held against.

    `shares` (labels,) of rows, `centre` (256,) mean features, `confidence` (n,) sorted, `below` (n,) share of rows up to each.
    """

    shares: np.ndarray
    centre: np.ndarray
    confidence: np.ndarray
    below: np.ndarray


def make_reference(answers: Answers, *, weight: np.ndarray, labels: int) -> Reference:
    """`weight` (n,) is the number of rows that each answer stands for."""
    share = weight / weight.sum()
    order = np.argsort(answers.confidence, kind="stable")
    shares = np.bincount(answers.label, weights=share, minlength=labels)
    return Reference(shares, share.astype(np.float32) @ answers.features, answers.confidence[order], np.cumsum(share[order]))


def measure(window: Answers, *, reference: Reference) -> np.ndarray:
    """Return the six, in the order of STATISTICS: larger the more the window differs, or the less the head knows its phrases."""
    shares = np.bincount(window.label, minlength=len(reference.shares)) / len(window)
    return np.array([
        jensen_shannon(shares, reference.shares),
        np.linalg.norm(window.features.mean(axis=0) - reference.centre),
        kolmogorov_smirnov(np.sort(window.confidence), reference.confidence, below=reference.below),
        np.mean(window.confidence < LOW_CONFIDENCE),
        np.mean(window.novelty),
        np.quantile(window.novelty, 0.9),
    ])  # fmt: skip


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Return the Jensen-Shannon distance (base 2, 0 to 1) of two distributions over the same labels."""
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    present = p > 0
    return float(np.sum(p[present] * np.log2(p[present] / q[present])))


def kolmogorov_smirnov(sample: np.ndarray, values: np.ndarray, *, below: np.ndarray) -> float:
    """Return the largest distance between two distributions: a sorted sample, and sorted values with the share up to each."""
    points = np.concatenate([sample, values])
    of_sample = np.searchsorted(sample, points, side="right") / len(sample)
    of_values = np.concatenate([[0.0], below])[np.searchsorted(values, points, side="right")]
    return float(np.max(np.abs(of_sample - of_values)))


def fourier_features(vectors: np.ndarray, *, projection: np.ndarray) -> np.ndarray:
    """Return (n, 256) float32 whose mean's distance approximates the Gaussian-kernel MMD (Rahimi and Recht 2007)."""
    angles = vectors @ projection
    return (np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * np.sqrt(2 / FEATURES)).astype(np.float32)


def draw_projection(vectors: np.ndarray, *, seed: int) -> np.ndarray:
    """Draw a (dimensions, 128) projection whose bandwidth is the median distance of (at most 500 of) the vectors."""
    random = np.random.default_rng(seed)
    sample = vectors[random.permutation(len(vectors))[:500]]
    squares = np.sum(sample**2, axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * sample @ sample.T, 0))
    width = float(np.median(distances[np.triu_indices(len(sample), 1)])) if len(sample) > 1 else 1.0
    return (random.normal(size=(vectors.shape[1], FEATURES // 2)) / max(width, 1e-6)).astype(np.float32)
