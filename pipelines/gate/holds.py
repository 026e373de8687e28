"""Promotions that wait for a person: labels that would be lost, bias beyond its limit, and
classifiers decided by hand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from core.contracts import Verdict
from core.params.gate import GateParams
from pipelines.bias.clustered import Estimate
from pipelines.bias.report import not_measured, off_limits
from pipelines.bias.since_champion import Place, place_of
from pipelines.bias.words import beyond, failures, not_worse
from pipelines.gate.words import lost_labels

GONE_SHARE = 0.05
"""Of the rows that the champion learnt from. As many rows with new labels stop a training
(checks.max_unseen_label_share)."""
NAMED_ALONE = frozenset({"representation"})
"""Kinds of bias that describe the data. A new region is rare in every history: a champion that is
kept for it knows the region less than the candidate does."""


def gone_labels(
    before: Collection[str], after: Collection[str], *, counts: Mapping[str, int]
) -> dict[str, float]:
    """Return the labels that only the champion can answer, the most frequent first.

    Parameters
    ----------
    before, after : labels of the served heads of champion and candidate
    counts : rows by label of the snapshot that trained the champion, empty when unknown

    Returns
    -------
    dict
        Label -> share of these rows, 0 when unknown.
    """
    total = max(sum(counts.values()), 1)
    shares = {label: counts.get(label, 0) / total for label in set(before) - set(after)}
    return dict(sorted(shares.items(), key=lambda entry: (-entry[1], entry[0])))


def hold_gone_labels(verdict: Verdict, gone: Mapping[str, float]) -> Verdict:
    """Name the labels that would be lost; above `GONE_SHARE`, a promotion waits for a person."""
    if not gone:
        return verdict
    shares = {label: round(share, 5) for label, share in gone.items()}
    evidence = {**verdict.evidence, "gone_labels": shares}
    sentence = lost_labels(gone)
    if verdict.kind == "promote" and sum(gone.values()) > GONE_SHARE:
        reason = f"{sentence}; above {100 * GONE_SHARE:.0f} % a person promotes or rejects it"
        return Verdict("hold", (reason, *verdict.reasons), evidence)
    return Verdict(verdict.kind, (*verdict.reasons, sentence), evidence)


def hold_biased(
    verdict: Verdict, report: Mapping[str, Any], changes: Mapping[Place, Estimate] | None = None
) -> Verdict:
    """Name the bias that is beyond its limit for certain; a promotion then waits for a person.

    `report` is the content of bias.json, `changes` those of `changes_since` the champion, None
    without one. Bias of answers that is not proved larger than the champion's holds nothing. Nor
    does a kind that could not be measured: it is named, and the evidence has why, also where its
    groups have too few rows.
    """
    verdict = _with_unmeasured(verdict, report)
    measures = off_limits(report)
    if not measures:
        return verdict
    as_before = {place: change for place, change in (changes or {}).items() if change.low <= 0}
    sentences = [_beyond(measure, as_before) for measure in measures]
    evidence = {**verdict.evidence, "bias": sentences}
    held = [
        beyond(measure)
        for measure in measures
        if measure["kind"] not in NAMED_ALONE and place_of(measure) not in as_before
    ]
    if verdict.kind != "promote" or not held:
        return Verdict(verdict.kind, (*verdict.reasons, *evidence["bias"]), evidence)
    reasons = [f"{sentence}; a person promotes or rejects it" for sentence in held]
    return Verdict("hold", (*reasons, *verdict.reasons), evidence)


def _beyond(measure: Mapping[str, Any], as_before: Mapping[Place, Estimate]) -> str:
    change = as_before.get(place_of(measure))
    return f"{beyond(measure)}; {not_worse(change)}" if change else beyond(measure)


def _with_unmeasured(verdict: Verdict, report: Mapping[str, Any]) -> Verdict:
    missing = not_measured(report)
    if not missing:
        return verdict
    reasons = (*verdict.reasons, *failures(report.get("failed", {})))
    return Verdict(verdict.kind, reasons, {**verdict.evidence, "bias_not_measured": missing})


def hold_by_hand(verdict: Verdict, policy: GateParams) -> Verdict:
    """With `gate.promote: by_hand`, a promotion waits for a person."""
    if verdict.kind != "promote" or policy.promote != "by_hand":
        return verdict
    reason = "gate.promote is by_hand: a person promotes or rejects it"
    return Verdict("hold", (reason, *verdict.reasons), verdict.evidence)
