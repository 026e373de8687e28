"""Six statistics that distinguish a window of answers from the past. Pure numpy and scipy."""

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
FEATURES = 256  # random Fourier features, half cosines and half sines (docs/drift-rule.md)
LOW_CONFIDENCE = 0.5
CONFIDENCE_DIGITS = 2
"""Confidences are compared in hundredths.

A memory makes the answers of a frequent phrase equally certain, and a reference row lacks its own
label: without rounding, the whole phrase lies a ten-thousandth lower, which looks like a shift.
"""
WIDTH_SAMPLE = 500  # vectors whose pairwise distances set the width of the kernel


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
    """What windows are compared with: r references.

    `shares` (r, labels) of rows, `centre` (r, 256) mean features, `points` (p,) the distinct
    confidences in order, `below` (r, p + 1) share of rows with a confidence below each point, 1 at
    the end.
    """

    shares: np.ndarray
    centre: np.ndarray
    points: np.ndarray
    below: np.ndarray

    def __len__(self) -> int:
        return len(self.shares)

    def only(self, number: int) -> References:
        row = slice(number, number + 1)
        return References(self.shares[row], self.centre[row], self.points, self.below[row])


@dataclass(frozen=True)
class Summary:
    """What the six statistics need of a window, whatever it is compared with.

    `shares` (labels,) of rows, `centre` (256,) mean features, `confidence` (n,) rounded and sorted,
    `alone` (3,) the statistics that need no reference.
    """

    shares: np.ndarray
    centre: np.ndarray
    confidence: np.ndarray
    alone: np.ndarray


def make_references(
    answers: WindowSample, *, weight: np.ndarray, group: np.ndarray, chosen: np.ndarray, labels: int
) -> References:
    """Build references from groups of answers.

    Parameters
    ----------
    weight : (n,) the number of rows that each answer stands for
    group : (n,) int, from 0 on
    chosen : (r, groups) bool, the groups that each reference consists of
    labels : number of label codes
    """

    def by_group(codes: np.ndarray, values: np.ndarray, width: int) -> csr_matrix:
        return csr_matrix((values, (group, codes)), shape=(chosen.shape[1], width))

    rounded = np.round(answers.confidence, CONFIDENCE_DIGITS)
    points, position = np.unique(rounded, return_inverse=True)
    share = chosen / (chosen @ np.bincount(group, weight, minlength=chosen.shape[1]))[:, None]
    features = (
        by_group(np.arange(len(answers)), weight.astype(np.float32), len(answers))
        @ answers.features
    )
    below = np.cumsum(share @ by_group(position, weight, len(points)), axis=1)
    return References(
        shares=share @ by_group(answers.label, weight, labels),
        centre=share @ features,
        points=points,
        below=np.pad(below, ((0, 0), (1, 0))).astype(np.float32),
    )


def summarise(window: WindowSample, *, labels: int) -> Summary:
    """Summarise a window; `labels` is the number of label codes."""
    low_confidence = np.mean(window.confidence < LOW_CONFIDENCE)
    novelty_p90 = np.quantile(window.novelty, 0.9)
    alone = np.array([low_confidence, np.mean(window.novelty), novelty_p90])
    shares = np.bincount(window.label, minlength=labels) / len(window)
    confidence = np.sort(np.round(window.confidence, CONFIDENCE_DIGITS))
    return Summary(shares, window.features.mean(axis=0), confidence, alone)


def measure(window: Summary, *, references: References) -> np.ndarray:
    """Return (r, 6) in the order of STATISTICS.

    Values grow as the window differs more, or as the head knows less of its phrases.
    """
    moved = (
        jensen_shannon(window.shares, references.shares),
        np.linalg.norm(window.centre - references.centre, axis=1),
        kolmogorov_smirnov(window.confidence, references.points, below=references.below),
    )
    return np.column_stack([*moved, np.tile(window.alone, (len(references), 1))])


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return (r,): the Jensen-Shannon distance of `p` (labels,) from each row of `q` (r, labels).

    Base 2: 0 for equal shares, 1 for disjoint ones.
    """
    middle = (p + q) / 2
    divergence = np.sum(rel_entr(p, middle) + rel_entr(q, middle), axis=1) / (2 * np.log(2))
    return np.asarray(np.sqrt(np.maximum(divergence, 0.0)))


def kolmogorov_smirnov(sample: np.ndarray, points: np.ndarray, *, below: np.ndarray) -> np.ndarray:
    """Return (r,): the largest distance of a sorted sample from each of r distributions.

    `below` (r, p + 1) holds the share below each of the sorted `points`, 1 at the end. The largest
    distance lies at a step of the sample: at the step where the sample is above, just before it
    where the sample is below.
    """
    rank = np.arange(len(sample) + 1) / len(sample)
    above = rank[1:] - below[:, np.searchsorted(points, sample, side="right")]
    under = below[:, np.searchsorted(points, sample, side="left")] - rank[:-1]
    return np.asarray(np.maximum(above.max(axis=1), under.max(axis=1)))


def fourier_features(vectors: np.ndarray, *, projection: np.ndarray) -> np.ndarray:
    """Return (n, 256) float32 random Fourier features.

    The distance between two means of them approximates the Gaussian-kernel MMD (Rahimi and Recht
    2007).
    """
    angles = vectors @ projection
    waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(waves * np.sqrt(2 / FEATURES), dtype=np.float32)


def draw_projection(vectors: np.ndarray, *, seed: int) -> np.ndarray:
    """Draw a (dimensions, 128) projection.

    Its bandwidth is the median distance between the vectors; at most WIDTH_SAMPLE of them are used.
    """
    random = np.random.default_rng(seed)
    sample = vectors[random.permutation(len(vectors))[:WIDTH_SAMPLE]]
    squares = np.sum(sample**2, axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * sample @ sample.T, 0))
    width = float(np.median(distances[np.triu_indices(len(sample), 1)])) if len(sample) > 1 else 1.0
    directions = random.normal(size=(vectors.shape[1], FEATURES // 2))
    return (directions / max(width, 1e-6)).astype(np.float32)
