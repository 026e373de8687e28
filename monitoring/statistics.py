"""Six numbers that tell one window of answers from the past. Pure numpy and scipy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import rel_entr

STATISTICS = (
    "label_shares",
    "embeddings",
    "confidence",
    "low_confidence",
    "novelty_mean",
    "novelty_p90",
)
FEATURES = 256
LOW_CONFIDENCE = 0.5


@dataclass(frozen=True)
class WindowSample:
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

    def take(self, index: np.ndarray) -> WindowSample:
        return WindowSample(
            self.label[index], self.confidence[index], self.novelty[index], self.features[index]
        )


@dataclass(frozen=True)
class References:
    """What windows are held against, r of them.

    `shares` (r, labels) of rows, `centre` (r, 256) mean features, `points` (p,) the confidences that occur, sorted,
    `below` (r, p + 1) share of rows with a confidence before each of them; 1 at the end.
    """

    shares: np.ndarray
    centre: np.ndarray
    points: np.ndarray
    below: np.ndarray

    def __len__(self) -> int:
        return len(self.shares)

    def only(self, number: int) -> References:
        one = slice(number, number + 1)
        return References(self.shares[one], self.centre[one], self.points, self.below[one])


@dataclass(frozen=True)
class Summary:
    """What the six need of a window, whatever it is held against.

    `shares` (labels,) of rows, `centre` (256,) mean features, `confidence` (n,) sorted, `alone` (3,) the statistics without reference.
    """

    shares: np.ndarray
    centre: np.ndarray
    confidence: np.ndarray
    alone: np.ndarray


def make_references(
    answers: WindowSample, *, weight: np.ndarray, group: np.ndarray, chosen: np.ndarray, labels: int
) -> References:
    """Put references together from groups of answers.

    Parameters
    ----------
    weight : (n,) the number of rows that each answer stands for
    group : (n,) int, from 0 on
    chosen : (r, groups) bool, the groups that each reference is made of
    labels : number of label codes
    """

    def by_group(codes: np.ndarray, values: np.ndarray, width: int) -> csr_matrix:
        return csr_matrix((values, (group, codes)), shape=(chosen.shape[1], width))

    points, place = np.unique(answers.confidence, return_inverse=True)
    share = chosen / (chosen @ np.bincount(group, weight, minlength=chosen.shape[1]))[:, None]
    features = (
        by_group(np.arange(len(answers)), weight.astype(np.float32), len(answers))
        @ answers.features
    )
    below = np.cumsum(share @ by_group(place, weight, len(points)), axis=1)
    return References(
        shares=share @ by_group(answers.label, weight, labels),
        centre=share @ features,
        points=points,
        below=np.pad(below, ((0, 0), (1, 0))).astype(np.float32),
    )


def summarise(window: WindowSample, *, labels: int) -> Summary:
    """`labels` is the number of label codes."""
    low, novelty = np.mean(window.confidence < LOW_CONFIDENCE), window.novelty
    alone = np.array([low, np.mean(novelty), np.quantile(novelty, 0.9)])
    shares = np.bincount(window.label, minlength=labels) / len(window)
    return Summary(shares, window.features.mean(axis=0), np.sort(window.confidence), alone)


def measure(window: Summary, *, references: References) -> np.ndarray:
    """Return (r, 6) in the order of STATISTICS: larger the more the window differs, or the less the head knows its phrases."""
    moved = (
        jensen_shannon(window.shares, references.shares),
        np.linalg.norm(window.centre - references.centre, axis=1),
        kolmogorov_smirnov(window.confidence, references.points, below=references.below),
    )
    return np.column_stack([*moved, np.tile(window.alone, (len(references), 1))])


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon distance (base 2, 0 to 1) of `p` (labels,) from each of `q` (r, labels): (r,)."""
    middle = (p + q) / 2
    divergence = np.sum(rel_entr(p, middle) + rel_entr(q, middle), axis=1) / (2 * np.log(2))
    return np.sqrt(np.maximum(divergence, 0.0))


def kolmogorov_smirnov(sample: np.ndarray, points: np.ndarray, *, below: np.ndarray) -> np.ndarray:
    """Return the largest distance of a sorted sample from each of r distributions: (r,).

    `below` (r, p + 1): share before each of the sorted `points`, 1 at the end. The largest distance lies at a step of the sample:
    at it where the sample is above, just before it where it is below.
    """
    rank = np.arange(len(sample) + 1) / len(sample)
    above = rank[1:] - below[:, np.searchsorted(points, sample, side="right")]
    under = below[:, np.searchsorted(points, sample, side="left")] - rank[:-1]
    return np.maximum(above.max(axis=1), under.max(axis=1))


def fourier_features(vectors: np.ndarray, *, projection: np.ndarray) -> np.ndarray:
    """Return (n, 256) float32 whose mean's distance approximates the Gaussian-kernel MMD (Rahimi and Recht 2007)."""
    angles = vectors @ projection
    return (
        np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * np.sqrt(2 / FEATURES)
    ).astype(np.float32)


def draw_projection(vectors: np.ndarray, *, seed: int) -> np.ndarray:
    """Draw a (dimensions, 128) projection whose bandwidth is the median distance of (at most 500 of) the vectors."""
    random = np.random.default_rng(seed)
    sample = vectors[random.permutation(len(vectors))[:500]]
    squares = np.sum(sample**2, axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * sample @ sample.T, 0))
    width = float(np.median(distances[np.triu_indices(len(sample), 1)])) if len(sample) > 1 else 1.0
    return (random.normal(size=(vectors.shape[1], FEATURES // 2)) / max(width, 1e-6)).astype(
        np.float32
    )
