"""The only preprocessing of a phrase."""

from __future__ import annotations

import unicodedata

MAX_PHRASE_LENGTH = 2000
"""Characters. The service refuses longer phrases, so training leaves them out."""

# Zero-width and bidirectional marks; lone surrogates, which UTF-8 cannot carry.
_DROPPED = frozenset({"Cf", "Cs"})


def clean_phrase(phrase: str) -> str:
    """Fold case, width, control characters and white space.

    Idempotent; never raises on a `str`. Printable ASCII, most of what serving sees, takes a
    shorter path to the same result.
    """
    if phrase.isascii() and phrase.isprintable():
        return " ".join(phrase.lower().split())
    before = None
    cleaned = phrase
    # Dropping a mark can let its neighbours compose: repeat until nothing changes.
    while cleaned != before:
        before = cleaned
        cleaned = _fold(cleaned)
    return cleaned


def clean_learnable(phrase: str | None) -> str:
    """Return `clean_phrase`, or "" for what the service would refuse and training leaves out.

    That is None, a blank, and more than MAX_PHRASE_LENGTH characters.
    """
    return clean_phrase(phrase) if phrase and len(phrase) <= MAX_PHRASE_LENGTH else ""


def _fold(text: str) -> str:
    visible = "".join(_visible(character) for character in text)
    # Twice: case folding can undo the first normalisation.
    folded = unicodedata.normalize("NFKC", visible).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cc":
        return " "
    return "" if category in _DROPPED else character
