from __future__ import annotations

import pytest

from bentos.routing import route
from core.errors import UnknownClassifier


def test_the_live_model_of_the_classifier_answers() -> None:
    assert route({"block": "b", "chapter": "c"}, "chapter") == "c"


@pytest.mark.parametrize(("live", "told"), [({"chapter": 1, "block": 2}, "block, chapter"), ({}, "none yet")])
def test_an_unknown_classifier_is_refused_with_the_known_ones(live: dict[str, int], told: str) -> None:
    with pytest.raises(UnknownClassifier, match=told):
        route(live, "nothing")
