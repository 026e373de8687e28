"""The real part of the demo: ICD-10-CM terms of up to eight words.

Each has a code, a block, a chapter and an encounter phase.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

MAX_WORDS = 8
PHASES = ("none", "initial", "subsequent", "sequela")
_ENDING = re.compile(r", (initial encounter|subsequent encounter|sequela)(?: for .*)?$")

CHAPTERS = (
    *("infections", "neoplasms", "blood", "endocrine", "mental", "nervous", "eye", "ear"),
    *("circulatory", "respiratory", "digestive", "skin", "musculoskeletal", "genitourinary"),
    *("pregnancy", "perinatal", "congenital", "symptoms", "injury", "external causes"),
    *("health factors", "special purposes"),
)
"""Our short names of the 22 chapters, in the order of their numbers."""


@dataclass(frozen=True)
class Code:
    """One ICD-10-CM code and where it stands."""

    code: str
    title: str
    block: str
    block_title: str
    chapter: str


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All terms as parallel arrays of equal length, in the order of the classification.

    Attributes
    ----------
    codes, blocks : all codes, and the names of all blocks
    chapter_of_block : (blocks,) indices into CHAPTERS
    base : (terms,) the phrase without its encounter ending
    ending : (terms,) the ending that was cut off: "" or ", initial encounter ..."
    phase, code, block : (terms,) indices into PHASES, `codes`, `blocks`
    concept : (terms,) number of the pair (block, base)
    """

    codes: Sequence[Code]
    blocks: Sequence[str]
    chapter_of_block: np.ndarray
    base: np.ndarray
    ending: np.ndarray
    phase: np.ndarray
    code: np.ndarray
    block: np.ndarray
    concept: np.ndarray

    def __len__(self) -> int:
        return len(self.base)


@cache
def load_catalogue() -> Catalogue:
    """Read the classification from the package simple-icd-10-cm (0.8 s, once per process)."""
    codes = tuple(_read_codes())
    blocks = tuple(dict.fromkeys(code.block for code in codes))
    chapter_of_block = {code.block: CHAPTERS.index(code.chapter) for code in codes}
    rows = [
        (number, *_split_ending(term)) for number, code in enumerate(codes) for term in _terms(code)
    ]
    block_number = {block: number for number, block in enumerate(blocks)}
    code, base, ending, phase = (list(column) for column in zip(*rows, strict=True))
    block = np.array([block_number[codes[number].block] for number in code])
    concepts: dict[tuple[int, str], int] = {}
    concept = [
        concepts.setdefault(key, len(concepts)) for key in zip(block.tolist(), base, strict=True)
    ]
    return Catalogue(
        codes=codes,
        blocks=blocks,
        chapter_of_block=np.array([chapter_of_block[name] for name in blocks]),
        base=np.array(base, dtype=object),
        ending=np.array(ending, dtype=object),
        phase=np.array(phase),
        code=np.array(code),
        block=block,
        concept=np.array(concept),
    )


def _read_codes() -> Iterator[Code]:
    import simple_icd_10_cm as icd

    # B10 comes twice: as a block and as a category
    for code in dict.fromkeys(icd.get_all_codes(with_dots=True)):
        if icd.is_category_or_subcategory(code):
            ancestors = icd.get_ancestors(code)
            block = [ancestor for ancestor in ancestors if icd.is_block(ancestor)][-1]
            yield Code(
                code=code,
                title=_folded(icd.get_description(code)),
                block=block,
                block_title=_folded(icd.get_description(block)),
                chapter=CHAPTERS[int(ancestors[-1]) - 1],
            )


def _terms(code: Code) -> list[str]:
    import simple_icd_10_cm as icd

    terms = dict.fromkeys([code.title, *map(_folded, icd.get_inclusion_term(code.code))])
    return [term for term in terms if len(term.split()) <= MAX_WORDS]


def _folded(text: str) -> str:
    """Fold white space: some titles contain tabs."""
    return " ".join(text.split())


def _split_ending(term: str) -> tuple[str, str, int]:
    """Split off the encounter ending and its phase.

    "Sprain of jaw, sequela" becomes ("Sprain of jaw", ", sequela", 3).
    """
    match = _ENDING.search(term)
    if match is None:
        return term, "", 0
    return term[: match.start()], match.group(0), PHASES.index(match.group(1).split()[0])
