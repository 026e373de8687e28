"""How clerks write: abbreviations, typing slips, case. Each hospital has its own abbreviations."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

COMMON = {
    "with": "w/",
    "without": "w/o",
    "fracture": "fx",
    "history": "hx",
    "left": "lt",
    "right": "rt",
    "bilateral": "bilat",
    "unspecified": "unsp",
    "other": "oth",
    "initial encounter": "init enc",
    "subsequent encounter": "subs enc",
    "sequela": "seq",
    "due to": "d/t",
    "not elsewhere classified": "NEC",
    "not otherwise specified": "NOS",
    "patient": "pt",
    "diagnosis": "dx",
    "disease": "dis",
    "disorder": "d/o",
    "disorders": "d/o",
    "syndrome": "synd",
    "infection": "inf",
    "treatment": "tx",
}
"""What most desks write."""

HEAVY = COMMON | {
    "acute": "ac",
    "chronic": "chr",
    "malignant": "malig",
    "neoplasm": "neo",
    "congenital": "congen",
    "secondary": "2ry",
    "primary": "1ry",
    "and": "&",
    "specified": "spec",
    "upper": "up",
    "lower": "low",
    "pregnancy": "preg",
    "trimester": "trim",
    "hypertension": "htn",
    "hypertensive": "htn",
    "diabetes mellitus": "DM",
    "myocardial infarction": "MI",
    "pulmonary": "pulm",
    "respiratory": "resp",
    "abdominal": "abd",
    "cervical": "cerv",
    "thoracic": "thor",
    "lumbar": "lumb",
    "vertebra": "vert",
    "superficial": "superf",
    "laceration": "lac",
    "dislocation": "disloc",
    "traumatic": "traum",
    "abnormal": "abn",
    "complications": "compl",
    "complication": "compl",
    "hemorrhage": "hem",
    "deficiency": "def",
    "screening": "screen",
    "nondisplaced": "nondisp",
    "displaced": "displ",
    "pathological": "path",
    "failure": "fail",
    "kidney": "kid",
    "renal": "ren",
}
"""What the desks in a hurry write."""

STYLES: tuple[Mapping[str, str], ...] = ({}, COMMON, HEAVY)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def abbreviate(phrase: str, words: Mapping[str, str]) -> str:
    """Replace every whole word of the table, whatever its case; longer entries win."""
    if not words:
        return phrase
    return _pattern(tuple(words)).sub(lambda match: words[match.group(0).lower()], phrase)


_patterns: dict[tuple[str, ...], re.Pattern[str]] = {}


def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    if words not in _patterns:
        longest_first = sorted(words, key=len, reverse=True)
        _patterns[words] = re.compile(
            r"\b(?:" + "|".join(map(re.escape, longest_first)) + r")\b", re.IGNORECASE
        )
    return _patterns[words]


def slip(phrase: str, rng: np.random.Generator) -> str:
    """Make one typing slip at a random place: swap two letters, or lose, double or mistype one."""
    if len(phrase) < 4:
        return phrase
    # three draws in this order, whatever the kind: the demo's rows depend on it
    place = int(rng.integers(1, len(phrase) - 1))
    kind = int(rng.integers(4))
    mistyped = LETTERS[int(rng.integers(26))]

    before = phrase[:place]
    letter = phrase[place]
    after = phrase[place + 1 :]
    if kind == 0:
        return before + after[:1] + letter + after[1:]
    middle = ("", letter + letter, mistyped)[kind - 1]
    return before + middle + after


def recase(phrase: str, case: int) -> str:
    """Change the case: 0 as in the book, 1 small letters, 2 capitals."""
    return (phrase, phrase.lower(), phrase.upper())[case]
