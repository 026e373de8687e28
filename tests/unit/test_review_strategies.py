"""Shares of the week, probabilities of draws, and what each strategy looks at first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.params.review import ReviewParams, ReviewShares
from monitoring.review.asking import asked_phrases, discount
from monitoring.review.draws import draw_of
from monitoring.review.knowing import contradicted_phrases, doubt_between
from monitoring.review.recent_log import RecentLog
from monitoring.review.refill import choose
from monitoring.review.shares import RANDOM, Week, divide_labels, hide_random, pick
from monitoring.review.strategies import STRATEGIES, ReviewCandidate, StrategyInputs
from monitoring.review.withdrawing import faded

NAMES = tuple(STRATEGIES)
SHARES = ReviewShares().by_strategy()


@st.composite
def shares(draw: st.DrawFn) -> dict[str, float]:
    weights = draw(
        st.lists(st.integers(0, 50), min_size=len(NAMES), max_size=len(NAMES)).filter(any)
    )
    return {name: weight / sum(weights) for name, weight in zip(NAMES, weights, strict=True)}


@given(st.integers(1, 5000), shares())
def test_parts_of_the_week_sum_to_it_and_are_within_one_of_their_share(
    labels: int, chosen: dict[str, float]
) -> None:
    parts = divide_labels(labels, chosen)
    assert sum(parts.values()) == labels
    assert all(abs(parts[name] - labels * share) < 1 for name, share in chosen.items())


@st.composite
def proposals(draw: st.DrawFn) -> dict[str, list[ReviewCandidate]]:
    """Lists of candidates of few phrases, so that strategies propose the same ones."""
    found: dict[str, list[ReviewCandidate]] = {}
    for name in ("requested", *NAMES):
        phrases = draw(st.lists(st.integers(0, 30), max_size=12, unique=name != RANDOM))
        found[name] = [
            ReviewCandidate(
                name,
                f"phrase {number}",
                f"{name}-{place}",
                float(draw(st.integers(1, 9))),
                0.01 if name == RANDOM else None,
            )
            for place, number in enumerate(phrases)
        ]
    return found


@given(proposals(), st.integers(1, 60), shares(), st.sets(st.integers(0, 30)))
def test_what_is_picked_keeps_the_week_and_every_draw(
    proposed: dict[str, list[ReviewCandidate]],
    labels: int,
    chosen: dict[str, float],
    seen: set[int],
) -> None:
    taken = {f"phrase {number}" for number in seen}
    picked = pick(proposed, Week(labels, chosen, {}), taken=taken)
    drawn = [item for item in picked if item.strategy == RANDOM]
    others = [item for item in picked if item.strategy != RANDOM]
    assert drawn == proposed[RANDOM]
    phrases = [item.cleaned for item in others]
    assert len(set(phrases)) == len(phrases)
    assert not set(phrases) & (taken | {item.cleaned for item in drawn})
    kept_for_random = max(divide_labels(labels, chosen)[RANDOM], len(drawn))
    assert len(others) <= max(labels - kept_for_random, 0)
    allowed = {name for name in NAMES if chosen[name]} | {"requested"}
    assert {item.strategy for item in others} <= allowed


@given(proposals(), st.integers(1, 60))
def test_each_strategy_gets_its_own_share_while_it_has_phrases(
    proposed: dict[str, list[ReviewCandidate]], labels: int
) -> None:
    """Without a drift and without shared phrases."""
    own = {
        name: [
            ReviewCandidate(name, f"{name} {number}", f"{name}-{number}", 1.0, item.probability)
            for number, item in enumerate(candidates)
        ]
        for name, candidates in proposed.items()
        if name in NAMES
    }
    picked = pick(own, Week(labels, SHARES, {}), taken=())
    if len(own[RANDOM]) > divide_labels(labels, SHARES)[RANDOM]:
        return
    for name, part in divide_labels(labels, SHARES).items():
        count = sum(item.strategy == name for item in picked)
        assert count >= min(part, len(own[name]))


@given(proposals(), st.integers(1, 60))
def test_requested_phrases_come_first(
    proposed: dict[str, list[ReviewCandidate]], labels: int
) -> None:
    picked = pick(proposed, Week(labels, SHARES, {}), taken=())
    asked = [item for item in picked if item.strategy == "requested"]
    others = [item for item in picked if item.strategy not in ("requested", RANDOM)]
    drawn = {item.cleaned for item in proposed[RANDOM]}
    wanted = [item for item in proposed["requested"] if item.cleaned not in drawn]
    assert asked == wanted[: len(asked)]
    assert not others or len(asked) == len(wanted)


def test_used_labels_count_and_random_ones_keep_theirs() -> None:
    week = Week(40, SHARES, {RANDOM: 2, "low_confidence": 12, "novel": 8})
    assert week.quotas()["low_confidence"] == 0
    assert week.left(0) == 40 - 8 - 20
    assert week.left(10) == 40 - 12 - 20
    assert Week(40, SHARES, {"requested": 40}).left(0) == 0


@given(st.integers(0, 300), st.floats(0, 400), st.integers(0, 2**32 - 1))
def test_a_draw_takes_its_expected_number_rounded_up_or_down(
    size: int, expected: float, seed: int
) -> None:
    places, probability = draw_of(size, expected, np.random.default_rng(seed))
    wanted = min(expected, size)
    assert 0 <= probability <= 1
    assert probability * size == pytest.approx(wanted)
    assert len(places) in {int(np.floor(wanted)), int(np.ceil(wanted))}
    assert len(np.unique(places)) == len(places)
    assert not len(places) or (places[0] >= 0 and places[-1] < size)


@settings(max_examples=10)
@given(st.integers(1, 40), st.floats(0.01, 10))
def test_every_place_is_drawn_with_the_probability_that_is_returned(
    size: int, expected: float
) -> None:
    draws = 4000
    random = np.random.default_rng(3)
    counts = np.zeros(size)
    probability = 0.0
    for _ in range(draws):
        places, probability = draw_of(size, expected, random)
        counts[places] += 1
    error = np.sqrt(probability * (1 - probability) / draws)
    assert abs(counts / draws - probability).max() <= 5 * error + 1e-9


def phrases(**rows: tuple[float, float, str]) -> pd.DataFrame:
    """PHRASE_COLUMNS of phrase = (doubt, asks, label)."""
    return pd.DataFrame(
        [
            {
                "cleaned": cleaned,
                "request_id": f"r-{cleaned}",
                "version": "1",
                "label": label,
                "doubt": doubt,
                "asks": asks,
            }
            for cleaned, (doubt, asks, label) in rows.items()
        ]
    )


def inputs_of(rows: pd.DataFrame, **facts: Any) -> StrategyInputs:
    drawn = pd.DataFrame(columns=["request_id", "cleaned", "probability"])
    return StrategyInputs(rows, facts.pop("drawn", drawn), **facts)


def names(candidates: list[ReviewCandidate]) -> list[str]:
    return [candidate.cleaned for candidate in candidates]


def recent(counts: dict[str, int]) -> RecentLog:
    cleaned = [phrase for phrase, count in counts.items() for _ in range(count)]
    rows = pd.DataFrame({"cleaned": cleaned, "probability": 0.6, "label": "a", "version": "1"})
    rows["sequence"] = np.arange(len(rows))
    rows["request_id"] = [f"r-{number}" for number in rows["sequence"]]
    return RecentLog(0, len(rows), rows, float(len(rows)))


def test_a_phrase_asked_500_times_is_worth_more_than_500_rare_ones_of_equal_doubt() -> None:
    once = {f"rare {number}": 1 for number in range(500)}
    asked = asked_phrases(recent({"frequent": 500, **once}))
    values = {item.cleaned: item.value for item in STRATEGIES["low_confidence"](inputs_of(asked))}
    assert next(iter(values)) == "frequent"
    assert values["frequent"] > sum(values[phrase] for phrase in once)


@given(st.lists(st.integers(1, 50), min_size=1))
def test_no_count_loses_a_whole_answer(counts: list[int]) -> None:
    assert 0 < discount(np.array(counts)) < 1


def test_labelled_phrases_are_left_to_the_contradicted() -> None:
    rows = phrases(a=(0.5, 10, "x"), b=(0.4, 10, "x"))
    facts = inputs_of(rows, labelled={"a"}, contradicted={"a": 0.5})
    assert names(STRATEGIES["low_confidence"](facts)) == ["b"]
    assert names(STRATEGIES["contradicted"](facts)) == ["a"]


def test_one_of_each_cluster_comes_first_and_is_worth_its_cluster() -> None:
    rows = phrases(a1=(0.5, 10, "x"), a2=(0.5, 8, "x"), b1=(0.5, 2, "x"), near=(0.5, 90, "x"))
    facts = inputs_of(
        rows,
        novel={"a1": 0.9, "a2": 0.9, "b1": 0.8, **{f"other {n}": 0.1 for n in range(9)}},
        vectors=np.array([[1, 0], [0.99, 0.1], [0, 1], *[[1, 1]] * 9], np.float32),
    )
    found = STRATEGIES["novel"](facts)
    assert names(found) == ["a1", "b1", "a2"]
    assert [item.value for item in found] == [9.0, 1.0, 4.0]


def test_one_of_each_label_that_the_gate_cannot_see_comes_first() -> None:
    rows = phrases(a=(0.5, 10, "x"), b=(0.5, 9, "x"), c=(0.5, 1, "y"), seen=(0.9, 99, "z"))
    assert names(STRATEGIES["unseen"](inputs_of(rows, unseen={"x", "y"}))) == ["a", "c", "b"]


def test_a_disagreement_is_worth_what_the_other_version_is_sure_of() -> None:
    rows = phrases(a=(0.1, 10, "x"), b=(0.1, 10, "x"))
    doubts = [doubt_between(0.9, 0.3), doubt_between(0.9, 0.9)]
    facts = inputs_of(
        rows,
        disagreements=pd.DataFrame(
            {"cleaned": ["a", "b"], "request_id": ["r-a", "r-b"], "doubt": doubts}
        ),
    )
    found = STRATEGIES["disagreement"](facts)
    assert [(item.cleaned, item.value) for item in found] == [("b", 5.0), ("a", 2.5)]


def test_authors_contradict_each_other_by_their_newest_labels() -> None:
    rows = [
        ("a", "x", "ann"), ("a", "y", "bob"), ("b", "x", "ann"), ("b", "y", "ann"),
        ("c", "x", "ann"), ("c", "x", "bob"), ("c", "y", "cy"),
    ]  # fmt: skip
    labels = pd.DataFrame(rows, columns=["cleaned", "label", "author"])
    assert contradicted_phrases(labels) == pytest.approx({"a": 1 / 2, "c": 1 / 3})


def test_a_phrase_that_two_strategies_choose_is_asked_once_as_the_draw_that_it_is() -> None:
    rows = phrases(a=(0.9, 100, "x"), b=(0.5, 10, "x"))
    drawn = pd.DataFrame({"request_id": ["r-drawn"], "cleaned": ["a"], "probability": [0.02]})
    chosen = choose(inputs_of(rows, drawn=drawn), Week(40, SHARES, {}), taken=set(), seed=1)
    [item] = [item for item in chosen if item.cleaned == "a"]
    assert (item.strategy, item.request_id, item.probability) == (RANDOM, "r-drawn", 0.02)
    assert "b" in names(chosen)


def test_the_place_of_a_random_item_says_nothing_of_it() -> None:
    others = [
        ReviewCandidate("novel", f"o{number}", f"o{number}", float(number)) for number in range(9)
    ]
    random = [
        ReviewCandidate(RANDOM, f"d{number}", f"d{number}", 0.0, 0.1) for number in range(400)
    ]
    values = [item.value for item in hide_random([*random, *others], seed=5)[:400]]
    assert set(values) == {item.value for item in others}
    assert abs(np.mean(values) - 4) < 0.5
    assert hide_random(random[:1], seed=5)[0].value > 0


def test_random_items_hide_among_those_that_wait_for_long() -> None:
    """A week's labels are soon used up: then refills add random items alone."""
    waiting = [float(value) for value in range(100, 109)]
    hidden = [
        hide_random(
            [ReviewCandidate(RANDOM, "d", f"d{number}", 0.0, 0.1)], waiting=waiting, seed=5
        )[0]
        for number in range(400)
    ]
    values = [item.value for item in hidden]
    assert set(values) == set(waiting)
    assert abs(np.mean(values) - 104) < 0.5


def test_items_fade_when_few_of_their_answers_are_in_doubt() -> None:
    items = pd.DataFrame(
        {
            "cleaned": ["sure", "doubt", "gone", "rare", "other"],
            "strategy": ["novel", "novel", "unseen", "novel", "contradicted"],
            "confidence": 0.5,
            "frequency": [100, 100, 100, 5, 100],
        }
    )
    now = phrases(sure=(0.01, 100, "x"), doubt=(0.4, 90, "x"))
    assert faded(items, now, scale=1.0).tolist() == [True, False, True, False, False]
    assert not faded(items, now, scale=70.0).any()


def test_a_block_of_shares_is_whole_and_strictly_typed() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    assert set(SHARES) == set(STRATEGIES)
    assert SHARES[RANDOM] == 0.2
    only = ReviewShares.model_validate({"random": 0.4, "novel": 0.6}).by_strategy()
    assert (only["novel"], only["low_confidence"]) == (0.6, 0.0)
    for wrong in (
        {"shares": {"random": 0.4}},
        {"shares": {"random": "0.2", "novel": 0.8}},
        {"shares": {"randm": 1.0}},
        {"labels_per_week": 0},
        {"labels_per_week": 4.5},
        {"twice": 2},
        {"weekly": 4},
    ):
        with pytest.raises(ValidationError):
            ReviewParams.model_validate(wrong)
