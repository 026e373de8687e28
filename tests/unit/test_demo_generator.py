"""The demo's practice, arrivals, traffic and drift: equal arguments give equal results."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.source.arrivals import draw_day
from pipelines.source.drift import load_drift
from pipelines.source.icd import CHAPTERS, MAX_WORDS, load_catalogue
from pipelines.source.noise import HEAVY, abbreviate, recase, slip
from pipelines.source.practice import DAYS, EPOCH, RULE_CHANGED_DAY, load_practice
from pipelines.source.traffic import Arrival, SimulatedTraffic


def test_the_catalogue_is_the_real_classification() -> None:
    catalogue = load_catalogue()
    assert len(catalogue) > 57_000 and {code.chapter for code in catalogue.codes} == set(CHAPTERS)
    assert all(
        len((base + ending).split()) <= MAX_WORDS
        for base, ending in zip(catalogue.base, catalogue.ending, strict=True)
    )
    place = list(catalogue.base + catalogue.ending).index(
        "Sprain of jaw, right side, initial encounter"
    )
    code = catalogue.codes[catalogue.code[place]]
    assert (code.code[:3], code.block, code.chapter) == ("S03", "S00-S09", "injury")
    assert catalogue.base[place] == "Sprain of jaw, right side" and catalogue.phase[place] == 1


def test_abbreviations_take_whole_words_of_any_case() -> None:
    assert (
        abbreviate("Fracture of left femur, initial encounter", HEAVY) == "fx of lt femur, init enc"
    )
    assert abbreviate("Andes virus", HEAVY) == "Andes virus"


@given(st.text("abc def", min_size=4, max_size=30), st.integers(0, 2**32))
def test_a_slip_is_one_slip(phrase: str, seed: int) -> None:
    slipped = slip(phrase, np.random.default_rng(seed))
    assert abs(len(slipped) - len(phrase)) <= 1
    assert sum((Counter(phrase) - Counter(slipped)).values()) <= 1


def test_case_changes_nothing_but_case() -> None:
    assert [recase("Mixed Case", case) for case in range(3)] == [
        "Mixed Case",
        "mixed case",
        "MIXED CASE",
    ]


@pytest.mark.parametrize("scale", ["default", "small"])
def test_every_draw_of_a_ladder_is_a_term_of_its_block(scale) -> None:
    practice = load_practice(scale)
    block_of = practice.catalogue.block[practice.terms]
    lower = np.concatenate([[0.0], practice.ladder[:-1]])
    assert (
        np.all(np.diff(practice.ladder) >= 0)
        and np.all(practice.ladder > block_of)
        and np.all(practice.ladder <= block_of + 1)
    )
    assert np.all(np.maximum(lower, block_of) <= practice.ladder)
    assert np.allclose(practice.mix.sum(axis=1), 1)


def test_a_day_depends_on_seed_and_number_alone() -> None:
    practice = load_practice("default")
    first, second = (draw_day(practice, seed=7, day=900) for _ in range(2))
    assert first.phrase == second.phrase and np.array_equal(first.recorded, second.recorded)
    assert draw_day(practice, seed=8, day=900).phrase != first.phrase


def test_the_rule_change_moves_old_labels_to_other_chapters() -> None:
    practice = load_practice("default")
    catalogue = practice.catalogue
    moved = practice.old_code != catalogue.code
    now, then = (
        np.array([catalogue.codes[code].chapter for code in codes[moved]])
        for codes in (catalogue.code, practice.old_code)
    )
    assert np.all(now != then)
    before, after = (draw_day(practice, seed=7, day=RULE_CHANGED_DAY + shift) for shift in (-1, 0))
    assert np.mean(before.right != catalogue.code[before.term]) > 0.03
    assert np.array_equal(after.right, catalogue.code[after.term])


def test_about_two_percent_are_recorded_wrongly() -> None:
    practice = load_practice("default")
    days = [draw_day(practice, seed=7, day=day) for day in range(1700, 1800)]
    wrong = np.concatenate([day.right != day.recorded for day in days])
    assert 0.014 < wrong.mean() < 0.026


@pytest.fixture(scope="module")
def clean() -> list[Arrival]:
    return list(SimulatedTraffic("default", 11).play(EPOCH, 2000))


@pytest.fixture(scope="module")
def drifted() -> list[Arrival]:
    return list(SimulatedTraffic("default", 11, drift=True).play(EPOCH, 4000))


def test_two_thousand_rows_span_about_ten_days(clean: list[Arrival]) -> None:
    moments = [arrival.occurred_at for arrival in clean]
    assert moments[0] >= EPOCH and moments == sorted(moments)
    assert timedelta(days=8) < moments[-1] - moments[0] < timedelta(days=13)


def test_traffic_goes_on_where_an_earlier_play_ended(clean: list[Arrival]) -> None:
    later = SimulatedTraffic("default", 11).play(clean[1000].occurred_at, 50)
    assert list(later) == clean[1000:1050]


def test_arrivals_are_repetitive_and_imbalanced(clean: list[Arrival]) -> None:
    phrases = Counter(arrival.phrase.lower() for arrival in clean)
    blocks = Counter(arrival.labels["block"] for arrival in clean)
    assert len(phrases) < 1150 and phrases.most_common(1)[0][1] > 15
    assert len(blocks) > 120 and blocks.most_common(1)[0][1] > 80
    assert {arrival.region for arrival in clean} == {"north", "south"}
    assert {arrival.labels["encounter_phase"] for arrival in clean} == {
        "none",
        "initial",
        "subsequent",
        "sequela",
    }


def test_drift_brings_names_nobody_used_and_they_repeat(
    clean: list[Arrival], drifted: list[Arrival]
) -> None:
    names = set(load_drift("default").local_names)
    written = Counter(arrival.phrase for arrival in drifted if arrival.phrase in names)
    assert len(names) == 40 and not names & {arrival.phrase for arrival in clean}
    assert (
        0.09 < sum(written.values()) / len(drifted) < 0.15
        and len(written) > 35
        and max(written.values()) > 20
    )


def test_every_seed_drifts_alike(drifted: list[Arrival]) -> None:
    names = set(load_drift("default").local_names)
    other = list(SimulatedTraffic("default", 12, drift=True).play(EPOCH + timedelta(days=30), 4000))
    meaning = [
        {a.phrase: a.labels["block"] for a in arrivals if a.phrase in names}
        for arrivals in (drifted, other)
    ]
    both = meaning[0].keys() & meaning[1].keys()
    assert len(both) > 30 and all(meaning[0][name] == meaning[1][name] for name in both)
    assert [a.phrase for a in other] != [a.phrase for a in drifted]


def test_drift_moves_a_share_of_the_traffic_to_rare_labels(
    clean: list[Arrival], drifted: list[Arrival]
) -> None:
    catalogue = load_catalogue()
    rare = {
        catalogue.blocks[int(number)] for number in np.flatnonzero(load_drift("default").rare_mix)
    }
    share = [
        np.mean([arrival.labels["block"] in rare for arrival in arrivals])
        for arrivals in (clean, drifted)
    ]
    assert share[0] < 0.03 and 0.10 < share[1] < 0.20


def test_the_new_rule_recodes_a_few_conditions_into_another_chapter() -> None:
    practice = load_practice("default")
    drift = load_drift("default")
    moved = np.flatnonzero(drift.code != practice.catalogue.code)
    assert (
        len({practice.catalogue.codes[code].code[:3] for code in practice.catalogue.code[moved]})
        == 4
    )
    days = [draw_day(practice, seed=3, day=DAYS + day) for day in range(30)]
    assert 0.01 < np.isin(np.concatenate([day.term for day in days]), moved).mean() < 0.08


def test_a_small_practice_arrives_more_slowly() -> None:
    span = [
        arrival.occurred_at
        for arrival in islice(SimulatedTraffic("small", 5).play(EPOCH, 200), 200)
    ]
    assert span[-1] - span[0] > timedelta(days=8)
