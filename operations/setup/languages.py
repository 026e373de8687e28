"""Which languages the phrases of a source are in, and which of them the embedder knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

KNOWN = {
    **{"ar": "Arabic", "zh": "Chinese", "nl": "Dutch", "en": "English", "fr": "French"},
    **{"de": "German", "it": "Italian", "ja": "Japanese", "ko": "Korean", "pl": "Polish"},
    **{"pt": "Portuguese", "ru": "Russian", "es": "Spanish", "th": "Thai", "tr": "Turkish"},
}
"""The embedder's languages, by their ISO 639-1 codes."""
OTHERS = {
    **{"bg": "Bulgarian", "cs": "Czech", "da": "Danish", "el": "Greek", "fa": "Persian"},
    **{"fi": "Finnish", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian"},
    **{"no": "Norwegian", "ro": "Romanian", "sk": "Slovak", "sv": "Swedish"},
    **{"uk": "Ukrainian", "vi": "Vietnamese"},
}
"""Others that are distinguished, so that a warning can name them."""
_TOGETHER = 10
"""Phrases that are judged as one text: a short phrase alone is often mistaken."""
_TEXTS = 200
_SEEN_SHARE = 0.05


def find_languages(phrases: Sequence[str], *, seed: int = 0) -> dict[str, float]:
    """Return language -> share of the phrases, the most frequent first, from a random sample."""
    import py3langid

    py3langid.set_languages([*KNOWN, *OTHERS])
    drawn = np.random.default_rng(seed).permutation(len(phrases))[: _TEXTS * _TOGETHER]
    sample = [phrases[place] for place in drawn]
    texts = ["\n".join(sample[at : at + _TOGETHER]) for at in range(0, len(sample), _TOGETHER)]
    counted = Counter(py3langid.classify(text)[0] for text in texts)
    names = {**KNOWN, **OTHERS}
    return {
        names[code]: count / len(texts)
        for code, count in counted.most_common()
        if count / len(texts) >= _SEEN_SHARE
    }
