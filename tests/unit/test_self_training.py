"""Self-training: which phrases join, what they change, and when it stays off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.params.heads import LogisticHead
from core.params.schema import ClassifierParams
from core.params.self_training import SelfTrainingParams
from pipelines.model.head_file import Head, save_head
from pipelines.model.heads import Heads, fit_heads, head_fits
from pipelines.model.self_training import (
    ALL_UNSURE,
    LOSES,
    NO_GAIN,
    NO_PHRASES,
    ON,
    ONE_LABEL,
    describe_self_training,
    self_training_metrics,
    state_of,
)
from pipelines.model.training import TrainingRows
from pipelines.stages.resolve import _self_training
from pipelines.stages.self_training import (
    Answered,
    Joining,
    choose_joining,
    fit_self_trained,
    join_rows,
    measure_gain,
    within_labels,
)
from pipelines.unlabelled import UnlabelledPhrases
from tests.support.training import training_rows, vectors_of

LOGISTIC = LogisticHead(kind="logistic")
SPEC: dict[str, Any] = {"min_confidence": 0.6, "weight": 0.2, "abstain": {}}
LABELLED = 20


def fits(rows: TrainingRows) -> Iterator[Head]:
    return head_fits(LOGISTIC, rows, embedder_id="words-1", seed=7)


def picked(rows: TrainingRows, chosen: np.ndarray) -> TrainingRows:
    columns = ("cleaned", "labels", "weights", "vectors", "validation")
    return replace(rows, **{name: getattr(rows, name)[chosen] for name in columns})


@pytest.fixture(scope="module")
def every() -> TrainingRows:
    """All labelled phrases, of which the first of each label keep their label."""
    return training_rows()


@pytest.fixture(scope="module")
def rank(every: TrainingRows) -> np.ndarray:
    """The place of each phrase among those of its label."""
    labels = dict.fromkeys(every.labels.tolist())
    return np.concatenate([np.arange(np.sum(every.labels == label)) for label in labels])


@pytest.fixture(scope="module")
def rows(every: TrainingRows, rank: np.ndarray) -> TrainingRows:
    """A few phrases of each label that train, and as many more that test."""
    few = picked(every, rank < 3 * LABELLED)
    tests = (rank[rank < 3 * LABELLED]) >= LABELLED
    return replace(
        few,
        weights=np.where(tests, 0.0, few.weights),
        test_weights=np.where(tests, few.weights, 0.0),
        validation=few.validation & ~tests,
    )


@pytest.fixture(scope="module")
def unlabelled(every: TrainingRows, rank: np.ndarray) -> UnlabelledPhrases:
    cleaned = tuple(every.cleaned[rank >= 3 * LABELLED].tolist())
    return UnlabelledPhrases(cleaned, tuple(range(len(cleaned), 0, -1)))


def train(
    rows: TrainingRows, unlabelled: UnlabelledPhrases, **changes: Any
) -> tuple[Heads, dict[str, Any]]:
    return fit_self_trained(rows, unlabelled, {**SPEC, **changes}, fits=fits, embed=vectors_of)


def test_sure_answers_join_and_the_report_says_how_many_of_each_label(
    rows: TrainingRows, unlabelled: UnlabelledPhrases
) -> None:
    _, report = train(rows, unlabelled)
    assert report["phrases"] == len(unlabelled.cleaned)
    assert report["asks"] == sum(unlabelled.asks)
    assert report["joined"] == sum(report["joined_by_label"].values()) > 0
    assert report["joined"] + sum(report["left_out"].values()) == report["phrases"]
    assert 0 < report["joined_asks"] <= report["asks"]
    assert report["gain_low"] <= report["gain"] <= report["gain_high"]
    difference = report["accuracy"] - report["accuracy_without"]
    assert report["gain"] == pytest.approx(difference, abs=1e-5)
    assert report["rows"] == rows.tested().weights.sum()
    assert report["state"] == state_of(report["gain"])


def test_two_runs_give_the_same_bytes(
    rows: TrainingRows, unlabelled: UnlabelledPhrases, tmp_path: Path
) -> None:
    first, first_report = train(rows, unlabelled)
    second, second_report = train(rows, unlabelled)
    assert first_report == second_report
    for name in ("judged", "served"):
        digests = {save_head(getattr(heads, name), tmp_path / name) for heads in (first, second)}
        assert len(digests) == 1


def test_a_version_that_gains_learns_the_phrases_and_another_is_as_without(
    rows: TrainingRows, unlabelled: UnlabelledPhrases, tmp_path: Path
) -> None:
    plain = fit_heads(LOGISTIC, training=rows, embedder_id="words-1", seed=7)
    without = save_head(plain.served, tmp_path / "plain")
    heads, report = train(rows, unlabelled)
    changed = save_head(heads.served, tmp_path / "taught") != without
    assert changed == (report["state"] == ON)
    nothing, report = train(rows, UnlabelledPhrases())
    assert report["state"] == NO_PHRASES
    assert save_head(nothing.served, tmp_path / "nothing") == without


def test_wrong_answers_that_join_lose_and_switch_it_off(
    rows: TrainingRows, unlabelled: UnlabelledPhrases, tmp_path: Path
) -> None:
    """A judged head that is sure of the wrong label: the fit without it stays."""
    turned = {"heart": "lung", "lung": "bone", "bone": "heart"}

    def misled(training: TrainingRows) -> Iterator[Head]:
        own = ~np.isin(training.cleaned, list(unlabelled.cleaned))
        wrong = np.array([turned[label] for label in training.labels])
        weights = np.where(own, training.weights, 500.0)
        labels = np.where(own, training.labels, wrong)
        return fits(replace(training, labels=labels, weights=weights))

    heads, report = fit_self_trained(rows, unlabelled, SPEC, fits=misled, embed=vectors_of)
    assert report["state"] == LOSES
    assert report["gain"] < 0
    plain = fit_heads(LOGISTIC, training=rows, embedder_id="words-1", seed=7)
    assert save_head(heads.judged, tmp_path / "1") == save_head(plain.judged, tmp_path / "2")
    assert save_head(heads.served, tmp_path / "3") == save_head(plain.served, tmp_path / "4")


def test_below_the_threshold_nothing_joins(
    rows: TrainingRows, unlabelled: UnlabelledPhrases
) -> None:
    _, report = train(rows, unlabelled, min_confidence=0.9999999)
    assert report["state"] == ALL_UNSURE
    assert report["left_out"]["unsure"] == report["phrases"]
    assert "gain" not in report


def test_sure_answers_of_one_label_alone_join_nothing(
    rows: TrainingRows, every: TrainingRows
) -> None:
    hearts = every.cleaned[every.labels == "heart"][3 * LABELLED :].tolist()
    judged = next(fits(rows))
    answers = judged.probabilities(hearts, vectors_of(hearts)).argmax(axis=1)
    heart = judged.labels.index("heart")
    alike = tuple(
        phrase for phrase, code in zip(hearts, answers.tolist(), strict=True) if code == heart
    )
    _, report = train(rows, UnlabelledPhrases(alike, (1,) * len(alike)), min_confidence=0.1)
    assert report["state"] == ONE_LABEL
    assert set(report["joined_by_label"]) == {"heart"}


def test_a_label_gets_no_more_phrases_than_it_has_labelled_ones(
    rows: TrainingRows, unlabelled: UnlabelledPhrases
) -> None:
    _, report = train(rows, unlabelled, min_confidence=0.1)
    assert max(report["joined_by_label"].values()) <= LABELLED
    assert report["left_out"]["above_the_labelled"] > 0


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1, width=32), st.booleans()), max_size=30),
    st.lists(st.integers(0, 5), min_size=3, max_size=3),
)
def test_the_surest_phrases_of_each_label_join(
    phrases: list[tuple[int, float, bool]], most: list[int]
) -> None:
    codes = np.array([code for code, _, _ in phrases], np.int64)
    confidence = np.array([share for _, share, _ in phrases], np.float32)
    eligible = np.array([fits for _, _, fits in phrases], bool)
    chosen = within_labels(Answered(codes, confidence, confidence), eligible, most)
    for code in range(3):
        own = eligible & (codes == code)
        assert (chosen & (codes == code)).sum() == min(own.sum(), most[code])
        left = own & ~chosen
        if left.any() and (own & chosen).any():
            assert confidence[own & chosen].min() >= confidence[left].max()
    assert not (chosen & ~eligible).any()


def test_far_phrases_and_refused_ones_do_not_join(rows: TrainingRows) -> None:
    part = rows.without_test()
    unlabelled = UnlabelledPhrases(("near", "as near", "far", "as far"), (1, 1, 1, 1))
    vectors = np.concatenate([part.vectors[:2], -part.vectors[:2]])
    judged = next(fits(rows))
    joining = choose_joining(judged, part, unlabelled, vectors, {**SPEC, "min_confidence": 0.01})
    assert joining.chosen.tolist() == [True, True, False, False]
    assert joining.left_out["novel"] == 2
    strict = {
        **SPEC,
        "min_confidence": 0.01,
        "abstain": {"min_precision": 0.999, "max_false": None},
    }
    refusing = choose_joining(judged, part, unlabelled, vectors, strict)
    assert not refusing.chosen.any()
    assert refusing.left_out["refused"] == 2


def test_joined_phrases_weigh_little_and_calibrate_nothing(
    rows: TrainingRows, unlabelled: UnlabelledPhrases
) -> None:
    vectors = vectors_of(list(unlabelled.cleaned))
    everything = np.ones(len(unlabelled.cleaned), bool)
    labels = np.full(len(unlabelled.cleaned), "heart")
    present = replace(rows, present=rows.trained(), present_with_test=rows.trained())
    joined = join_rows(
        present, Joining(everything, labels, {}), unlabelled, vectors, weight=SPEC["weight"]
    )
    added = slice(len(rows.labels), None)
    assert set(joined.weights[added]) == {0.2}
    assert not joined.validation[added].any()
    assert joined.test_weights is not None and not joined.test_weights[added].any()
    assert joined.present is not None and joined.present[added].all()
    assert joined.tested().cleaned.tolist() == rows.tested().cleaned.tolist()
    assert joined.with_test().weights[added].tolist() == joined.weights[added].tolist()


def test_the_interval_counts_phrases_not_rows(
    rows: TrainingRows, unlabelled: UnlabelledPhrases
) -> None:
    judged = next(fits(rows))
    taught = next(fits(replace(rows, labels=np.roll(rows.labels, 1))))
    test = rows.tested()
    once = measure_gain(taught, judged, replace(test, weights=np.ones(len(test.labels))))
    often = measure_gain(taught, judged, replace(test, weights=np.full(len(test.labels), 50.0)))
    assert often["gain_low"] == pytest.approx(once["gain_low"], abs=1e-5)
    assert (once["rows"], often["rows"]) == (len(test.labels), 50 * len(test.labels))


@pytest.mark.parametrize(("gain", "state"), [(0.01, ON), (0.0, NO_GAIN), (-0.01, LOSES)])
def test_it_is_on_where_it_gains(gain: float, state: str) -> None:
    assert state_of(gain) == state


def test_the_report_in_words_and_as_metrics() -> None:
    report = {
        "state": ON, "problem": "", "phrases": 4000, "joined": 1500,
        "joined_by_label": {"a": 900, "b": 500, "c": 70, "d": 30}, "rows": 2345,
        "gain": 0.0121, "gain_low": 0.0007, "gain_high": 0.0235,
    }  # fmt: skip
    assert describe_self_training(report) == [
        "on",
        "1,500 of 4,000 unlabelled phrases joined: 4 labels, most of a 900, b 500, c 70",
        "+1.21 points of accuracy (+0.07 to +2.35) on 2,345 test rows, with them against without",
    ]
    metrics = self_training_metrics(report)
    assert metrics["self_training_on"] == 1.0
    assert metrics["self_training_gain"] == 0.0121
    assert self_training_metrics({}) == {}
    away = {"state": NO_PHRASES, "problem": "the log could not be read: gone", "phrases": 0}
    assert describe_self_training(away) == [
        "off: no unlabelled phrase (the log could not be read: gone)"
    ]
    assert self_training_metrics(away) == {
        "self_training_phrases": 0, "self_training_on": 0.0
    }  # fmt: skip


def test_the_block_is_off_by_default_and_on_with_its_defaults() -> None:
    source = {"query": "queries/notes.sql", "label": "organ"}
    off = ClassifierParams.model_validate({"source": source})
    assert off.self_training is None and _self_training(off) == {}
    on = ClassifierParams.model_validate(
        {"source": source, "self_training": {}, "abstain": {"max_false": 0.04}}
    )
    assert on.self_training == SelfTrainingParams()
    assert _self_training(on)["abstain"] == {"max_false": 0.04, "min_precision": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_confidence": 1.0},
        {"min_confidence": 0},
        {"weight": 0},
        {"weight": 1.5},
        {"days": 0},
        {"max_phrases": 0},
        {"confidence": 0.9},
    ],
)
def test_impossible_settings_fail_before_any_work(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SelfTrainingParams.model_validate(wrong)
