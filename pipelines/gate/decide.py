"""The gate's decision: test rows and thresholds to a Verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.contracts import Verdict
from core.params.gate import GateParams
from pipelines.gate import words
from pipelines.gate.bounds import Gain, bound_gain, effective_phrases
from pipelines.gate.drifted import drift_gain, measure_drift
from pipelines.gate.favoured import measure_favoured
from pipelines.gate.hypotheses import (
    Comparison,
    Finding,
    compare_answers,
    find_harm,
    hypotheses,
    overall_differences,
    phrases_of_labels,
    visible_fall,
)
from pipelines.gate.rows import GateRows
from pipelines.gate.scores import Favoured, favoured_f1, weighted_f1
from pipelines.gate.sign_flips import gain_p_value

GAIN_LEVEL = 0.05
"""For each of the two routes that chance can open: a gain overall, and a gain since the drift.
Together at most 10 %. A classifier that favours another F1 splits the first level between both.
"""
LEAST_DRIFT_GAIN = 0.005
"""Accuracy since a drift. Memory alone gains .001 to .002 in two or three months without a drift,
because the phrases repeat, and the number of rows proves even that.
"""
CHANCE_ROUTES = frozenset({"overall", "favoured", "since_drift"})
"""The ways of being better that are gains proved on rows."""
NEW_MARGINS = 2
"""How many margins may be lost, by the bound, where the candidate knows new labels or rules."""
KNOWN_SHARE = 0.5
KNOWN_PHRASES = 2
"""A label is learnt when half of its test rows are right, on two phrases at least."""


def decide(
    rows: GateRows, policy: GateParams, *, seed: int, favour: Favoured = "weighted"
) -> Verdict:
    """Return Verdict "promote", "keep", "reject" or "undecided" with every reason.

    - reject: below the minimum or the floor; or harm is proved overall, on a slice, or on a label,
      and is larger than the margin. At most 5 % of equal candidates, by all these tests together.
    - undecided: neither harm nor "not worse" is proved.
    - promote: not worse (`_not_worse`), and better: overall, in the F1 that the classifier
      favours, since the drift, on labels that the champion lacks, or because the champion is too
      old. Chance opens the first three to at most 10 % of equal candidates, together.
    - keep: not worse, not better. The champion's own head is never worse, however few the rows.

    Sources of the rates: `find_harm`, `gain_p_value`, `bound_gain`. Measured by `benchmarks.gate`.
    """
    judged = rows.only(rows.judges)
    facts = _corrections(rows)
    if not len(judged.truth):
        return Verdict("undecided", (words.no_rows(),), {"rows": 0, **facts})

    evidence = {**_absolute(judged), **facts, "uncovered_share": round(rows.uncovered, 4)}
    failures = _absolute_failures(evidence, policy)
    if judged.champion is None:
        first = failures or [words.first_version(evidence)]
        return Verdict("reject" if failures else "promote", tuple(first), evidence)

    answers = compare_answers(judged, judged.champion)
    evidence |= measure_favoured(answers, favour, seed=seed)
    findings = find_harm(hypotheses(judged, answers, policy, favour), seed=seed)
    return _against_champion(judged, answers, findings, evidence, failures, policy, seed=seed)


def _against_champion(
    rows: GateRows,
    answers: Comparison,
    findings: list[Finding],
    evidence: dict[str, Any],
    failures: list[str],
    policy: GateParams,
    *,
    seed: int,
) -> Verdict:
    gain = bound_gain(overall_differences(answers), answers.shares)
    gain_p = gain_p_value(overall_differences(answers), seed=seed)
    since = measure_drift(rows.drift, seed=seed)
    knows_more = bool(_learnt_labels(rows) or _learnt_rules(rows))
    not_worse = rows.same_head or _not_worse(gain, gain_p, since, policy, knows_more=knows_more)

    harms = [finding for finding in findings if finding.harm_is_proved]
    harms = [finding for finding in harms if finding.kind != "overall" or not not_worse]
    evidence |= _relative(rows, answers, gain, gain_p)
    evidence |= {"allowed_drop": policy.max_weighted_f1_drop, **_by_slice(rows)}
    evidence |= _described_findings(findings, harms) | _visible(answers)
    evidence |= since

    if failures or harms:
        reasons = failures + [words.harm(finding) for finding in harms]
        return Verdict("reject", tuple(reasons), evidence)
    if not not_worse:
        return Verdict("undecided", (words.undecided(evidence, policy),), evidence)

    better = _better(rows, evidence, policy)
    evidence["better"] = list(better)
    if not better:
        return Verdict("keep", (words.keep(evidence),), evidence)
    if (lost := _lost_since_proved(rows, policy)) is not None:
        evidence["lost_since_proved"] = round(lost, 5)
        return Verdict("undecided", (words.adds_up(lost, policy),), evidence)
    reasons = list(better.values())
    if "drift_rows" in evidence and "since_drift" not in better:
        reasons.append(drift_gain(evidence))
    return Verdict("promote", tuple(reasons), evidence)


def _not_worse(
    gain: Gain, gain_p: float, since: Mapping[str, Any], policy: GateParams, *, knows_more: bool
) -> bool:
    """Return True within the margin, or with a proved gain.

    Keeping the champion is not neutral where the candidate has learnt what the champion cannot
    know. When a drift that nothing has answered yet is provably learnt, the estimate must be within
    the margin, not its bound; later, the champion has the memory of it, too. With labels or rules
    that are new to the champion, the estimate must not be negative, and its bound lie within
    NEW_MARGINS margins.
    """
    if gain.lower >= -policy.max_weighted_f1_drop or gain_p <= GAIN_LEVEL:
        return True
    if _learnt_drift(since) and since["drift_unanswered"]:
        return gain.estimate >= -policy.max_weighted_f1_drop
    bounded = gain.lower >= -NEW_MARGINS * policy.max_weighted_f1_drop
    return knows_more and gain.estimate >= 0 and bounded


def _absolute(rows: GateRows) -> dict[str, Any]:
    floor = np.full(len(rows.truth), rows.floor, dtype=object).astype(str)
    return {
        "rows": len(rows.truth),
        "phrases": len(np.unique(rows.phrases)),
        "labels": len(np.unique(rows.truth)),
        "candidate_weighted_f1": round(weighted_f1(rows.truth, rows.candidate, rows.weights), 5),
        "floor_weighted_f1": round(weighted_f1(rows.truth, floor, rows.weights), 5),
    }


def _absolute_failures(evidence: Mapping[str, Any], policy: GateParams) -> list[str]:
    score = evidence["candidate_weighted_f1"]
    floor = evidence["floor_weighted_f1"]
    failures = []
    if score < policy.min_weighted_f1:
        failures.append(words.below_minimum(score, policy.min_weighted_f1))
    if score <= floor:
        failures.append(words.below_floor(score, floor))
    return failures


def _corrections(rows: GateRows) -> dict[str, int]:
    """Rows that decide nothing: how many there are, and how many the candidate has right."""
    corrected = rows.only(~rows.judges)
    right = int((corrected.candidate == corrected.truth).sum())
    return {"corrections": len(corrected.truth), "corrections_right": right}


def _relative(rows: GateRows, answers: Comparison, gain: Gain, gain_p: float) -> dict[str, Any]:
    changed = answers.candidate != answers.champion
    champion = favoured_f1(answers.truth, answers.champion, answers.weights, "weighted")
    return {
        "champion_weighted_f1": round(champion, 5),
        "gain": round(gain.estimate, 5),
        "gain_lower_bound": round(gain.lower, 5),
        "gain_p": round(gain_p, 5),
        "effective_phrases": round(effective_phrases(answers.shares), 1),
        "discordant_phrases": len(np.unique(rows.phrases[changed])),
    }


def _by_slice(rows: GateRows) -> dict[str, Any]:
    """Accuracy of both versions on the same rows of each slice, weighted like the traffic."""
    scores = {}
    champion = np.asarray(rows.champion)
    for name, mask in sorted(rows.slices.items()):
        if mask.any() and not mask.all():
            part = rows.only(mask)
            right = part.candidate == part.truth
            champion_right = champion[mask] == part.truth
            scores[name] = {
                "rows": len(part.truth),
                "candidate": round(float(np.average(right, weights=part.weights)), 5),
                "champion": round(float(np.average(champion_right, weights=part.weights)), 5),
            }
    return {"accuracy_by_slice": scores}


def _described_findings(findings: list[Finding], harms: list[Finding]) -> dict[str, Any]:
    recalls = [finding for finding in findings if finding.kind == "recall"]
    worst = min(recalls, key=lambda finding: finding.gain, default=None)
    slices = {
        finding.name: round(finding.gain, 5) for finding in findings if finding.kind == "slice"
    }
    return {
        "harm_p": round(min(finding.adjusted for finding in findings), 5),
        "harms": [f"{finding.kind} of {finding.name}" for finding in harms],
        "worst_recall_drop": round(-worst.gain, 5) if worst else 0.0,
        "worst_recall_label": worst.name if worst else None,
        "gain_by_slice": slices,
    }


def _visible(answers: Comparison) -> dict[str, Any]:
    counts = phrases_of_labels(answers)
    present = counts > 0
    names = [str(name) for name in answers.labels[present]]
    phrases = dict(zip(names, counts[present].tolist(), strict=True))
    seen = [name for name, count in phrases.items() if visible_fall(count) is not None]
    return {"visible_harm": words.visible_harm(phrases), "seen_labels": seen}


def _better(rows: GateRows, evidence: Mapping[str, Any], policy: GateParams) -> dict[str, str]:
    """Route -> sentence, for every way in which the candidate is better."""
    routes = {}
    favoured = evidence.get("favoured")
    level = GAIN_LEVEL / 2 if favoured else GAIN_LEVEL
    if evidence["gain_p"] <= level:
        routes["overall"] = words.gain(evidence)
    if favoured and favoured["gain_p"] <= level:
        routes["favoured"] = words.favoured_gain(favoured)
    if _learnt_drift(evidence):
        routes["since_drift"] = drift_gain(evidence)
    learnt = _learnt_labels(rows)
    if learnt:
        routes["new_labels"] = words.learnt(learnt)
    if rules := _learnt_rules(rows):
        routes["new_rules"] = words.learnt_rules(rules)
    if rows.champion_days > policy.max_champion_days:
        routes["age"] = words.too_old(rows.champion_days, policy.max_champion_days)
    return routes


def _learnt_drift(since: Mapping[str, Any]) -> bool:
    proved: bool = since.get("drift_gain_p", 1.0) <= GAIN_LEVEL
    return proved and since["drift_gain"] >= LEAST_DRIFT_GAIN


def _learnt_labels(rows: GateRows) -> list[str]:
    """Labels that the champion cannot answer and the candidate knows. Chance cannot make the
    champion right there.
    """
    if not rows.champion_labels:
        return []
    learnt = []
    for label in np.unique(rows.truth):
        own = rows.truth == label
        right = own & (rows.candidate == label)
        enough = len(np.unique(rows.phrases[right])) >= KNOWN_PHRASES
        if label not in rows.champion_labels and enough and right.sum() >= KNOWN_SHARE * own.sum():
            learnt.append(str(label))
    return learnt


def _learnt_rules(rows: GateRows) -> int:
    """Return how many phrases follow a rule that the candidate knows and the champion cannot.

    0 unless half of these rows are right, on `KNOWN_PHRASES` phrases at least, and the champion is
    wrong on them.
    """
    if rows.new_rules is None or rows.champion is None:
        return 0
    right = rows.new_rules & (rows.candidate == rows.truth)
    learnt = right & (rows.champion != rows.truth)
    phrases = len(np.unique(rows.phrases[learnt]))
    enough = phrases >= KNOWN_PHRASES and right.sum() >= KNOWN_SHARE * rows.new_rules.sum()
    return phrases if enough else 0


def _lost_since_proved(rows: GateRows, policy: GateParams) -> float | None:
    """How much may have been lost since the last version with a proved gain; None when that is
    within the margin.
    """
    if rows.proved is None:
        return None
    answers = compare_answers(rows, rows.proved)
    gain = bound_gain(overall_differences(answers), answers.shares)
    return None if gain.lower >= -policy.max_weighted_f1_drop else -gain.lower
