"""Labels that are probably wrong, and labels to merge or to split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.errors import TrainingImpossible
from core.params.costs import CostParams
from pipelines.labels.costs import cost_matrix
from pipelines.labels.merging import simulate_merges
from pipelines.labels.out_of_fold import (
    OutOfFold,
    Phrases,
    answer_out_of_fold,
    judged_phrases,
)
from pipelines.labels.page import labels_page
from pipelines.labels.report import describe_labels, list_suspects, ranked_suspects
from pipelines.labels.splitting import simulate_splits
from pipelines.labels.wrong import Judged, judge_pairs, suspicious
from pipelines.model.training import TrainingRows
from tests.support.training import WORDS, phrases_of, vectors_of

SEED = 7
Pair = tuple[str, str, int]  # phrase, label, rows


def rows_of(pairs: list[Pair]) -> TrainingRows:
    cleaned = [phrase for phrase, _, _ in pairs]
    return TrainingRows(
        cleaned=np.array(cleaned, dtype=object),
        labels=np.array([label for _, label, _ in pairs]),
        weights=np.array([float(rows) for _, _, rows in pairs]),
        vectors=vectors_of(cleaned),
        validation=np.zeros(len(pairs), bool),
    )


def sound() -> list[Pair]:
    return sorted((phrase, label, 1) for label in WORDS for phrase in phrases_of(label))


def judge(pairs: list[Pair]) -> tuple[Phrases, OutOfFold, Judged]:
    rows = rows_of(pairs)
    phrases = judged_phrases(rows, seed=SEED)
    answers = answer_out_of_fold(phrases, seed=SEED)
    return phrases, answers, judge_pairs(rows, phrases, answers)


def suspects(pairs: list[Pair]) -> list[tuple[str, str, str]]:
    """(phrase, label, proposed label) of the suspects, in their order."""
    phrases, _, judged = judge(pairs)
    return [
        (
            str(phrases.cleaned[judged.phrases[place]]),
            str(phrases.labels[judged.given[place]]),
            str(phrases.labels[judged.proposed[place]]),
        )
        for place in suspicious(judged)
    ]


def test_planted_wrong_labels_are_found_and_sound_ones_are_not() -> None:
    pairs = sound()
    assert suspects(pairs) == []
    for place in (5, 105, 205, 305):
        phrase, label, rows = pairs[place]
        pairs[place] = (phrase, {"heart": "lung", "lung": "bone", "bone": "heart"}[label], rows)
    planted = {pairs[place][0] for place in (5, 105, 205, 305)}
    found = suspects(pairs)
    assert found
    assert {phrase for phrase, _, _ in found} <= planted

    phrases, _, judged = judge(pairs)
    likeliest = np.argsort(-judged.odds)[:4]
    assert {str(phrase) for phrase in phrases.cleaned[judged.phrases[likeliest]]} == planted
    right = {phrase: label for phrase, label, _ in sound()}
    assert all(proposed == right[phrase] for phrase, _, proposed in found)


def test_the_label_of_a_phrase_says_nothing_of_its_own_answer() -> None:
    pairs = sound()
    before = judge(pairs)[1].logits
    pairs[40] = (pairs[40][0], "bone" if pairs[40][1] != "bone" else "lung", 1)
    after = judge(pairs)[1].logits
    assert np.array_equal(before[40], after[40])
    assert not np.array_equal(before, after)


def test_a_repeated_phrase_has_one_fold_and_its_rows_outvote_a_wrong_one() -> None:
    pairs = sorted([*sound(), ("femur joint", "bone", 400), ("femur joint", "heart", 1)])
    phrases, _, _ = judge(pairs)
    assert len(set(phrases.cleaned)) == len(phrases.cleaned) == len(pairs) - 1
    assert ("femur joint", "heart", "bone") in suspects(pairs)
    twice = sorted([*sound(), ("femur joint", "bone", 4), ("femur joint", "heart", 4)])
    assert "femur joint" not in {phrase for phrase, _, _ in suspects(twice)}


def test_a_label_that_only_one_phrase_has_is_not_suspected() -> None:
    """No fold can learn it: nothing is known against it."""
    pairs = sorted([*sound(), ("liver acute", "liver", 1)])
    assert "liver acute" not in {phrase for phrase, _, _ in suspects(pairs)}


def test_equal_rows_and_seed_give_equal_answers() -> None:
    first, second = judge(sound()), judge(sound())
    assert first[1].probabilities.tobytes() == second[1].probabilities.tobytes()
    assert np.array_equal(first[0].folds, second[0].folds)


def test_suspects_are_listed_with_their_reasons_and_confirmed_ones_are_left_out() -> None:
    pairs = sorted([*sound(), ("femur joint", "bone", 400), ("femur joint", "heart", 1)])
    rows = rows_of(pairs)
    phrases, _, judged = judge(pairs)
    found, number = ranked_suspects(judged, confirmed=(), rows=rows, weeks=10)
    source = {
        ("femur joint", "heart"): [
            {"id": "17", "occurred_at": "2026-01-01", "phrase": "Femur joint", "region": None}
        ]
    }
    [suspect] = list_suspects(
        judged, found, rows=rows, phrases=phrases, source_rows=source, weeks=10
    )
    assert (number, suspect["given"], suspect["proposed"]) == (1, "heart", "bone")
    assert suspect["labels"] == {"bone": 400, "heart": 1}
    assert suspect["rows"] == source[("femur joint", "heart")]
    assert not suspect["teaches"]
    assert {near["label"] for near in suspect["neighbours"]} == {"bone"}
    assert 0 < suspect["spoilt_a_week"] < 0.001  # 1 of 401 rows, which heads do not learn

    confirmed = {("femur joint", "heart")}
    found, number = ranked_suspects(judged, confirmed=confirmed, rows=rows, weeks=10)
    assert (len(found), number) == (0, 0)


def made_up(codes: np.ndarray, probabilities: np.ndarray) -> tuple[Phrases, OutOfFold]:
    """Phrases whose answers are given; the labels are a, b, c."""
    count = len(codes)
    base = judged_phrases(rows_of(sound()), seed=SEED)
    phrases = replace(
        base,
        cleaned=base.cleaned[:count],
        codes=codes,
        labels=np.array(["a", "b", "c"]),
        rows=np.ones(count),
        vectors=base.vectors[:count],
        ngrams=base.ngrams[:count],
        folds=base.folds[:count],
        teach=base.teach[:count],
    )
    return phrases, OutOfFold(np.log(probabilities), probabilities.astype(np.float32), 1.0)


def answers_with(confused: int) -> tuple[Phrases, OutOfFold]:
    """Sixty phrases; of twenty a, so many are answered with b, and as many the other way."""
    codes = np.repeat([0, 1, 2], 20)
    answered = codes.copy()
    answered[:confused] = 1
    answered[20 : 20 + confused] = 0
    probabilities = np.full((60, 3), 0.1)
    probabilities[np.arange(60), answered] = 0.8
    return made_up(codes, probabilities)


@pytest.mark.parametrize(("confused", "pays"), [(4, False), (14, True)])
def test_a_merge_pays_when_confusions_cost_more_than_the_distinction_saves(
    confused: int, pays: bool
) -> None:
    phrases, answers = answers_with(confused)
    [merge] = simulate_merges(phrases, answers, cost_matrix(CostParams(), phrases.labels))
    assert (merge.labels, merge.phrases, merge.confused) == (("a", "b"), 40, 2 * confused)
    assert merge.saved == pytest.approx(1000 * 2 * confused / 60, abs=0.001)
    assert merge.pays is pays


def test_a_cheap_confusion_is_not_worth_a_merge_and_a_dear_one_is() -> None:
    phrases, answers = answers_with(10)
    dear = CostParams.model_validate({"pairs": [{"right": "a", "answered": "b", "cost": 30.0}]})
    free = CostParams.model_validate({"labels": {"a": 0.0, "b": 0.0}})
    [merge] = simulate_merges(phrases, answers, cost_matrix(dear, phrases.labels))
    assert merge.saved == pytest.approx(1000 * (10 * 30 + 10) / 60, abs=0.001)
    assert simulate_merges(phrases, answers, cost_matrix(free, phrases.labels)) == []


def test_a_label_that_is_two_things_on_both_sides_of_another_pays_to_split() -> None:
    """One linear head cannot answer both ends of a line and leave out its middle."""
    random = np.random.default_rng(3)
    count = 120
    codes = np.repeat([0, 0, 1], count)
    centres = np.repeat([[-1.0, 0.3], [1.0, 0.3], [0.0, 0.3]], count, axis=0)
    vectors = (centres + random.normal(scale=0.1, size=centres.shape)).astype(np.float32)
    cleaned = np.array([f"p{number:04d}" for number in range(3 * count)], dtype=object)
    order = random.permutation(3 * count)
    base = judged_phrases(rows_of(sound()), seed=SEED)
    phrases = Phrases(
        cleaned=cleaned,
        codes=codes[order],
        labels=np.array(["ends", "middle"]),
        rows=np.ones(3 * count),
        vectors=vectors[order],
        ngrams=base.ngrams[:1][np.zeros(3 * count, int)] * 0,
        folds=random.integers(4, size=3 * count),
        teach=np.ones(3 * count, bool),
    )
    answers = answer_out_of_fold(phrases, seed=SEED)
    matrix = cost_matrix(CostParams(), phrases.labels)
    splits = {split.label: split for split in simulate_splits(phrases, answers, matrix, seed=SEED)}
    assert splits["ends"].pays
    assert splits["ends"].silhouette > 0.5
    assert splits["ends"].share == pytest.approx(0.5, abs=0.02)
    assert not splits["middle"].pays if "middle" in splits else True

    page = labels_page(
        {"found": 0, "judged": 360, "suspects": []},
        describe_labels(phrases, answers, [], list(splits.values())),
    )
    assert "Split ends" in page


def test_a_label_of_one_kind_does_not_pay_to_split() -> None:
    pairs = sound()
    phrases, answers, _ = judge(pairs)
    matrix = cost_matrix(CostParams(), phrases.labels)
    assert not any(split.pays for split in simulate_splits(phrases, answers, matrix, seed=SEED))


def test_the_cost_of_a_pair_counts_before_that_of_its_label() -> None:
    costs = CostParams.model_validate(
        {
            "default": 2.0,
            "labels": {"a": 5.0},
            "pairs": [{"right": "a", "answered": "b", "cost": 3.0}],
        }
    )
    matrix = cost_matrix(costs, np.array(["a", "b", "c"]))
    assert matrix.tolist() == [[0, 3, 5], [2, 0, 2], [2, 2, 0]]
    for row, right in enumerate("abc"):
        for column, answered in enumerate("abc"):
            assert costs.of(right, answered) == matrix[row, column]


def test_costs_of_unknown_labels_are_refused_with_their_names() -> None:
    from core.params.costs import refuse_unknown_labels

    costs = CostParams.model_validate(
        {"labels": {"x": 1.0}, "pairs": [{"right": "a", "answered": "y", "cost": 1.0}]}
    )
    with pytest.raises(TrainingImpossible, match=r"x, y.*params\.yaml"):
        refuse_unknown_labels(costs, {"a", "b"})
    refuse_unknown_labels(costs, {"a", "x", "y"})
