"""The only preprocessing there is."""

from __future__ import annotations

import unicodedata

MAX_PHRASE_LENGTH = 2000
"""Characters; the service answers no longer phrase, so none is learnt from."""

_DROPPED = frozenset(
    {"Cf", "Cs"}
)  # zero-width and bidi marks; lone surrogates, which UTF-8 cannot carry


def clean_phrase(phrase: str) -> str:
    """Fold case, width, control characters and white space; idempotent; never raises on a `str`.

    ASCII takes the short way: it is what serving sees most.
    """
    if phrase.isascii() and phrase.isprintable():
        return " ".join(phrase.lower().split())
    before, cleaned = None, phrase
    while (
        cleaned != before
    ):  # dropping a mark may let its neighbours compose: repeat until nothing moves
        before, cleaned = cleaned, _fold(cleaned)
    return cleaned


def clean_learnable(phrase: str | None) -> str:
    """`clean_phrase`, or "" for what no classifier learns because the service would refuse it: nothing, a blank, more than the limit."""
    return clean_phrase(phrase) if phrase and len(phrase) <= MAX_PHRASE_LENGTH else ""


def _fold(text: str) -> str:
    visible = "".join(_visible(character) for character in text)
    return " ".join(
        unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold()).split()
    )


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cc":
        return " "
    return "" if category in _DROPPED else character
