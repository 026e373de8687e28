"""What clients ask for: Zipf-distributed phrases out of the terms of ICD-10-CM, as they are or as clerks write them."""

from __future__ import annotations

import numpy as np

from pipelines.model.text import clean_phrase
from pipelines.source.icd import load_catalogue
from pipelines.source.noise import STYLES, abbreviate, recase, slip

EXPONENT = 1.1


def real_phrases(count: int, *, seed: int) -> list[str]:
    """Different terms of the classification (different once cleaned), in random order."""
    rng, found = np.random.default_rng(seed), dict[str, str]()
    terms = _terms()
    for place in rng.permutation(len(terms)):
        found.setdefault(clean_phrase(terms[place]), terms[place])
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"{count} terms were wanted, there are {len(found)}")


def noisy_phrases(count: int, *, seed: int) -> list[str]:
    """Phrases, different once cleaned: any term in any desk's abbreviations and case, half of them with a typing slip."""
    rng, found = np.random.default_rng(seed), dict[str, str]()
    terms = _terms()
    while len(found) < count:
        phrase = abbreviate(
            terms[int(rng.integers(len(terms)))], STYLES[int(rng.integers(len(STYLES)))]
        )
        phrase = recase(slip(phrase, rng) if rng.random() < 0.5 else phrase, int(rng.integers(3)))
        found.setdefault(clean_phrase(phrase), phrase)
    return list(found.values())


def zipf(phrases: list[str], *, length: int, seed: int) -> list[str]:
    """A stream: the phrase of rank k (its place in the list, from 1) comes with a probability in proportion to k ** -1.1."""
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
