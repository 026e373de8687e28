"""Aggregation bias: would one model per region answer better than one model for all of them?

Both are fitted by ridge regression on the embeddings of the same rows and answer phrases that
neither has seen, in three folds by phrase. The sums of a region's rows make both: those of all
regions add up to the common model, so that the comparison costs about a second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.bias.clustered import Estimate, mean
from pipelines.bias.measures import DOUBT, EVERYTHING, Measure
from pipelines.bias.rows import BiasRows
from pipelines.model.arrays import AnyArray, Float32, Float64, Int64

KIND = "aggregation"
FOLDS = 3
RIDGE = 1.0
"""Added to the diagonal of the embeddings' products; embeddings have length 1."""
MAX_PHRASES = 20_000
"""Of more phrases, so many are drawn by a hash of the phrase."""
CHUNK = 4096
Vectors = Callable[[list[str]], Float32]


@dataclass(frozen=True)
class RegionPairs:
    """Distinct (phrase, label, region) and how many rows each has.

    `vectors` (n, d) are embeddings; `labels` (n,) and `regions` (n,) are numbers.
    """

    phrases: Int64
    vectors: Float32
    labels: Int64
    regions: Int64
    rows: Int64
    folds: Int64


def aggregation(rows: BiasRows, embed: Vectors, *, min_rows: int) -> list[Measure]:
    """Measure the accuracy that one model per region would gain, on all rows and per region."""
    regions = rows.groups["region"]
    names, counts = np.unique(regions, return_counts=True)
    large = [str(name) for name, count in zip(names, counts, strict=True) if count >= min_rows]
    if len(large) < 2:
        missing = f"{len(large)} regions with {min_rows:,} rows, at least 2 wanted"
        return [Measure(KIND, EVERYTHING, "regions", len(regions), missing=missing)]
    pairs = region_pairs(rows, large, embed)
    gained = _right(pairs, common=False).astype(float) - _right(pairs, common=True)
    return list(_measures(pairs, gained, large, min_rows=min_rows))


def _measures(
    pairs: RegionPairs, gained: Float64, regions: Sequence[str], *, min_rows: int
) -> list[Measure]:
    doubt = DOUBT / (len(regions) + 1)
    groups = [(EVERYTHING, "regions", np.ones(len(gained), bool))]
    groups += [("region", name, pairs.regions == number) for number, name in enumerate(regions)]
    measures = []
    for dimension, name, chosen in groups:
        count = int(pairs.rows[chosen].sum())
        if count < min_rows:  # few of its phrases were drawn
            missing = f"{count:,} rows were drawn, at least {min_rows:,} wanted"
            measures.append(Measure(KIND, dimension, name, count, missing=missing))
            continue
        around = _of_rows(gained[chosen], pairs.phrases[chosen], pairs.rows[chosen], doubt)
        values = (around.value, around.low, around.high)
        measures.append(Measure(KIND, dimension, name, count, *values))
    return measures


def _of_rows(gained: Float64, phrases: Int64, rows: Int64, doubt: float) -> Estimate:
    return mean(np.repeat(gained, rows), np.repeat(phrases, rows), doubt=doubt)


def region_pairs(rows: BiasRows, regions: Sequence[str], embed: Vectors) -> RegionPairs:
    """Return the pairs of the named regions, of at most MAX_PHRASES phrases."""
    hashes = np.array([_hash(phrase) for phrase in rows.texts], np.uint64)
    drawn = np.zeros(len(hashes), bool)
    drawn[np.argsort(hashes, kind="stable")[:MAX_PHRASES]] = True
    chosen = np.isin(rows.groups["region"].astype(str), regions) & drawn[rows.phrases]
    _, labels = np.unique(rows.labels[chosen], return_inverse=True)
    of_row = np.searchsorted(np.array(regions), rows.groups["region"][chosen].astype(str))
    triples, counts = np.unique(
        np.stack([rows.phrases[chosen], labels, of_row]), axis=1, return_counts=True
    )
    phrases, places = np.unique(triples[0], return_inverse=True)
    return RegionPairs(
        phrases=triples[0],
        vectors=embed(rows.texts[phrases].tolist())[places],
        labels=triples[1],
        regions=triples[2],
        rows=counts,
        folds=(hashes[triples[0]] % FOLDS).astype(np.int64),
    )


def _hash(phrase: str) -> int:
    return int.from_bytes(hashlib.blake2b(phrase.encode(), digest_size=8).digest(), "big")


def _right(pairs: RegionPairs, *, common: bool) -> AnyArray:
    """Mark the pairs that are answered rightly by a model that has not seen their phrase."""
    right = np.zeros(len(pairs.labels), bool)
    parts = np.zeros(len(pairs.labels), np.int64) if common else pairs.regions
    for part in np.unique(parts):
        of_part = parts == part
        products, targets = _sums(pairs, np.flatnonzero(of_part))
        for fold in range(FOLDS):
            others = [number for number in range(FOLDS) if number != fold]
            weights = np.linalg.solve(
                products[others].sum(axis=0) + RIDGE * np.eye(products.shape[1]),
                targets[others].sum(axis=0),
            )
            held_out = np.flatnonzero(of_part & (pairs.folds == fold))
            right[held_out] = _answers(pairs.vectors[held_out], weights) == pairs.labels[held_out]
    return right


def _sums(pairs: RegionPairs, members: Int64) -> tuple[Float64, Float64]:
    """Return per fold the products of the embeddings (d, d), and with the labels (d, labels)."""
    size = pairs.vectors.shape[1]
    labels = int(pairs.labels.max()) + 1
    products = np.zeros((FOLDS, size, size))
    targets = np.zeros((FOLDS, labels, size))
    for fold in range(FOLDS):
        own = members[pairs.folds[members] == fold]
        weights = np.log2(1 + pairs.rows[own])
        vectors = pairs.vectors[own].astype(np.float64)
        products[fold] = (vectors * weights[:, None]).T @ vectors
        np.add.at(targets[fold], pairs.labels[own], vectors * weights[:, None])
    return products, targets.transpose(0, 2, 1)


def _answers(vectors: Float32, weights: Float64) -> Int64:
    answers = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), CHUNK):
        part = slice(start, start + CHUNK)
        answers[part] = (vectors[part] @ weights).argmax(axis=1)
    return answers
