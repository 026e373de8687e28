"""What a retraining found, in ten lines per classifier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cli.lines import fact_lines
from core.contracts import Verdict
from core.settings import Settings

SHOWN = 3
REASONS = 2
OUTCOMES = {
    "promote": "version {version} answers from now on",
    "keep": "version {champion} stays, version {version} is neither worse nor better",
    "reject": "version {champion} stays, version {version} is rejected",
    "undecided": "version {champion} stays, the test rows do not decide about version {version}",
    "hold": "version {champion} stays, version {version} waits for a person",
    "wait": "not now",
    "failed": "nothing changed",
}
NEXT = {
    "promote": "perennial rollout rollback {name}   # if version {champion} was better",
    "keep": "perennial status",
    "reject": "perennial lineage {name} {version}",
    "undecided": "perennial lineage {name} {version}",
    "hold": "perennial rollout promote {name} {version}",
    "wait": "perennial status",
    "failed": "perennial logs retrain",
}
FIRST = {"promote": "perennial up   # the service answers", "reject": NEXT["reject"]}
"""For a classifier without a champion before."""


def retrained_lines(verdicts: Mapping[str, Verdict], settings: Settings) -> Iterator[str]:
    """Yield the lines of every classifier, with an empty one between two."""
    for number, (name, verdict) in enumerate(verdicts.items()):
        if number:
            yield ""
        yield f"{name}: {verdict.kind}, {_outcome(verdict)}"
        yield from fact_lines(_facts(name, verdict, settings))


def _outcome(verdict: Verdict) -> str:
    evidence = verdict.evidence
    champion = evidence.get("champion_version")
    if verdict.kind == "reject" and not champion:
        return f"version {evidence.get('version')} is rejected, and no version answers yet"
    outcome = OUTCOMES.get(verdict.kind, "")
    return outcome.format(champion=champion or "none", version=evidence.get("version", "none"))


def _facts(name: str, verdict: Verdict, settings: Settings) -> Iterator[tuple[str, str]]:
    evidence = verdict.evidence
    if score := _score(evidence):
        yield "score", score
    if promise := evidence.get("promise"):
        yield "promise", promise
    yield from _titled("because", verdict.reasons[:REASONS])

    if worse := list(_worse(evidence)):
        yield "worse", "; ".join(worse[:SHOWN])
    if better := list(_better(evidence)):
        yield "better", "; ".join(better[:SHOWN])
    if evidence.get("flips_share"):
        changes = "; ".join(evidence["flips"][:SHOWN])
        yield "changes", f"{100 * evidence['flips_share']:.1f} % of recent answers: {changes}"

    yield from _titled("rules", evidence.get("rules", ())[:SHOWN])
    yield from _titled("self-training", evidence.get("self_training", ()))
    if version := evidence.get("version"):
        yield "version", f"{settings.mlflow_url}/#/models/{name}/versions/{version}"

    yield "runs", f"{settings.prefect_url}/runs"
    yield "next", _next(name, verdict)


def _titled(title: str, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name the first line alone."""
    for number, line in enumerate(lines):
        yield "" if number else title, line


def _score(evidence: Mapping[str, Any]) -> str:
    if "candidate_weighted_f1" not in evidence:
        return ""
    score = f"weighted F1 {evidence['candidate_weighted_f1']:.4f}"
    if "champion_weighted_f1" in evidence:
        champion = evidence.get("champion_version", "")
        score += f" against {evidence['champion_weighted_f1']:.4f} of version {champion}"
    return f"{score}, on {evidence['rows']:,} test rows"


def _worse(evidence: Mapping[str, Any]) -> Iterator[str]:
    """Proved harms first, then the label and the slices that lost most."""
    yield from evidence.get("harms", ())
    if evidence.get("worst_recall_drop", 0) > 0:
        fall = evidence["worst_recall_drop"]
        yield f"recall of {evidence['worst_recall_label']} -{_points(fall)}{_proof(evidence)}"
    for name, gain in _slices(evidence):
        if gain < 0:
            yield f"{name} {_signed(gain)}{_proof(evidence)}"


def _better(evidence: Mapping[str, Any]) -> Iterator[str]:
    if "drift_accuracy_before" in evidence:
        before = evidence["drift_accuracy_before"]
        after = evidence["drift_accuracy_after"]
        yield f"answers since the drift {before:.3f} -> {after:.3f}"
    for name, gain in reversed(_slices(evidence)):
        if gain > 0:
            yield f"{name} {_signed(gain)}"


def _proof(evidence: Mapping[str, Any]) -> str:
    """Say so where a loss may be chance; proved ones are named before."""
    return "" if evidence.get("harms") else " (not proved)"


def _slices(evidence: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return slice and gain, the greatest loss first."""
    return sorted(evidence.get("gain_by_slice", {}).items(), key=lambda pair: pair[1])


def _signed(gain: float) -> str:
    return f"{'+' if gain > 0 else '-'}{_points(abs(gain))}"


def _points(share: float) -> str:
    return f"{100 * share:.2f} points"


def _next(name: str, verdict: Verdict) -> str:
    evidence = verdict.evidence
    champion = evidence.get("champion_version")
    texts = NEXT if champion else {**NEXT, **FIRST}
    text = texts.get(verdict.kind, "perennial status")
    return text.format(name=name, version=evidence.get("version"), champion=champion)
