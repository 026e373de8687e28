"""The hospital group that the demo simulates: what it treats, how its desks write, how it codes.

The practice is fixed: a seed of its own draws it, once. The seeds of a source or of a traffic draw
arrivals only, so that any traffic continues any source.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Literal

import numpy as np

from pipelines.source.icd import CHAPTERS, Catalogue, load_catalogue

Scale = Literal["small", "default", "large"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The end of the five years: the demo's now."""
DAYS = 1826
RULE_CHANGED_DAY = DAYS - 1095
"""Before this day some categories were recorded in another chapter."""

ROWS = {"small": 20_000, "default": 240_000, "large": 1_050_000}
BREADTH = {"small": 0.35, "default": 1.0, "large": 1.0}
"""Share of the vocabulary that a practice of this size uses."""
REGIONS = ("north", "south")
REGION_SHARE = (0.6, 0.4)
PHASE_WEIGHT = np.array([0.08, 0.6, 0.3, 0.12])
"""How often a condition is coded with each of PHASES, if the classification has a term for it."""
_PRACTICE_SEED = 20260101

_CHAPTER_WEIGHTS = (5, 8, 3, 8, 7, 5, 4, 2.5, 12, 8, 8, 4, 9, 6, 5, 2.5, 2.5, 9, 22, 9, 8, 0.004)
_CHAPTER_WEIGHT = dict(zip(CHAPTERS, _CHAPTER_WEIGHTS, strict=True))


@dataclass(frozen=True)
class Clerk:
    """A desk that writes phrases.

    Attributes
    ----------
    region : index into REGIONS
    share : share of the region's rows
    style : index into `noise.STYLES`
    case : 0 as in the book, 1 small letters, 2 capitals
    slips : share of the phrases with a typing slip
    """

    name: str
    region: int
    share: float
    style: int
    case: int
    slips: float


CLERKS = (
    Clerk("n-book", region=0, share=0.55, style=0, case=0, slips=0.008),
    Clerk("n-small", region=0, share=0.25, style=0, case=1, slips=0.015),
    Clerk("n-short", region=0, share=0.20, style=1, case=1, slips=0.02),
    Clerk("s-book", region=1, share=0.45, style=0, case=0, slips=0.008),
    Clerk("s-short", region=1, share=0.35, style=1, case=0, slips=0.015),
    Clerk("s-hurry", region=1, share=0.20, style=2, case=2, slips=0.03),
)


@dataclass(frozen=True, eq=False)
class Practice:
    """The fixed part of the demo: arrays over blocks, and over the used terms sorted by block.

    Attributes
    ----------
    mix : (regions, blocks) shares, rows sum to 1
    terms : (used,) indices into the catalogue, grouped by block
    ladder : (used,) block number + cumulative share within the block, in (block, block + 1]
    old_code : (terms of the catalogue,) the code of a term before the rule changed
    concept_weight : (concepts,) how often a concept occurs; 0 for those that never do
    """

    catalogue: Catalogue
    scale: Scale
    mix: np.ndarray
    terms: np.ndarray
    ladder: np.ndarray
    old_code: np.ndarray
    concept_weight: np.ndarray

    @property
    def rows_per_day(self) -> float:
        """Mean rows per day at the end of the five years; a third of it at their beginning."""
        return ROWS[self.scale] / DAYS * 1.5


@cache
def load_practice(scale: Scale) -> Practice:
    """Draw the practice; the same one at every call."""
    catalogue = load_catalogue()
    rng = np.random.default_rng(_PRACTICE_SEED)
    mix = _block_mix(catalogue, rng)
    concept_weight = _concept_weights(catalogue, rng, BREADTH[scale])
    terms, ladder = climb(catalogue, concept_weight)
    old_code = _other_codes(catalogue, np.random.default_rng(_PRACTICE_SEED + 1), share=0.12)
    return Practice(catalogue, scale, mix, terms, ladder, old_code, concept_weight)


def _block_mix(catalogue: Catalogue, rng: np.random.Generator) -> np.ndarray:
    """Return (regions, blocks) shares.

    They are lognormal within a chapter, larger for larger blocks, and differ between regions.
    """
    chapter = catalogue.chapter_of_block
    size = np.bincount(catalogue.block, minlength=len(catalogue.blocks))
    weight = rng.lognormal(0.0, 1.9, len(size)) * size**0.7
    weight /= np.bincount(chapter, weight)[chapter]
    weight *= np.array([_CHAPTER_WEIGHT[CHAPTERS[number]] for number in chapter])
    regional = weight * np.exp(0.5 * rng.standard_normal((len(REGIONS), len(size))))
    mix: np.ndarray = regional / regional.sum(axis=1, keepdims=True)
    return mix


def _concept_weights(catalogue: Catalogue, rng: np.random.Generator, breadth: float) -> np.ndarray:
    """Return (concepts,) weights: Zipf within each block over the concepts that occur.

    Short phrases are more frequent; concepts that never occur have weight 0.
    """
    block_of = np.full(catalogue.concept.max() + 1, -1)
    block_of[catalogue.concept] = catalogue.block
    words = np.zeros(len(block_of))
    words[catalogue.concept] = [len(base.split()) for base in catalogue.base]
    appeal = rng.gumbel(size=len(block_of)) - 0.25 * words
    weight = np.zeros(len(block_of))
    for block in range(len(catalogue.blocks)):
        concepts = np.flatnonzero(block_of == block)
        concepts = concepts[np.argsort(-appeal[concepts], kind="stable")]
        met = concepts[: max(3, round(breadth * 1.6 * len(concepts) ** 0.8))]
        weight[met] = 1 / (np.arange(len(met)) + 1.0) ** 1.4
    return weight


def climb(catalogue: Catalogue, concept_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the terms of the concepts that occur, and a ladder to draw them by.

    For uniform u in [0, 1), `searchsorted(ladder, block + u)` draws a term of the block.
    """
    weight = concept_weight[catalogue.concept] * PHASE_WEIGHT[catalogue.phase]
    terms = np.flatnonzero(weight)
    terms = terms[np.argsort(catalogue.block[terms], kind="stable")]
    block = catalogue.block[terms]
    share = weight[terms]
    total = np.bincount(block, share, minlength=len(catalogue.blocks))
    first = np.searchsorted(block, np.arange(len(total)))
    running = np.cumsum(share / total[block])
    ladder = running - np.concatenate([[0.0], running])[first][block] + block
    last = np.flatnonzero(np.diff(block, append=-1))
    ladder[last] = block[last] + 1.0  # whatever the rounding
    return terms, ladder


def _other_codes(catalogue: Catalogue, rng: np.random.Generator, *, share: float) -> np.ndarray:
    """Return a code per term: for a share of the categories, a code of another chapter."""
    category = np.array([code.code[:3] for code in catalogue.codes])[catalogue.code]
    names = np.unique(category)
    moved = rng.choice(names, round(share * len(names)), replace=False)
    other = catalogue.code.copy()
    for name in np.sort(moved):
        members = np.flatnonzero(category == name)
        chapter = catalogue.chapter_of_block[catalogue.block[members[0]]]
        elsewhere = catalogue.code[catalogue.chapter_of_block[catalogue.block] != chapter]
        other[members] = elsewhere[rng.integers(len(elsewhere))]
    return other
