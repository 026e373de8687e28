"""The learning curve: planted power laws, real refits, and when there is none."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from core.files import write_json
from core.params.heads import EnsembleHead, HybridSvmHead, LogisticHead, MlpHead
from core.params.schema import Params
from pipelines.errors.curve import (
    Refit,
    TrafficMix,
    fit_power_laws,
    gain_of,
    growth_exponent,
)
from pipelines.errors.gap import Part, judged_parts, measure_gap, parts_of
from pipelines.errors.refits import (
    MOST_HELD,
    MOST_WORK,
    Refits,
    affordable_shares,
    curve_head,
    fit_parts,
    hold_out,
    pick,
)
from pipelines.model.heads import fit_head
from pipelines.model.training import TrainingRows
from pipelines.not_measured import NotMeasured
from pipelines.stages.errors import head_recipe
from pipelines.stages.files import SPEC
from pipelines.stages.resolve import specs
from tests.support.training import training_rows

SIZES = (1000, 2000, 4000, 8000)
LOGISTIC = LogisticHead(kind="logistic")


def planted(*, scale: float, exponent: float, floor: float, seed: int) -> list[Refit]:
    """Held-out phrases of one hardness each: harder ones take more phrases to be learnt."""
    hardness = np.random.default_rng(seed).random(800)
    return [
        Refit(size, hardness < floor + scale * (size / SIZES[-1]) ** -exponent) for size in SIZES
    ]


@pytest.mark.parametrize("exponent, floor", [(0.5, 0.05), (1.0, 0.0)])
def test_the_interval_contains_the_planted_gain_nine_times_in_ten(
    exponent: float, floor: float
) -> None:
    inside = 0
    draws = 20
    for seed in range(draws):
        laws = fit_power_laws(
            planted(scale=0.1, exponent=exponent, floor=floor, seed=seed), seed=seed
        )
        traffic = TrafficMix(phrases=SIZES[-1], growth=1.0, new=1.0)
        gain = gain_of(laws, traffic, factor=2.0, known_wrong=0.0)
        true = 0.1 - 0.1 * 2**-exponent
        inside += gain.new[1] <= true <= gain.new[2]
    assert inside >= 0.9 * draws


def test_more_rows_gain_nothing_where_the_error_no_longer_falls() -> None:
    wrong = np.random.default_rng(1).random(500) < 0.2
    laws = fit_power_laws([Refit(size, wrong) for size in SIZES], seed=7)
    gain = gain_of(laws, TrafficMix(8000, 1.0, 1.0), factor=2.0, known_wrong=0.0)
    assert gain.new == pytest.approx((0, 0, 0), abs=1e-6)
    assert gain.accuracy[0] == pytest.approx(1 - wrong.mean(), abs=1e-6)


def test_no_mistake_at_all_gives_a_curve_of_nothing() -> None:
    laws = fit_power_laws([Refit(size, np.zeros(100, bool)) for size in SIZES], seed=7)
    gain = gain_of(laws, TrafficMix(8000, 0.5, 0.1), factor=2.0, known_wrong=0.0)
    assert gain.new == (0, 0, 0) and gain.answers == (0, 0, 0)


def test_rows_that_repeat_known_phrases_bring_less_than_new_ones() -> None:
    laws = fit_power_laws(planted(scale=0.1, exponent=0.5, floor=0.0, seed=1), seed=1)
    fast = gain_of(laws, TrafficMix(8000, 1.0, 0.1), factor=2.0, known_wrong=0.01)
    slow = gain_of(laws, TrafficMix(8000, 0.2, 0.1), factor=2.0, known_wrong=0.01)
    assert 0 < slow.new[0] < fast.new[0]
    assert 0 < fast.answers[0] < fast.new[0], "of all answers only some are to new phrases"


def test_phrases_grow_with_the_rows_as_often_as_rows_bring_new_ones() -> None:
    assert growth_exponent(np.ones(1000)) == pytest.approx(1.0)
    assert growth_exponent(np.full(1000, 50.0)) == pytest.approx(0.0, abs=1e-6)


def test_refits_share_no_phrase_with_what_judges_them() -> None:
    rows = training_rows()
    refits = fit_parts(LOGISTIC, rows, embedder_id="e", seed=7)
    assert isinstance(refits, Refits)
    assert refits.kind == "logistic" and refits.share == 1.0
    counts = [point.phrases for point in refits.points]
    outside = int((~rows.validation).sum())
    assert counts == sorted(counts) and counts[-1] == outside
    assert set(refits.held.rows.cleaned) == set(rows.cleaned[rows.validation])
    assert refits.fitted_right > 0.9
    again = fit_parts(LOGISTIC, rows, embedder_id="e", seed=7)
    assert isinstance(again, Refits) and (again.answers == refits.answers).all()


def test_phrases_of_the_test_part_are_held_out_unless_they_were_trained_on() -> None:
    rows = training_rows()
    weights = rows.weights.copy()
    weights[:40] = 0
    tested = replace(rows, weights=weights, test_weights=np.full(len(weights), 2.0))
    held = hold_out(tested)
    assert set(held.rows.cleaned[held.newest]) == set(rows.cleaned[:40])
    assert not set(held.rows.cleaned[~held.newest]) & set(rows.cleaned[:40])


def test_every_key_of_a_head_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = {
        "source": {"query": "queries/notes.sql", "label": "organ"},
        "head": {"kind": "logistic"},
        "favour": "tail",
        "rules": [{"pattern": "cough", "label": "lung"}],
    }
    files = specs(Params.model_validate({"seed": 3, "classifiers": {"organ": block}}))
    write_json(SPEC / "organ" / "head.json", files["organ/head.json"])
    assert head_recipe("organ") == (LOGISTIC, 3, "tail")


def test_an_empty_validation_slice_is_a_stated_reason() -> None:
    rows = replace(training_rows(), validation=np.zeros(330, bool))
    refits = fit_parts(LOGISTIC, rows, embedder_id="e", seed=7)
    assert refits == NotMeasured("0 phrases are held out, 30 are needed")


def test_one_label_outside_the_validation_slice_is_a_stated_reason() -> None:
    rows = training_rows()
    rows = replace(rows, validation=rows.labels != "heart")
    refits = fit_parts(LOGISTIC, rows, embedder_id="e", seed=7)
    assert isinstance(refits, NotMeasured)
    assert "cannot be divided" in refits.reason


def test_a_label_with_one_row_stops_no_refit() -> None:
    rows = training_rows()
    labels = rows.labels.astype(object)
    labels[np.flatnonzero(~rows.validation)[0]] = "alone"
    refits = fit_parts(LOGISTIC, replace(rows, labels=labels), embedder_id="e", seed=7)
    assert isinstance(refits, Refits) and len(refits.points) >= 3


def test_a_perceptron_is_replaced_by_the_default_head() -> None:
    assert isinstance(curve_head(MlpHead(kind="mlp")), HybridSvmHead)
    assert isinstance(curve_head(EnsembleHead(kind="ensemble")), HybridSvmHead)
    assert curve_head(LOGISTIC) is LOGISTIC


@pytest.mark.parametrize("pairs, labels", [(17_369, 239), (50_000, 1000), (2_000_000, 200)])
def test_the_refits_together_cost_a_bounded_work(pairs: int, labels: int) -> None:
    shares = affordable_shares(pairs, labels)
    assert sum(shares) * pairs * labels <= MOST_WORK
    assert [later / earlier for earlier, later in pairwise(shares)] == [2] * 3


def test_at_most_so_many_phrases_are_held_out() -> None:
    rows = training_rows()
    many = pick(rows, np.arange(20 * MOST_HELD) % len(rows.labels))
    many = replace(
        many,
        cleaned=np.array([f"n{number}" for number in range(len(many.labels))], dtype=object),
        validation=np.arange(len(many.labels)) % 10 == 0,
    )
    assert len(hold_out(many).newest) == MOST_HELD


def parts(training: float, validation: float | None, test: float | None) -> list[Part]:
    return [
        Part("training", 1000, training),
        Part("validation", 400, validation),
        Part("test", 200, test),
    ]


@pytest.mark.parametrize(
    "measured, exceeded",
    [
        (parts(0.99, 0.90, 0.89), []),
        (parts(0.99, 0.60, 0.58), ["validation"]),
        (parts(0.99, 0.90, 0.40), ["test"]),
        (parts(0.99, 0.77, 0.77), []),
        (parts(0.99, None, 0.50), ["test"]),
        (parts(0.99, None, None), []),
    ],
    ids=["small", "learnt by heart", "moved", "not proved", "no slice", "nothing new"],
)
def test_a_fall_beyond_the_limit_counts_once_it_is_proved(
    measured: list[Part], exceeded: list[str]
) -> None:
    gap = measure_gap(measured, limit=0.2)
    assert [fall["to"] for fall in gap["falls"] if fall["exceeded"]] == exceeded
    assert gap["exceeded"] == bool(exceeded)


def noise() -> TrainingRows:
    """Labels that no phrase gives away: a head can only learn them by heart."""
    rows = training_rows()
    random = np.random.default_rng(4)
    return replace(
        rows,
        labels=random.permutation(rows.labels),
        vectors=random.normal(size=rows.vectors.shape).astype(np.float32),
        validation=random.random(len(rows.labels)) < 0.3,
    )


def test_a_head_that_learns_by_heart_exceeds_the_limit() -> None:
    refits = fit_parts(LOGISTIC, noise(), embedder_id="e", seed=7)
    assert isinstance(refits, Refits)
    gap = measure_gap(parts_of(refits), limit=0.2)
    assert gap["exceeded"]
    assert gap["parts"][2] == {"part": "test", "phrases": 0, "right": None}


def test_without_refits_the_judged_head_shows_training_and_test() -> None:
    rows = training_rows()
    weights = rows.weights.copy()
    weights[::6] = 0
    tested = replace(rows, weights=weights, test_weights=np.ones(len(weights)))
    head = fit_head(LOGISTIC, training=tested, embedder_id="e", seed=7)
    gap = measure_gap(judged_parts(head, tested), limit=0.2)
    training, validation, test = gap["parts"]
    assert training["phrases"] == (weights > 0).sum() and training["right"] > 0.9
    assert validation["right"] is None
    assert test["phrases"] == 55
    assert [(fall["from"], fall["to"]) for fall in gap["falls"]] == [("training", "test")]
