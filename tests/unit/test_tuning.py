"""Tuning: params, the space, the slices, the rule of staleness, the decision, the edit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import optuna
import pytest
from pydantic import TypeAdapter, ValidationError

from core.errors import ParamsError, TrainingImpossible
from core.params.edits import read_params, set_head
from core.params.heads import Favour, Head
from core.params.schema import Params
from pipelines.gate.scores import encode, favoured_f1
from pipelines.tuning.outcome import StudyOutcome, TriedSettings, read_search, sentences
from pipelines.tuning.process import best_settings
from pipelines.tuning.records import LastTuning, carried_settings, study_name, why_stale
from pipelines.tuning.slices import only, slice_rows
from pipelines.tuning.space import (
    SPACE,
    chosen_settings,
    present_settings,
    suggest,
    with_settings,
)
from pipelines.tuning.trials import (
    Confirmation,
    Objective,
    Problem,
    answers_of,
    confirm,
    phrase_shares,
)
from tests.support.training import training_rows

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SOURCE = {"query": "queries/notes.sql", "label": "organ"}


def head_of(block: object) -> Head:
    head: Head = TypeAdapter(Head).validate_python(block)
    return head


SVM = head_of("hybrid_svm")


def tune_of(given: object) -> tuple[str, int]:
    block = {"source": SOURCE, "tune": given}
    tune = Params.model_validate({"classifiers": {"organ": block}}).classifiers["organ"].tune
    return tune.when, tune.seconds


def test_tuning_is_asked_for_by_a_word_or_a_block() -> None:
    assert tune_of("if_stale") == ("if_stale", 300)
    assert tune_of({"when": "always", "seconds": 60}) == ("always", 60)
    untouched = Params.model_validate({"classifiers": {"organ": {"source": SOURCE}}})
    assert untouched.classifiers["organ"].tune.when == "never"


@pytest.mark.parametrize(
    "given", ["sometimes", {"when": "always", "seconds": 0}, {"seconds": 60}, {"budget": 3}, 300]
)
def test_any_other_tuning_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        tune_of(given)


@pytest.mark.parametrize("kind", SPACE)
def test_each_range_names_a_setting_of_its_kind_and_stays_within_its_limits(kind: str) -> None:
    head = head_of(kind)
    for name, limits in SPACE[kind].items():
        assert with_settings(head, {name: int(limits.low) if limits.whole else limits.low})
        assert with_settings(head, {name: int(limits.high) if limits.whole else limits.high})
        assert limits.low <= getattr(head, name) <= limits.high


def test_a_kind_without_settings_has_nothing_to_search() -> None:
    assert present_settings(head_of("majority")) == {}


@pytest.mark.parametrize("kind", SPACE)
def test_a_stored_trial_gives_the_settings_that_were_tried(kind: str) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    head = with_settings(head_of(kind), {"C": 5000.0} if "C" in SPACE[kind] else {})
    study.enqueue_trial(present_settings(head))
    for _ in range(4):
        trial = study.ask()
        settings = suggest(trial, head)
        assert with_settings(head, settings)
        assert chosen_settings(study.trials[-1].params) == settings
        study.tell(trial, 0.0)
    assert chosen_settings(study.trials[0].params) == present_settings(head)


def test_slices_share_no_phrase_and_hold_no_test_row() -> None:
    rows = training_rows()
    tested = np.arange(len(rows.labels)) % 3 == 0
    weights = np.where(tested, 0.0, rows.weights)
    held = type(rows)(
        rows.cleaned,
        rows.labels,
        weights,
        rows.vectors,
        rows.validation,
        test_weights=np.where(tested, rows.weights, 0.0),
    )
    slices = slice_rows(held, seed=7)
    parts = [set(part.cleaned) for part in (slices.fitting, slices.choosing, slices.confirming)]
    assert not parts[0] & parts[1] and not parts[1] & parts[2] and not parts[0] & parts[2]
    assert set(rows.cleaned[tested]).isdisjoint(set().union(*parts))
    assert set(slices.before_confirming.cleaned) == parts[0] | parts[1]
    assert slices.choosing.test_weights is None


def test_too_few_phrases_have_no_slices() -> None:
    rows = training_rows()
    with pytest.raises(TrainingImpossible, match="30 training phrases"):
        slice_rows(only(rows, np.arange(len(rows.labels)) < 60, seed=7), seed=7)


def problem(**settings: float) -> Problem:
    small = with_settings(SVM, {"buckets": 256, "keep": 1.0, **settings})
    return Problem(small, slice_rows(training_rows(), seed=7), "words", 7)


def test_the_present_settings_are_never_pruned_even_without_time() -> None:
    study = optuna.create_study(direction="maximize")
    poor = problem(C=0.01)
    study.enqueue_trial(present_settings(poor.head))
    study.optimize(Objective(poor, deadline=0.0), n_trials=3)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "PRUNED", "PRUNED"]


def test_a_head_gains_nothing_over_itself() -> None:
    own = problem()
    same = confirm(own.head, own)
    assert same.gain == 0
    assert same.present == same.best
    assert same.lower <= 0 <= same.upper


def test_a_trial_and_the_gain_are_scored_by_what_the_block_favours() -> None:
    """One label has nearly all rows: its weighted F1 says little of the others."""
    rows = training_rows()
    rows = replace(rows, weights=np.where(rows.labels == "heart", 500.0, 1.0))
    small = with_settings(SVM, {"buckets": 256, "keep": 1.0})
    poor = with_settings(small, {"C": 0.0001, "ngram_weight": 0.2})
    scores: dict[str, float] = {}
    gains: dict[str, float] = {}
    for favour in get_args(Favour):
        asked = Problem(poor, slice_rows(rows, seed=7), "words", 7, favour)
        study = optuna.create_study(direction="maximize")
        study.enqueue_trial(present_settings(poor))
        study.optimize(Objective(asked, deadline=0.0), n_trials=1)
        scores[favour] = study.best_value
        judging = asked.slices.choosing
        answers = answers_of(poor, asked.slices.fitting, judging, asked)
        truth, given = encode(judging.labels.astype(str), answers.astype(str))
        assert study.best_value == favoured_f1(truth, given, judging.weights, favour)
        found = confirm(small, asked)
        gains[favour] = found.gain
        assert found.gain == found.best - found.present
    assert len(set(scores.values())) == 3 and len(set(gains.values())) == 3


def test_phrases_count_by_the_favoured_f1() -> None:
    truth = np.array([0, 0, 0, 1, 2])
    phrases = np.array([0, 0, 1, 2, 3])
    weights = np.array([3.0, 3.0, 2.0, 1.0, 1.0])
    assert phrase_shares(truth, phrases, weights, "weighted") == pytest.approx([0.6, 0.2, 0.1, 0.1])
    assert phrase_shares(truth, phrases, weights, "macro") == pytest.approx(
        [0.25, 1 / 12, 1 / 3, 1 / 3]
    )
    assert phrase_shares(truth, phrases, weights, "tail") == pytest.approx([1.0])


def last(**changes: object) -> LastTuning:
    facts = {"at": NOW - timedelta(days=10), "rows": 1000, "before": SVM.model_dump()}
    after = {**SVM.model_dump(), "C": 3.0}
    return LastTuning(**{**facts, "after": after, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "head", "rows", "why"),
    [
        (None, SVM, 1000, "never tuned"),
        (last(), SVM, 1000, ""),
        (last(), SVM, 1499, ""),
        (last(), SVM, 1500, "1,500 training rows, 1,000 at the last tuning"),
        (last(at=NOW - timedelta(days=91)), SVM, 1000, "tuned 91 days ago"),
        (last(), head_of("logistic"), 1000, "the head was hybrid_svm"),
    ],
)
def test_settings_are_stale(before: LastTuning | None, head: Head, rows: int, why: str) -> None:
    assert why_stale(before, head=head, rows=rows, now=NOW) == why


def test_settings_are_stale_when_the_block_favours_another_f1() -> None:
    """A tuning of an earlier release chose by weighted F1, whatever its block favoured."""
    stale = partial(why_stale, head=SVM, rows=1000, now=NOW)
    assert stale(last(), favour="weighted") == ""
    assert stale(last(), favour="tail") == "tuned for weighted F1, and the block favours tail F1"
    assert stale(last(favour="tail"), favour="tail") == ""


def test_a_result_is_carried_over_until_somebody_takes_it_or_sets_another() -> None:
    assert carried_settings(last(), SVM) == {"C": 3.0, "ngram_weight": 0.7}
    assert carried_settings(last(), with_settings(SVM, {"C": 3.0})) == {}
    assert carried_settings(last(), with_settings(SVM, {"C": 9.0})) == {}
    assert carried_settings(last(after=SVM.model_dump()), SVM) == {}


PRESENT = {"C": 1.0}
BEST = {"C": 3.0}


def search(lower: float | None, *trials: TriedSettings) -> StudyOutcome:
    found = None if lower is None else Confirmation(0.8, 0.82, 0.02, lower, 0.03, 900)
    return StudyOutcome(PRESENT, PRESENT if found is None else BEST, trials, found)


def test_only_a_proved_gain_changes_the_settings() -> None:
    assert search(0.001).chosen == BEST
    assert search(0.0).chosen == PRESENT
    assert search(None).chosen == PRESENT
    assert "not proved" in sentences(search(-0.01))[-1]
    assert sentences(search(0.001))[-1] == "chosen: C 3"
    assert "weighted F1" in sentences(search(0.001))[1]
    assert "macro F1" in sentences(replace(search(0.001), favour="macro"))[1]


def test_a_search_without_a_complete_trial_says_so() -> None:
    pruned = TriedSettings(0, BEST, None)
    assert best_settings((pruned,), PRESENT) == PRESENT
    assert sentences(search(None, pruned))[-1] == (
        "the present settings stay: no trial was completed"
    )


def test_of_equal_trials_the_first_is_best() -> None:
    trials = (TriedSettings(0, PRESENT, 0.8), TriedSettings(1, BEST, 0.8))
    assert best_settings(trials, PRESENT) == PRESENT


def test_what_a_block_favours_has_a_study_of_its_own(tmp_path: Path) -> None:
    rows = tmp_path / "train.parquet"
    rows.write_bytes(b"rows")
    name = partial(study_name, "organ", SVM, rows=rows, embedder_id="e", seed=7)
    assert name() == name(favour="weighted")
    assert len({name(favour=favour) for favour in ("weighted", "macro", "tail")}) == 3


def test_a_search_survives_json() -> None:
    whole = search(0.001, TriedSettings(0, PRESENT, 0.8))
    assert read_search(whole.as_json()) == whole
    macro = replace(whole, favour="macro")
    assert read_search(macro.as_json()) == macro
    older = {name: value for name, value in whole.as_json().items() if name != "favour"}
    assert read_search(older) == whole


HEADER = """# What changes a model.
classifiers:
  # the organ
  organ:   # three labels
    source: {query: queries/notes.sql, label: organ}
"""
OTHER = """  course:
    source: {query: queries/notes.sql, label: course}   # two
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "    head: {kind: hybrid_svm, C: 0.25}\n"),
        ("    head: logistic   # why\n", "    head: {kind: logistic, C: 0.25}   # why\n"),
        ("    head: {kind: logistic}  # why\n", "    head: {kind: logistic, C: 0.25}  # why\n"),
        ("    head: {C: 1, kind: logistic}\n", "    head: {C: 0.25, kind: logistic}\n"),
        (
            "    head:\n      kind: logistic  # a kind\n      C: 30.0  # a value\n",
            "    head:\n      kind: logistic  # a kind\n      C: 0.25  # a value\n",
        ),
        (
            "    head:\n      kind: logistic  # a kind\n\n    gate: {min_weighted_f1: 0.8}\n",
            "    head:\n      kind: logistic  # a kind\n      C: 0.25\n\n"
            "    gate: {min_weighted_f1: 0.8}\n",
        ),
    ],
)
def test_settings_are_written_where_they_stand_and_every_comment_stays(
    before: str, after: str
) -> None:
    assert set_head(HEADER + before + OTHER, "organ", {"C": 0.25}) == HEADER + after + OTHER


def test_a_small_number_stays_a_number() -> None:
    text = set_head(HEADER, "organ", {"C": 0.00001, "ngram_weight": 2.0})
    head = read_params(text).classifiers["organ"].head
    assert head == with_settings(SVM, {"C": 0.00001, "ngram_weight": 2.0})


def test_a_block_in_braces_is_edited_too() -> None:
    text = "classifiers:\n  organ: {source: {query: queries/notes.sql, label: organ}}\n"
    edited = set_head(text, "organ", {"C": 2.0})
    assert read_params(edited).classifiers["organ"].head == with_settings(SVM, {"C": 2.0})


def test_a_head_behind_an_alias_is_left_to_a_person() -> None:
    text = (
        "classifiers:\n  organ: {source: &s {query: queries/notes.sql, label: organ}, head: &h"
        " {kind: hybrid_svm, C: 1.0}}\n  other: {source: *s, head: *h}\n"
    )
    with pytest.raises(ParamsError, match="head of its own"):
        set_head(text, "organ", {"C": 2.0})
