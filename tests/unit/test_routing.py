from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.heads.routing import meets_canary, position, route
from core.errors import UnknownClassifier

SHARES = st.floats(0, 1)


def met(identity: str, share: float, *, version: str = "2", classifier: str = "organ") -> bool:
    return meets_canary(identity, classifier=classifier, version=version, share=share)


def test_what_is_live_for_the_classifier_answers() -> None:
    assert route({"block": "b", "chapter": "c"}, "chapter") == "c"


@pytest.mark.parametrize(
    ("live", "named"), [({"chapter": 1, "block": 2}, "block, chapter"), ({}, "none yet")]
)
def test_an_unknown_classifier_is_refused_with_the_known_ones(
    live: dict[str, int], named: str
) -> None:
    with pytest.raises(UnknownClassifier, match=named):
        route(live, "nothing")


@given(st.text(), st.text())
def test_a_position_is_a_function_of_its_arguments_in_the_unit_interval(
    identity: str, salt: str
) -> None:
    place = position(identity, salt=salt)
    assert 0 <= place < 1
    assert place == position(identity, salt=salt)


@given(st.text(), SHARES, SHARES)
def test_who_meets_a_canary_meets_it_at_every_larger_share(
    identity: str, one: float, other: float
) -> None:
    smaller, larger = sorted((one, other))
    assert met(identity, larger) or not met(identity, smaller)


@given(st.text())
def test_nobody_meets_a_share_of_nothing_and_everybody_the_whole(identity: str) -> None:
    assert (met(identity, 0.0), met(identity, 1.0)) == (False, True)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 1.0])
def test_the_share_is_respected(share: float) -> None:
    """Four standard deviations of 20,000 draws."""
    measured = sum(met(f"patient {number}", share) for number in range(20_000)) / 20_000
    assert measured == pytest.approx(share, abs=4 * (share * (1 - share) / 20_000) ** 0.5)


def test_two_rollouts_fall_on_different_clients() -> None:
    clients = [f"patient {number}" for number in range(20_000)]
    first = [client for client in clients if met(client, 0.2)]
    for other in ({"version": "3"}, {"classifier": "chapter"}):
        both = sum(met(client, 0.2, **other) for client in first) / len(first)
        assert both == pytest.approx(0.2, abs=0.03), "unrelated, so a fifth of them"
