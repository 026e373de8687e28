"""The page of a candidate: the verdict in words, both versions on the same rows, links, plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.contracts import ModelVersion, Verdict
from flows.pages.markdown import inline_image, links_line, table

VERDICTS = {
    "promote": "The candidate answers from now on.",
    "keep": "The candidate is neither worse nor better. The champion stays.",
    "reject": "The candidate harms. The champion stays.",
    "undecided": "The test rows prove neither harm nor its absence. The champion stays.",
    "hold": "The candidate waits for a person: `perennial rollout promote` or `reject`.",
    "wait": "The run promoted nothing. The champion stays.",
    "failed": "The classifier could not be trained. The champion stays.",
}
PLOTS = ("reliability.png", "confusions.png", "f1_by_support.png")
APART = frozenset(
    {"accuracy_by_slice", "bias_not_measured", "gain_by_slice", "promise", "self_training"}
)
"""Evidence that the page shows above the table of the rest."""


def render_verdict(
    folder: Path,
    candidate: ModelVersion,
    verdict: Verdict,
    *,
    reason: str,
    links: Mapping[str, str],
    comparison: str = "",
    history: str = "",
    errors: str = "",
) -> str:
    """Return Markdown.

    `folder` holds the plots, `links` maps a text to an address or a path, `comparison` is the
    Markdown table of the compared heads, `history` says which window was chosen and why, and
    `errors` is the summary of the error report. The last three may be empty.
    """
    title = f"# {candidate.classifier} version {candidate.version}: {verdict.kind}"
    parts = [
        title,
        VERDICTS.get(verdict.kind, ""),
        measured_gain(verdict.evidence),
        _promise(verdict.evidence),
        _self_training(verdict.evidence),
        _unmeasured_bias(verdict.evidence),
        "\n".join(f"- {sentence}" for sentence in verdict.reasons),
        f"Reason: **{reason}**. {links_line(links)}",
        history,
        _same_rows(verdict.evidence),
        errors,
        _evidence(verdict.evidence),
        comparison.strip(),
        *(inline_image(folder / name) for name in PLOTS if (folder / name).exists()),
    ]
    return "\n\n".join(part for part in parts if part)


def render_no_candidate(classifier: str, verdict: Verdict, *, reason: str) -> str:
    """Return Markdown of why a run made no candidate."""
    parts = [
        f"# {classifier}: {verdict.kind}",
        VERDICTS.get(verdict.kind, ""),
        "\n".join(f"- {sentence}" for sentence in verdict.reasons),
        f"Reason: **{reason}**.",
        _evidence(verdict.evidence),
    ]
    return "\n\n".join(part for part in parts if part)


def measured_gain(evidence: Mapping[str, Any]) -> str:
    """Return the gain, its bound, and the drop that is tolerated; "" without a champion."""
    if "gain_lower_bound" not in evidence or "allowed_drop" not in evidence:
        return ""
    return (
        f"**{evidence['gain']:+.4f} weighted F1 on {evidence['rows']:,} test rows, "
        f"at least {evidence['gain_lower_bound']:+.4f}; "
        f"a drop of {evidence['allowed_drop']:.4f} would be tolerated.**"
    )


def _promise(evidence: Mapping[str, Any]) -> str:
    """Say what a version that may refuse promises; "" for one that always answers."""
    promise = evidence.get("promise", "")
    return f"On its test rows it {promise}." if promise else ""


def _self_training(evidence: Mapping[str, Any]) -> str:
    """Say what its own answers to unlabelled phrases were worth; "" where it learns none."""
    lines = evidence.get("self_training", ())
    return f"Self-training: {'; '.join(lines)}." if lines else ""


def _unmeasured_bias(evidence: Mapping[str, Any]) -> str:
    """Say which kinds of bias have no number, and why; "" when all were measured."""
    missing: Mapping[str, str] = evidence.get("bias_not_measured", {})
    kinds = [f"{kind} ({reason})" for kind, reason in missing.items()]
    return f"Bias that was not measured: {'; '.join(kinds)}." if kinds else ""


def _same_rows(evidence: Mapping[str, Any]) -> str:
    """Return candidate and champion beside each other, on all test rows and on each slice."""
    if "champion_weighted_f1" not in evidence:
        return ""
    whole = {
        "rows": evidence["rows"],
        "candidate": evidence["candidate_weighted_f1"],
        "champion": evidence["champion_weighted_f1"],
    }
    rows = [_scores("weighted F1, all test rows", whole)]
    for name, scores in evidence.get("accuracy_by_slice", {}).items():
        rows.append(_scores(f"accuracy, {name}", scores))
    head = ("on the same rows", "rows", "candidate", "champion", "difference")
    return table(head, rows)


def _scores(name: str, scores: Mapping[str, Any]) -> list[str]:
    candidate = scores["candidate"]
    champion = scores["champion"]
    return [
        name,
        f"{scores['rows']:,}",
        f"{candidate:.4f}",
        f"{champion:.4f}",
        f"{candidate - champion:+.4f}",
    ]


def _evidence(evidence: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in evidence.items() if key not in APART}
    return table(("evidence", "value"), ([key.replace("_", " "), str(rest[key])] for key in rest))
