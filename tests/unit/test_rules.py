"""Rules after a head: what they decide, when they stay off, and how they travel with the head."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import HeadRefused
from core.params.heads import MajorityHead
from core.params.rules import RuleParams
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.explanation import answer_steps, explain
from pipelines.model.head_file import Head, _digest, load_head, save_head
from pipelines.model.heads import fit_head
from pipelines.model.rules import (
    EVERY_MATCH,
    HURTS,
    NO_MATCH,
    ON,
    UNKNOWN_LABEL,
    JudgedRule,
    Rule,
    RuleRows,
    apply_rules,
    judge_rules,
)
from tests.support.training import training_rows, vectors_of

LABELS = ("bone", "heart", "lung")
FRACTURE = {"pattern": r"\bfx\b", "label": "bone"}


def rule_rows(*rows: tuple[str, str, str, int]) -> RuleRows:
    columns = [np.array(column, dtype=object) for column in zip(*rows, strict=True)]
    return RuleRows(columns[0], columns[1], columns[2], columns[3].astype(np.float64))


def judge(rule: dict[str, str], *rows: tuple[str, str, str, int]) -> JudgedRule:
    [judged], _ = judge_rules([rule], LABELS, rule_rows(*rows))
    return judged


def test_a_rule_that_helps_is_on_and_says_how_often_it_is_right() -> None:
    judged = judge(
        FRACTURE,
        ("fx of arm", "bone", "heart", 3),
        ("fx of rib", "bone", "bone", 1),
        ("fx", "lung", "lung", 1),
        ("murmur", "heart", "heart", 5),
    )
    assert judged == JudgedRule(r"\bfx\b", "bone", ON, 3, 5, precision=0.8, head_precision=0.4)


@pytest.mark.parametrize(
    ("rule", "state"),
    [
        ({"pattern": "fx", "label": "lung"}, HURTS),
        ({"pattern": "nothing", "label": "bone"}, NO_MATCH),
        ({"pattern": ".", "label": "bone"}, EVERY_MATCH),
        ({"pattern": "fx", "label": "skin"}, UNKNOWN_LABEL),
    ],
)
def test_a_rule_that_hurts_or_decides_nothing_or_everything_is_off(
    rule: dict[str, str], state: str
) -> None:
    rows = (("fx of arm", "bone", "bone", 1), ("murmur", "heart", "heart", 1))
    assert judge(rule, *rows).state == state
    assert judge_rules([rule], LABELS, rule_rows(*rows))[1] == ()


def test_a_later_rule_is_judged_on_the_rows_that_are_left_to_it() -> None:
    rows = rule_rows(
        ("fx rib", "bone", "heart", 4), ("rib", "bone", "heart", 1), ("a", "a", "a", 1)
    )
    [first, second], kept = judge_rules(
        [FRACTURE, {"pattern": "rib", "label": "bone"}], LABELS, rows
    )
    assert (first.rows, second.rows) == (4, 1)
    assert [rule.pattern for rule in kept] == [r"\bfx\b", "rib"]


def test_without_test_rows_every_rule_is_off() -> None:
    nothing = RuleRows(*(np.array([], dtype=object),) * 3, np.array([]))
    [judged], kept = judge_rules([FRACTURE], LABELS, nothing)
    assert (judged.state, kept) == (NO_MATCH, ())


@given(
    shares=st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda row: sum(row) > 0.01),
    probability=st.floats(0.01, 0.99),
    label=st.sampled_from(LABELS),
)
def test_a_matching_rule_answers_and_the_others_keep_their_order(
    shares: list[float], probability: float, label: str
) -> None:
    before = (np.array([shares]) / sum(shares)).astype(np.float32)
    rule = Rule("fx", label, probability)
    [after] = apply_rules([rule], LABELS, ["fx of arm"], before)
    place = LABELS.index(label)
    others = [number for number in range(3) if number != place]
    assert after.sum() == pytest.approx(1, abs=1e-5)
    assert after.argmax() == place
    assert after[place] >= min(before[0, place], np.float32(probability)) - 1e-6
    first, second = others
    if before[0, first] > before[0, second]:
        assert after[first] >= after[second]


def test_the_first_matching_rule_decides_and_other_phrases_stay() -> None:
    before = np.full((2, 3), 1 / 3, np.float32)
    rules = [Rule("fx", "bone", 0.9), Rule("arm", "heart", 0.9)]
    after = apply_rules(rules, LABELS, ["fx of arm", "cough"], before)
    assert after[0].argmax() == 0
    assert np.array_equal(after[1], before[1])


@pytest.fixture(scope="module")
def head() -> Head:
    rows = training_rows()
    return fit_head(MajorityHead(kind="majority"), training=rows, embedder_id="words-1", seed=7)


def test_rules_travel_with_the_head(head: Head, tmp_path: Path) -> None:
    [own] = PhraseClassifier(head, vectors_of).predict(["fx of arm"])
    other = next(label for label in head.labels if label != own.label)
    ruled = replace(head, rules=(Rule("^fx", other, 0.9),))
    assert save_head(ruled, tmp_path / "ruled") != save_head(head, tmp_path / "plain")
    loaded = load_head(tmp_path / "ruled")
    assert loaded.rules == ruled.rules
    [answer] = PhraseClassifier(loaded, vectors_of).predict(["FX of arm"])
    assert (answer.label, round(answer.probability, 3)) == (other, 0.9)
    assert "rules" not in json.loads((tmp_path / "plain" / "head.json").read_text())


def test_an_explanation_names_the_rule_and_explains_the_head(head: Head) -> None:
    [own] = PhraseClassifier(head, vectors_of).predict(["fx of arm"])
    other = next(label for label in head.labels if label != own.label)
    ruled = PhraseClassifier(replace(head, rules=(Rule("^fx", other, 0.9),)), vectors_of)
    explanation = explain(ruled, "fx of arm")
    assert (explanation.rule, explanation.label) == ("^fx", other)
    assert explanation.head_label == own.label
    steps = answer_steps(explanation, pinned_label=own.label)
    assert [(step.by, step.label) for step in steps] == [
        ("head", own.label),
        ("rule", other),
        ("pin", own.label),
    ]
    assert "^fx" in steps[1].sentence
    assert explain(ruled, "cough").rule == ""


@pytest.mark.parametrize(
    "rules",
    [
        "fx",
        [{"pattern": "fx"}],
        [{"pattern": "(", "label": "bone", "probability": 0.9}],
        [{"pattern": "fx", "label": "skin", "probability": 0.9}],
        [{"pattern": "fx", "label": "bone", "probability": 1.0}],
        [{"pattern": 3, "label": "bone", "probability": 0.9}],
    ],
)
def test_a_head_file_with_other_rules_is_refused(head: Head, tmp_path: Path, rules: object) -> None:
    save_head(head, tmp_path)
    manifest = {**json.loads((tmp_path / "head.json").read_text()), "rules": rules}
    manifest["digest"] = _digest(manifest, (tmp_path / "head.npz").read_bytes())
    (tmp_path / "head.json").write_text(json.dumps(manifest))
    with pytest.raises(HeadRefused, match="rules"):
        load_head(tmp_path)


@pytest.mark.parametrize("pattern", ["(", "", "a" * 301, "*"])
def test_a_pattern_that_is_no_expression_fails_before_any_work(pattern: str) -> None:
    with pytest.raises(ValidationError):
        RuleParams(pattern=pattern, label="bone")


@pytest.mark.parametrize("pattern", [r"(\w+\s?)+refund$", r"(a+)*b", r"(?:x{2,}y)+", r"(ab*c){3,}"])
def test_a_pattern_that_could_take_hours_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="repeats a group that repeats"):
        RuleParams(pattern=pattern, label="bone")


@pytest.mark.parametrize("pattern", [r"\bfx\b", r"^(left|right)? ?wrist", r"(ab)+c*", r"a.*b"])
def test_other_patterns_pass(pattern: str) -> None:
    assert RuleParams(pattern=pattern, label="bone").pattern == pattern
