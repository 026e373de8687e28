"""ICD-10-CM terms and their chapters: fixed data, split by a hash of the term."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import simple_icd_10_cm as icd

from pipelines.model.embedder import Embed
from pipelines.model.text import clean_phrase
from pipelines.model.training import TrainingRows

CHAPTERS = {
    "2": "neoplasms",
    "9": "circulatory",
    "10": "respiratory",
    "11": "digestive",
    "13": "musculoskeletal",
    "19": "injury",
}
MAX_WORDS = 8
TRAINING_TERMS = 3000
TEST_TERMS = 1000


@dataclass(frozen=True)
class Split:
    """(cleaned, label) pairs; no phrase is in both."""

    training: list[tuple[str, str]]
    test: list[tuple[str, str]]


def split_terms() -> Split:
    """3,000 terms of six chapters to train on, 1,000 others to test, the same at every call."""
    ranked = sorted(_terms().items(), key=lambda pair: zlib.crc32(pair[0].encode()))
    return Split(ranked[:TRAINING_TERMS], ranked[TRAINING_TERMS : TRAINING_TERMS + TEST_TERMS])


def _terms() -> dict[str, str]:
    terms: dict[str, str] = {}
    for code in filter(icd.is_category_or_subcategory, icd.get_all_codes(with_dots=True)):
        chapter = CHAPTERS.get(icd.get_ancestors(code)[-1])
        description = icd.get_description(code)
        if chapter and len(description.split()) <= MAX_WORDS:
            terms.setdefault(clean_phrase(description), chapter)
    return terms


def as_training_rows(pairs: list[tuple[str, str]], embed: Embed) -> TrainingRows:
    """Each pair one row; a tenth is the validation slice."""
    cleaned = [phrase for phrase, _ in pairs]
    slice_ = np.array([zlib.crc32(phrase[::-1].encode()) % 10 == 0 for phrase in cleaned])
    return TrainingRows(
        np.array(cleaned, dtype=object),
        np.array([label for _, label in pairs]),
        np.ones(len(pairs)),
        embed(cleaned),
        slice_,
    )
