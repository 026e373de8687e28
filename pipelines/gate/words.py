"""The gate's sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.english import counted
from core.params.gate import GateParams
from pipelines.gate.hypotheses import POOLED, PROOF_PHRASES, visible_fall
from pipelines.gate.sign_flips import probability

if TYPE_CHECKING:
    from pipelines.gate.hypotheses import Finding

NAMED = 3
SHOWN_FALLS = 5
POINTS = 100
LEAST_GAIN = 1e-5
"""As the evidence rounds it."""
NEARLY = "few more test rows would prove the loss"


def no_rows() -> str:
    """Say that all test rows are corrections."""
    return (
        "no test row can judge: "
        "the test rows are corrections of answers that the source does not hold"
    )


def below_minimum(score: float, minimum: float) -> str:
    """Say that the minimum is missed."""
    return f"weighted F1 {score:.4f} is below the minimum {minimum:.4f}"


def below_floor(score: float, floor: float) -> str:
    """Say that the floor is not beaten."""
    return (
        f"weighted F1 {score:.4f} does not beat "
        f"always answering the most frequent label ({floor:.4f})"
    )


def first_version(evidence: Mapping[str, Any]) -> str:
    """Say what a version without a champion has shown."""
    score = evidence["candidate_weighted_f1"]
    floor = evidence["floor_weighted_f1"]
    return (
        f"first version: weighted F1 {score:.4f} beats the floor {floor:.4f} and the minimum; "
        "without a champion, losses cannot be judged"
    )


def harm(finding: Finding) -> str:
    """A proved harm, with its size and the chance of a false alarm."""
    fall = POINTS * -finding.gain
    allowed = POINTS * finding.allowed
    measure = {
        "overall": "weighted F1",
        "favoured": f"{finding.name} F1",
        "slice": f"accuracy on {finding.name}",
        "recall": f"recall of {finding.name}",
        "precision": f"precision of {finding.name}",
    }[finding.kind]
    return (
        f"{measure} drops by {fall:.2f} points (allowed {allowed:.2f}); "
        f"chance would show such harm with probability {finding.adjusted:.3f}"
    )


def undecided(evidence: Mapping[str, Any], policy: GateParams) -> str:
    """Say what is not proved, and what is missing."""
    loss = POINTS * -evidence["gain_lower_bound"]
    return (
        f"neither harm nor its absence is proved: weighted F1 may drop by {loss:.2f} points "
        f"(allowed {POINTS * policy.max_weighted_f1_drop:.2f}); "
        f"{evidence['rows']} test rows weigh as "
        f"{evidence['effective_phrases']:.0f} phrases; {missing_rows(evidence, policy)}"
    )


def missing_rows(evidence: Mapping[str, Any], policy: GateParams) -> str:
    """How many rows would decide, if they were like those at hand: a bound narrows with the root
    of the rows. They prove that the loss is within the margin, or that there is one.
    """
    room = evidence["gain"] + policy.max_weighted_f1_drop
    slack = evidence["gain"] - evidence["gain_lower_bound"]
    if room > 0:
        missing = max(round(evidence["rows"] * ((slack / room) ** 2 - 1)), 1)
    else:
        proof = PROOF_PHRASES / max(evidence["discordant_phrases"], 1)
        factor = max((slack / max(-evidence["gain"], LEAST_GAIN)) ** 2, proof)
        missing = round(evidence["rows"] * (factor - 1))
    return f"about {counted(missing, 'more test row')} would decide" if missing > 0 else NEARLY


def keep(evidence: Mapping[str, Any]) -> str:
    """Say how little differs."""
    return (
        f"not worse and not better: weighted F1 {evidence['candidate_weighted_f1']:.4f} "
        f"against the champion's {evidence['champion_weighted_f1']:.4f}; "
        f"{evidence['discordant_phrases']} of {evidence['phrases']} test phrases "
        "are answered differently"
    )


def gain(evidence: Mapping[str, Any]) -> str:
    """State the gain overall."""
    return (
        f"weighted F1 {evidence['candidate_weighted_f1']:.4f} against the champion's "
        f"{evidence['champion_weighted_f1']:.4f}; "
        f"gain at least {evidence['gain_lower_bound']:+.4f} (95 %), "
        f"by chance with {probability(evidence['gain_p'])}"
    )


def favoured_gain(favoured: Mapping[str, Any]) -> str:
    """State the gain in what the classifier favours."""
    return (
        f"{favoured['favour']} F1 {favoured['candidate']:.4f} against the champion's "
        f"{favoured['champion']:.4f}, by chance with {probability(favoured['gain_p'])}; "
        "weighted F1 is not worse"
    )


def learnt(labels: Sequence[str]) -> str:
    """Name the new labels."""
    return f"it answers {_listed(labels)}, which the champion cannot"


def learnt_rules(phrases: int) -> str:
    """State how many changed rules are known."""
    return f"it knows the new rule of {phrases} phrases, whose labels changed after the champion"


def too_old(days: float, limit: float) -> str:
    """State the champion's age."""
    return (
        f"the champion was trained {days:.0f} days ago (at most {limit:.0f}), "
        "and the candidate is not worse"
    )


def lost_labels(gone: Mapping[str, float]) -> str:
    """Name the labels that only the champion can answer, with their share of what it learnt."""
    share = POINTS * sum(gone.values())
    return (
        f"{_listed(list(gone))} would no longer be answered: too few rows have the label now "
        f"({share:.1f} % of the rows that the champion learnt from)"
    )


def adds_up(lost: float, policy: GateParams) -> str:
    """State the loss since the last proved gain."""
    return (
        f"against the last version with a proved gain, weighted F1 may have dropped "
        f"by {POINTS * lost:.2f} points "
        f"(allowed {POINTS * policy.max_weighted_f1_drop:.2f}): small losses would add up"
    )


def visible_harm(phrases: Mapping[str, int]) -> str:
    """What the gate would have seen, and what it could not. `phrases`: label -> number of its
    test phrases.
    """
    falls = {label: visible_fall(int(count)) for label, count in phrases.items()}
    seen = {label: fall for label, fall in falls.items() if fall is not None}
    pooled = sum(count < PROOF_PHRASES for count in phrases.values())
    parts = []
    for fall in sorted(set(seen.values()))[:SHOWN_FALLS]:
        labels = [label for label, least in seen.items() if least == fall]
        parts.append(f"{POINTS * fall:.0f} points in {_listed(labels)}")
    falls_seen = "; ".join(parts) or "none"
    between = len(phrases) - len(seen) - pooled
    return (
        f"falls of recall that would be proved 9 times in 10: {falls_seen}. "
        "Smaller falls would not. "
        f"{between} labels have too few test phrases for that, {pooled} are judged as {POOLED}"
    )


def _listed(labels: Sequence[str]) -> str:
    more = len(labels) - NAMED
    return ", ".join(labels[:NAMED]) + (f" and {more} more" if more > 0 else "")
