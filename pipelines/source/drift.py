"""What changes for good when the demo's traffic drifts: fixed, so that all traffics drift alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np

from pipelines.source.icd import Catalogue
from pipelines.source.practice import PHASE_WEIGHT, REGION_SHARE, Practice, Scale, load_practice

SHARES = (0.14, 0.06, 0.12)
"""Shares of the traffic: rare labels; terms never used before; local names of common conditions."""
RARE_BLOCKS = 24
NEW_CONCEPTS = 60
LOCAL_NAMES = 40
MOVED_CATEGORIES = 4
_SHARE_OF_RARE = (1.5e-4, 9e-4)
_DRIFT_SEED = 20260102
_SMALL_WORDS = frozenset(
    (
        *("a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "to"),
        *("nec", "nos", "not", "other", "the", "unspecified", "with", "without"),
    )
)


@dataclass(frozen=True, eq=False)
class Drift:
    """The drifted part of the traffic.

    Attributes
    ----------
    rare_mix : (blocks,) shares within the traffic moved to rare labels
    new_terms, new_ladder : never-used terms, and the cumulative shares to draw them by
    local_names, local_terms, local_ladder : what the desks now write for the most common conditions
    code : (terms of the catalogue,) the right code from now on
    """

    rare_mix: np.ndarray
    new_terms: np.ndarray
    new_ladder: np.ndarray
    local_names: tuple[str, ...]
    local_terms: np.ndarray
    local_ladder: np.ndarray
    code: np.ndarray


@cache
def load_drift(scale: Scale) -> Drift:
    """Draw the drift; the same one at every call."""
    practice = load_practice(scale)
    rng = np.random.default_rng(_DRIFT_SEED)
    new_terms = _never_used(practice, rng)
    names, named_terms = _local_names(practice)
    return Drift(
        rare_mix=_rare_mix(practice, rng),
        new_terms=new_terms,
        new_ladder=_zipf_ladder(len(new_terms)),
        local_names=names,
        local_terms=named_terms,
        local_ladder=_zipf_ladder(len(named_terms)),
        code=_new_rule(practice, rng),
    )


def _overall_mix(practice: Practice) -> np.ndarray:
    mix: np.ndarray = np.array(REGION_SHARE) @ practice.mix
    return mix


def _rare_mix(practice: Practice, rng: np.random.Generator) -> np.ndarray:
    share = _overall_mix(practice)
    rare = np.flatnonzero((share > _SHARE_OF_RARE[0]) & (share < _SHARE_OF_RARE[1]))
    mix = np.zeros(len(share))
    mix[rng.choice(rare, RARE_BLOCKS, replace=False)] = 1 / RARE_BLOCKS
    return mix


def _never_used(practice: Practice, rng: np.random.Generator) -> np.ndarray:
    """Return one term each of concepts of common blocks that did not occur in five years."""
    catalogue = practice.catalogue
    fresh = practice.concept_weight[catalogue.concept] == 0
    common = _overall_mix(practice)[catalogue.block] > 0.004
    _, first = np.unique(catalogue.concept, return_index=True)
    candidates = first[(fresh & common)[first]]
    return rng.choice(candidates, NEW_CONCEPTS, replace=False)


def _local_names(practice: Practice) -> tuple[tuple[str, ...], np.ndarray]:
    """Return initials of the most common term of each of the largest blocks, and these terms.

    "Acute bronchitis due to rhinovirus" becomes "ABDR".
    """
    names: dict[str, int] = {}
    for block in np.argsort(-_overall_mix(practice), kind="stable")[: 3 * LOCAL_NAMES]:
        term = _most_common_term(practice, int(block))
        name = _initials(practice.catalogue.base[term])
        if len(name) >= 3 and len(names) < LOCAL_NAMES:
            names.setdefault(name, term)
    return tuple(names), np.array(list(names.values()))


def _most_common_term(practice: Practice, block: int) -> int:
    catalogue = practice.catalogue
    terms = practice.terms[catalogue.block[practice.terms] == block]
    weight = (
        practice.concept_weight[catalogue.concept[terms]] * PHASE_WEIGHT[catalogue.phase[terms]]
    )
    return int(terms[np.argmax(weight)])


def _initials(phrase: str) -> str:
    words = [word for word in re.findall(r"[A-Za-z]+", phrase) if word.lower() not in _SMALL_WORDS]
    return "".join(word[0] for word in words).upper()


def _new_rule(practice: Practice, rng: np.random.Generator) -> np.ndarray:
    """Return the right code of each term: a few common categories move to another chapter."""
    catalogue = practice.catalogue
    category = _categories(catalogue)
    moved = _common_categories(practice, category)[::7][:MOVED_CATEGORIES]
    code = catalogue.code.copy()
    for name in moved:
        members = np.flatnonzero(category == name)
        chapter = catalogue.chapter_of_block[catalogue.block[members[0]]]
        chapters = catalogue.chapter_of_block[catalogue.block[practice.terms]]
        elsewhere = practice.terms[chapters != chapter]
        common = elsewhere[_overall_mix(practice)[catalogue.block[elsewhere]] > 0.004]
        code[members] = catalogue.code[common[rng.integers(len(common))]]
    return code


def _categories(catalogue: Catalogue) -> np.ndarray:
    of_code = np.array([code.code[:3] for code in catalogue.codes])
    return np.asarray(of_code[catalogue.code])


def _common_categories(practice: Practice, category: np.ndarray) -> np.ndarray:
    """Return the categories by their share of the arrivals, the largest first."""
    catalogue = practice.catalogue
    terms = practice.terms
    within = np.diff(practice.ladder, prepend=0.0)
    first = np.flatnonzero(np.diff(catalogue.block[terms], prepend=-1))
    within[first] = practice.ladder[first] - catalogue.block[terms[first]]
    share = within * _overall_mix(practice)[catalogue.block[terms]]
    names, number = np.unique(category[terms], return_inverse=True)
    by_share: np.ndarray = names[np.argsort(-np.bincount(number, share), kind="stable")]
    return by_share


def _zipf_ladder(steps: int) -> np.ndarray:
    weight = 1 / (np.arange(steps) + 4.0)
    return np.cumsum(weight / weight.sum())[:-1]
