"""Patterns of mistakes: a planted one is found, chance is not called one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.errors.patterns import FALSE_DISCOVERY, find_patterns
from pipelines.errors.rows import AnsweredRows
from pipelines.errors.slices import ANSWERS, LEAST_PHRASES, Slice, cut_slices

WORDS = ("left", "right", "acute", "chronic", "open", "closed", "old", "new", "deep", "mild")
MONDAY = np.datetime64("2026-01-05T12:00:00", "us")


def answered(phrases: list[str], wrong: np.ndarray, **columns: Any) -> AnsweredRows:
    """One row per phrase, or those of `codes`; `wrong` has one value per row."""
    count = len(wrong)
    made: dict[str, Any] = {
        "codes": np.arange(count),
        "probability": np.full(count, 0.5),
        "seen": np.zeros(count, bool),
        "region": np.full(count, "north", dtype=object),
        "occurred_at": np.full(count, MONDAY),
        "from_source": np.ones(count, bool),
        **columns,
    }
    return AnsweredRows(
        phrases=np.array(phrases, dtype=object),
        truth=np.full(count, "a", dtype=object),
        predicted=np.where(wrong, "b", "a").astype(object),
        **made,
    )


def random_phrases(count: int, random: np.random.Generator) -> list[str]:
    """Phrases of one to five of the words and a number, so that all differ."""
    return [
        " ".join([*random.choice(WORDS, random.integers(1, 6)), f"n{number}"])
        for number in range(count)
    ]


def found(rows: AnsweredRows) -> list[tuple[str, str]]:
    search = find_patterns(cut_slices(rows, among=ANSWERS))
    return [(pattern.slice.kind, pattern.slice.name) for pattern in search.patterns]


def test_a_planted_word_is_found_with_its_counts() -> None:
    random = np.random.default_rng(1)
    phrases = random_phrases(600, random)
    has_word = np.array(["chronic" in phrase.split() for phrase in phrases])
    wrong = np.where(has_word, random.random(600) < 0.3, random.random(600) < 0.03)
    [pattern] = find_patterns(cut_slices(answered(phrases, wrong), among=ANSWERS)).patterns
    assert (pattern.slice.kind, pattern.slice.name) == ("word", "chronic")
    assert pattern.slice.phrases == has_word.sum()
    assert pattern.slice.mistaken == (wrong & has_word).sum()
    assert pattern.slice.others_mistaken == (wrong & ~has_word).sum()
    assert pattern.adjusted <= FALSE_DISCOVERY


def test_on_noise_at_most_the_nominal_share_of_draws_names_a_pattern() -> None:
    random = np.random.default_rng(2)
    draws = 200
    called = 0
    for _ in range(draws):
        phrases = random_phrases(300, random)
        region = random.choice(["north", "south", "east"], 300).astype(object)
        days = MONDAY + random.integers(0, 90, 300) * np.timedelta64(1, "D")
        rows = answered(phrases, random.random(300) < 0.1, region=region, occurred_at=days)
        called += bool(found(rows))
    assert called / draws <= FALSE_DISCOVERY


def test_frequent_phrases_that_are_wrong_each_time_are_units_not_evidence() -> None:
    """Four phrases with 50 wrong rows each prove nothing about the word that they share."""
    phrases = [f"chronic n{number}" for number in range(4)]
    phrases += [f"acute n{number}" for number in range(200)]
    codes = np.concatenate([np.repeat(np.arange(4), 50), np.arange(4, 204)])
    rows = answered(phrases, codes < 4, codes=codes, **columns_for(len(codes)))
    assert found(rows) == []


def columns_for(count: int) -> dict[str, Any]:
    return {
        "probability": np.full(count, 0.5),
        "seen": np.zeros(count, bool),
        "region": np.full(count, "", dtype=object),
        "occurred_at": np.full(count, MONDAY),
        "from_source": np.ones(count, bool),
    }


@pytest.mark.parametrize(
    "kind, name, column, inside, outside",
    [
        ("region", "south", "region", "south", "north"),
        ("weekday", "Tuesday", "occurred_at", MONDAY + np.timedelta64(1, "D"), MONDAY),
        ("time of day", "18:00 to 24:00", "occurred_at", MONDAY + np.timedelta64(8, "h"), MONDAY),
        ("source", "feedback", "from_source", False, True),
    ],
)
def test_a_pattern_of_rows_is_found_though_every_phrase_is_on_both_sides(
    kind: str, name: str, column: str, inside: Any, outside: Any
) -> None:
    random = np.random.default_rng(3)
    codes = np.tile(np.arange(200), 2)
    marks = np.arange(400) >= 200
    wrong = np.where(marks, random.random(400) < 0.3, random.random(400) < 0.02)
    values = np.array([inside if mark else outside for mark in marks])
    rows = answered(
        [f"n{number}" for number in range(200)],
        wrong,
        codes=codes,
        **{column: values if column != "region" else values.astype(object)},
    )
    assert found(rows) == [(kind, name)]


def test_a_planted_length_is_found() -> None:
    phrases = [f"n{number}" for number in range(60)]
    phrases += [f"some words for n{number}" for number in range(300)]
    wrong = np.array([number % 3 == 0 for number in range(60)] + [False] * 300)
    assert ("length", "one word") in found(answered(phrases, wrong))


def test_slices_of_the_same_mistakes_are_merged_under_the_strongest() -> None:
    phrases = [f"burn sequela n{number}" for number in range(40)]
    phrases += [f"burn n{number}" for number in range(40, 50)]
    phrases += [f"other word n{number}" for number in range(300)]
    wrong = np.array([number < 40 for number in range(350)])
    search = find_patterns(cut_slices(answered(phrases, wrong), among=ANSWERS))
    [pattern] = search.patterns
    assert pattern.slice.name == "sequela"
    assert {part.name for part in pattern.also} == {"burn"}


def test_mistakes_of_two_populations_are_not_merged() -> None:
    def part(among: str) -> Slice:
        return Slice(among, "word", "burn", 20, 15, 300, 3, np.arange(15))

    assert len(find_patterns([part("answers"), part("new phrases")]).patterns) == 2


def test_slices_that_could_prove_nothing_are_not_counted_as_tests() -> None:
    """With one mistaken phrase of 30, a slice of 20 phrases cannot reach a p-value of .05."""
    large = Slice(ANSWERS, "word", "a", 20, 1, 10, 0, np.array([0]))
    small = Slice(ANSWERS, "word", "b", 1, 1, 29, 0, np.array([0]))
    assert find_patterns([large, small]).tested == 1


def test_without_mistakes_or_rows_there_is_no_pattern() -> None:
    none = np.zeros(50, bool)
    assert found(answered([f"left n{number}" for number in range(50)], none)) == []
    assert found(answered([], np.zeros(0, bool))) == []
    assert find_patterns([]).tested == 0


def test_small_slices_and_those_of_everything_are_left_out() -> None:
    phrases = [f"burn n{number}" for number in range(30)]
    phrases[0] += " rare"
    slices = cut_slices(answered(phrases, np.zeros(30, bool)), among=ANSWERS)
    assert all(part.phrases >= LEAST_PHRASES for part in slices)
    assert "burn" not in {part.name for part in slices}
