"""Rules after a head: a pattern that decides the label of the phrases in which it is found.

A rule is judged on the test rows of the judged head, and stays off where it hurts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipelines.model.arrays import Bool, Float32, Float64, Strings

ON = "on"
HURTS = "off: the head alone is right more often"
NO_MATCH = "off: no test phrase matches"
EVERY_MATCH = "off: every test phrase matches"
UNKNOWN_LABEL = "off: the head does not know the label"
JUDGED_RULES = "rules.json"
"""The file beside a new head that says what the test rows found of each rule."""
LEAD = 1e-3
"""By how much the label of a rule leads at least, in probability."""


@dataclass(frozen=True)
class Rule:
    """Phrases in which `pattern` is found get `label` with at least `probability`, in (0, 1)."""

    pattern: str
    label: str
    probability: float

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def matches(self, cleaned: str) -> bool:
        return self._compiled.search(cleaned) is not None


@dataclass(frozen=True)
class JudgedRule:
    """What the test rows say of a rule.

    `rows` test rows of `phrases` distinct phrases match. The rule is right on the share `precision`
    of them and the head alone on `head_precision`, both in [0, 1]; 0 without rows. `state` is "on",
    or says why the rule is off.
    """

    pattern: str
    label: str
    state: str
    phrases: int
    rows: int
    precision: float
    head_precision: float


@dataclass(frozen=True)
class RuleRows:
    """Test rows as a rule sees them: `cleaned`, `truth`, `answered` by the judged head, (n,).

    `rows`, float64 (n,), counts the test rows behind each.
    """

    cleaned: Strings
    truth: Strings
    answered: Strings
    rows: Float64


def apply_rules(
    rules: Sequence[Rule], labels: Sequence[str], cleaned: Sequence[str], probabilities: Float32
) -> Float32:
    """Return probabilities, (n, labels), in which the first matching rule of a phrase answers.

    The label of the rule gets the rule's probability, or the head's where that is larger. The other
    labels share the rest as before. Rows without a match are unchanged.
    """
    changed = probabilities.copy()
    for place, text in enumerate(cleaned):
        rule = first_match(rules, text)
        if rule is not None:
            code = labels.index(rule.label)
            changed[place] = _decided(probabilities[place], code, rule.probability)
    return changed


def first_match(rules: Sequence[Rule], cleaned: str) -> Rule | None:
    """Return the first rule that matches: the order of params.yaml decides."""
    return next((rule for rule in rules if rule.matches(cleaned)), None)


def _decided(row: Float32, code: int, probability: float) -> Float32:
    """Give one label at least a probability, and more than any other label has."""
    others = row.astype(np.float64)
    others[code] = 0.0
    rest = others.sum()
    if rest <= 0:
        return row
    largest = others.max() / rest
    least = largest / (1 + largest) + LEAD
    own = min(max(float(row[code]), probability, least), 1.0)
    others *= (1 - own) / rest
    others[code] = own
    return others.astype(np.float32)


def misfit_rules(rules: Any, labels: Sequence[str]) -> str | None:
    """Return why these are not the rules of a head of these labels, in one clause, or None."""
    if not isinstance(rules, list):
        return f"rules of {str(rules)[:40]!r}"
    sound = all(isinstance(rule, dict) and _is_rule(rule, labels) for rule in rules)
    return None if sound else "rules that are not pattern, label and probability"


def describe_rule(judged: Mapping[str, Any]) -> str:
    """Return a `JudgedRule` in one line: what it does, its state, and how often it is right."""
    precision = (
        f"right on {100 * judged['precision']:.1f} % of {judged['rows']:,} test rows, "
        f"the head alone on {100 * judged['head_precision']:.1f} %"
    )
    tested = f", {precision}" if judged["rows"] else ""
    return f"{judged['pattern']} -> {judged['label']}: {judged['state']}{tested}"


def _is_rule(rule: Mapping[str, Any], labels: Sequence[str]) -> bool:
    if set(rule) != {"pattern", "label", "probability"} or rule["label"] not in labels:
        return False
    try:
        re.compile(rule["pattern"])
    except (re.error, TypeError):
        return False
    probability = rule["probability"]
    return isinstance(probability, float) and 0 < probability < 1


def judge_rules(
    written: Sequence[Mapping[str, str]], labels: Sequence[str], test: RuleRows
) -> tuple[list[JudgedRule], tuple[Rule, ...]]:
    """Judge each rule on the test rows that no rule before it decides.

    `written` holds pattern and label of each rule in the order of params.yaml, `labels` those that
    the judged head knows. Returns what was found, and the rules that stay on.
    """
    decided = np.zeros(len(test.cleaned), bool)
    judged: list[JudgedRule] = []
    kept: list[Rule] = []
    for rule in written:
        result, matched = _judge(rule["pattern"], rule["label"], labels, test, ~decided)
        judged.append(result)
        if result.state == ON:
            decided |= matched
            kept.append(Rule(result.pattern, result.label, _probability(result)))
    return judged, tuple(kept)


def _judge(
    pattern: str, label: str, labels: Sequence[str], test: RuleRows, free: Bool
) -> tuple[JudgedRule, Bool]:
    search = re.compile(pattern).search
    matches = np.array([search(text) is not None for text in test.cleaned], bool)
    matched = matches & free
    rows = float(test.rows[matched].sum())
    right = float(test.rows[matched & (test.truth == label)].sum())
    head_right = float(test.rows[matched & (test.truth == test.answered)].sum())
    result = JudgedRule(
        pattern,
        label,
        _state(label in labels, matches, rows, right - head_right),
        phrases=len(set(test.cleaned[matched].tolist())),
        rows=round(rows),
        precision=right / rows if rows else 0.0,
        head_precision=head_right / rows if rows else 0.0,
    )
    return result, matched


def _state(known: bool, matches: Bool, rows: float, gained: float) -> str:
    if not known:
        return UNKNOWN_LABEL
    if len(matches) and matches.all():
        return EVERY_MATCH
    if not rows:
        return NO_MATCH
    return HURTS if gained < 0 else ON


def _probability(judged: JudgedRule) -> float:
    """Return the mean of the precision after its phrases, from a uniform prior (Laplace)."""
    return (judged.precision * judged.phrases + 1) / (judged.phrases + 2)
