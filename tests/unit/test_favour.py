"""`favour`: a planted imbalance, what leaning gains, and what stays as it was without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from pydantic import TypeAdapter

from benchmarks.imbalance import scores_of
from benchmarks.imbalance_world import ImbalancedSet, generated_set
from core.contracts import Verdict
from core.errors import ParamsError
from core.params.gate import GateParams
from core.params.heads import Favour
from core.params.heads import Head as HeadParams
from core.params.schema import load_params
from pipelines.gate.decide import decide
from pipelines.gate.hypotheses import compare_answers, overall_differences
from pipelines.gate.rows import GateRows
from pipelines.gate.scores import favoured_f1, label_shares
from pipelines.model.head_file import Head, load_head, save_head
from pipelines.model.heads import fit_head, fit_heads
from pipelines.model.training import TrainingRows, fitting_weights
from pipelines.stages.resolve import specs
from tests.support.gates import gate_rows
from tests.support.training import training_rows

SVM: HeadParams = TypeAdapter(HeadParams).validate_python({"kind": "hybrid_svm", "buckets": 1024})
LENIENT = GateParams(min_weighted_f1=0.0)


@pytest.fixture(scope="module")
def planted() -> ImbalancedSet:
    """20 labels, the most frequent one a hundred times as frequent as the rarest."""
    return generated_set(labels=20, most_rows=500, seed=3)


def fitted(rows: TrainingRows, favour: Favour) -> Head:
    return fit_head(SVM, training=rows, embedder_id="words-1", seed=7, favour=favour)


@pytest.fixture(scope="module")
def scores(planted: ImbalancedSet) -> dict[str, dict[str, float]]:
    return {
        favour: scores_of(fitted(planted.training, favour), planted, None)
        for favour in get_args(Favour)
    }


def test_leaning_gains_on_a_planted_imbalance(scores: dict[str, dict[str, float]]) -> None:
    assert scores["macro"]["macro_f1"] > scores["weighted"]["macro_f1"] + 0.01
    assert scores["tail"]["tail_f1"] > scores["weighted"]["tail_f1"] + 0.03
    assert scores["macro"]["weighted_f1"] > scores["weighted"]["weighted_f1"] - 0.01


def test_probabilities_stay_calibrated_to_the_traffic() -> None:
    """On average over four sets: of one, the slice that calibrates holds few rows of a label."""
    errors: dict[Favour, list[float]] = {"weighted": [], "macro": []}
    for seed in range(1, 5):
        planted = generated_set(labels=20, most_rows=500, seed=seed)
        for favour, found in errors.items():
            head = fitted(planted.training, favour)
            found.append(scores_of(head, planted, None)["calibration_error"])
    assert np.mean(errors["macro"]) < np.mean(errors["weighted"]) + 0.01


def test_the_head_is_as_before_without_favour(tmp_path: Path) -> None:
    rows = training_rows()
    before = fit_head(SVM, training=rows, embedder_id="words-1", seed=7)
    digests = {
        save_head(before, tmp_path / "a"),
        save_head(fitted(rows, "weighted"), tmp_path / "b"),
    }
    assert len(digests) == 1
    assert (fitting_weights(rows) == np.log2(1 + rows.weights)).all()


def test_a_leaning_head_has_the_same_format_and_costs_nothing_when_served(tmp_path: Path) -> None:
    rows = training_rows()
    save_head(fitted(rows, "tail"), tmp_path)
    leaning = load_head(tmp_path)
    plain = fitted(rows, "weighted")
    assert set(leaning.arrays) == set(plain.arrays)
    assert set(leaning.settings) == set(plain.settings)


def test_labels_of_equal_weight_are_left_alone() -> None:
    rows = training_rows()
    even = replace(rows, weights=np.ones(len(rows.labels)))
    for favour in get_args(Favour):
        assert np.allclose(fitting_weights(replace(even, favour=favour)), 1.0)


def test_a_label_of_test_rows_alone_is_learnt_by_the_served_head() -> None:
    rows = training_rows()
    late = rows.labels == "bone"
    rows = replace(
        rows,
        weights=np.where(late, 0.0, rows.weights),
        test_weights=np.where(late, rows.weights, 0.0),
    )
    heads = fit_heads(SVM, training=rows, embedder_id="words-1", seed=7, favour="tail")
    assert heads.judged.labels == ("heart", "lung")
    assert heads.served.labels == ("bone", "heart", "lung")


@pytest.mark.parametrize("favour", get_args(Favour))
def test_an_empty_validation_slice_and_a_label_of_one_row_are_no_error(favour: Favour) -> None:
    rows = training_rows()
    single = np.flatnonzero(rows.labels == "bone")[:1]
    chosen = np.concatenate([np.flatnonzero(rows.labels != "bone"), single])
    few = TrainingRows(
        rows.cleaned[chosen],
        rows.labels[chosen],
        rows.weights[chosen],
        rows.vectors[chosen],
        np.zeros(len(chosen), bool),
    )
    head = fitted(few, favour)
    shares = head.probabilities(few.cleaned.tolist(), few.vectors)
    assert head.labels == ("bone", "heart", "lung") and np.isfinite(shares).all()


def params_of(tmp_path: Path, added: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(
        "classifiers:\n  organ:\n    source: {query: queries/a.sql, label: organ}\n" + added
    )
    return path


def test_the_spec_has_no_new_key_without_favour(tmp_path: Path) -> None:
    plain = specs(load_params(params_of(tmp_path, "")))
    leaning = specs(load_params(params_of(tmp_path, "    favour: tail\n")))
    assert "favour" not in plain["organ/head.json"] | plain["organ/compare.json"]
    assert leaning["organ/head.json"] == {**plain["organ/head.json"], "favour": "tail"}
    assert leaning["organ/split.json"] == plain["organ/split.json"]


def test_another_favour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"organ.favour to be .*'macro'"):
        load_params(params_of(tmp_path, "    favour: rare\n"))


def judged(*, rare_right_before: int, rare_right_now: int) -> GateRows:
    """400 frequent rows, right in both versions, and 40 rows of ten rare labels."""
    rare = [f"rare{number % 10}" for number in range(40)]
    truth = ["common"] * 400 + rare
    answers = [
        ["common"] * 400 + rare[:right] + ["common"] * (40 - right)
        for right in (rare_right_now, rare_right_before)
    ]
    phrases = [str(number) for number in range(440)]
    rows = gate_rows(truth, phrases, answers[0], answers[1], floor="common")
    weights = np.where(rows.truth == "common", 1.0, 0.02)
    return replace(rows, weights=weights / weights.mean())


def verdict_of(rows: GateRows, favour: Favour) -> Verdict:
    return decide(rows, LENIENT, seed=7, favour=favour)


@pytest.mark.parametrize("favour", ["macro", "tail"])
def test_the_gate_promotes_a_gain_in_what_is_favoured(favour: Favour) -> None:
    verdict = verdict_of(judged(rare_right_before=10, rare_right_now=30), favour)
    assert verdict.kind == "promote" and "favoured" in verdict.evidence["better"]
    favoured = verdict.evidence["favoured"]
    assert favoured["candidate"] > favoured["champion"] and favoured["gain_p"] <= 0.025


@pytest.mark.parametrize("favour", ["macro", "tail"])
def test_the_gate_rejects_a_loss_in_what_is_favoured(favour: Favour) -> None:
    verdict = verdict_of(judged(rare_right_before=30, rare_right_now=10), favour)
    assert verdict.kind == "reject" and f"favoured of {favour}" in verdict.evidence["harms"]
    assert any(reason.startswith(f"{favour} F1 drops by") for reason in verdict.reasons)


def test_a_classifier_that_follows_the_traffic_is_judged_as_before() -> None:
    rows = judged(rare_right_before=10, rare_right_now=30)
    assert verdict_of(rows, "weighted") == decide(rows, LENIENT, seed=7)
    assert "favoured" not in verdict_of(rows, "weighted").evidence


@pytest.mark.parametrize("favour", get_args(Favour))
def test_the_phrases_add_up_to_the_gain(favour: Favour) -> None:
    rows = judged(rare_right_before=18, rare_right_now=22)
    assert rows.champion is not None
    answers = compare_answers(rows, rows.champion)
    gain = favoured_f1(answers.truth, answers.candidate, answers.weights, favour) - favoured_f1(
        answers.truth, answers.champion, answers.weights, favour
    )
    assert overall_differences(answers, favour).sum() == pytest.approx(gain, rel=0.2)


def test_the_tail_is_the_third_of_the_labels_that_occur_least() -> None:
    shares = label_shares(np.array([0.0, 5.0, 1.0, 2.0, 9.0, 8.0, 7.0]), "tail")
    assert shares.tolist() == [0, 0, 0.5, 0.5, 0, 0, 0]
    assert label_shares(np.array([0.0, 5.0, 1.0]), "macro").tolist() == [0, 0.5, 0.5]
