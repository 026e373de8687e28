"""Shares of words in a number that a phrase gets: Shapley values, exact or by few phrases.

The Shapley value of a word (Lundberg and Lee, 2017) is the mean, over the numbers of other words
that are there, of what the word adds. Few phrases tell what it adds to nothing, to one other word,
and to all others; between them the mean is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
PAIRS_UP_TO = 6
"""Words of a phrase whose pairs are looked at: 29 phrases instead of 14."""


def occluded(words: Sequence[str]) -> list[str]:
    """Return the phrase, nothing, each word alone, the phrase without each, and perhaps pairs."""
    without = [" ".join([*words[:place], *words[place + 1 :]]) for place in range(len(words))]
    pairs = [f"{first} {second}" for first, second in combinations(words, 2)]
    listed = pairs if len(words) <= PAIRS_UP_TO else []
    return [" ".join(words), "", *words, *without, *listed]


def occlusion_shares(values: Float64, *, words: int) -> tuple[Float64, Float64]:
    """Return the values of nothing, (k,), and the share of each word, (words, k).

    `values`, (n, k), are those of `occluded`. The shares sum to the whole, and are exact for up to
    three words.
    """
    whole = values[0]
    nothing = values[1]
    alone = values[2 : 2 + words]
    last = whole - values[2 + words : 2 + 2 * words]
    if words == 1:
        shares = last
    elif words <= PAIRS_UP_TO:
        second = _added_to_one(alone, values[2 + 2 * words :])
        shares = (alone - nothing + (words - 1) * (second + last) / 2) / words
    else:
        shares = (alone - nothing + last) / 2
    return nothing, _completed(shares, whole - nothing)


def _added_to_one(alone: Float64, pairs: Float64) -> Float64:
    """Return what each word adds to one other word, on average: (words, k)."""
    added = np.zeros_like(alone)
    for (first, second), value in zip(combinations(range(len(alone)), 2), pairs, strict=True):
        added[first] += value - alone[second]
        added[second] += value - alone[first]
    mean: Float64 = added / (len(alone) - 1)
    return mean


def _completed(shares: Float64, whole: Float64) -> Float64:
    """Return shares that sum to the whole: what is missing goes to each by its size."""
    missing = whole - shares.sum(axis=0)
    size = np.abs(shares)
    total = size.sum(axis=0)
    weight = np.where(total > 0, size / np.where(total > 0, total, 1), 1 / len(shares))
    completed: Float64 = shares + weight * missing
    return completed


def all_phrases(words: Sequence[str]) -> list[str]:
    """Return the 2^n phrases of some of the words; bit i of a place says whether word i is in."""
    return [
        " ".join(word for place, word in enumerate(words) if chosen >> place & 1)
        for chosen in range(2 ** len(words))
    ]


def exact_shares(values: Float64, *, words: int) -> Float64:
    """Return the Shapley value of each word, (words, k). `values` are those of `all_phrases`."""
    chosen = np.arange(len(values))
    sizes = np.bitwise_count(chosen).astype(int)
    weights = np.array([1 / (words * comb(words - 1, size)) for size in range(words)])
    shares = [
        weights[sizes[without]] @ (values[without | 1 << place] - values[without])
        for place in range(words)
        for without in [chosen[chosen >> place & 1 == 0]]
    ]
    return np.stack(shares)
