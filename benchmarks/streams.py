"""Draws phrases for clients: Zipf-distributed terms of ICD-10-CM, plain or as clerks write them."""

from __future__ import annotations

import numpy as np

from pipelines.model.text import clean_phrase
from pipelines.source.icd import load_catalogue
from pipelines.source.noise import STYLES, abbreviate, recase, slip

EXPONENT = 1.1


def real_phrases(count: int, *, seed: int) -> list[str]:
    """Terms of the classification that differ once cleaned, in random order."""
    rng = np.random.default_rng(seed)
    phrases: dict[str, str] = {}
    terms = _terms()
    for place in rng.permutation(len(terms)):
        phrases.setdefault(clean_phrase(terms[place]), terms[place])
        if len(phrases) == count:
            return list(phrases.values())
    raise ValueError(f"{count} terms were requested, but there are {len(phrases)}")


def noisy_phrases(count: int, *, seed: int) -> list[str]:
    """Phrases that differ once cleaned, as clerks write them.

    Each is a random term in the abbreviations of a random desk; half have a typing slip.
    """
    rng = np.random.default_rng(seed)
    phrases: dict[str, str] = {}
    terms = _terms()
    while len(phrases) < count:
        term = terms[int(rng.integers(len(terms)))]
        phrase = abbreviate(term, STYLES[int(rng.integers(len(STYLES)))])
        if rng.random() < 0.5:
            phrase = slip(phrase, rng)
        phrase = recase(phrase, int(rng.integers(3)))
        phrases.setdefault(clean_phrase(phrase), phrase)
    return list(phrases.values())


def zipf(phrases: list[str], *, length: int, seed: int) -> list[str]:
    """Draw a stream in which the phrase of rank k (from 1) has a probability ~ k ** -1.1."""
    weights = np.arange(1, len(phrases) + 1) ** -EXPONENT
    places = np.random.default_rng(seed).choice(
        len(phrases), size=length, p=weights / weights.sum()
    )
    return [phrases[place] for place in places]


def _terms() -> list[str]:
    catalogue = load_catalogue()
    return [
        str(base) + str(ending)
        for base, ending in zip(catalogue.base, catalogue.ending, strict=True)
    ]
