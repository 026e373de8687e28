"""The rule of abstention of a registered version: it is the one that was registered, or refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pipelines.model.abstention import FILE, Abstention, as_json, load_abstention, refused_rule
from pipelines.model.digests import recorded_abstention_digest

EVALUATION = "evaluation.json"


def abstention_digest(folder: Path) -> str:
    """Return the digest of the file beside a head, "" without one."""
    try:
        return hashlib.sha256((folder / FILE).read_bytes()).hexdigest()[:16]
    except FileNotFoundError:
        return ""


def load_promised(folder: Path) -> Abstention | None:
    """Read the rule of a registered version; `folder` is its own.

    Raises `HeadRefused` when the rule is not the one that was registered: a version that should
    refuse phrases must not answer them. A version of an earlier release has no digest of its rule;
    the evaluation beside it describes the rule then. One made before there were rules has neither.
    """
    rule = load_abstention(folder)
    recorded = recorded_abstention_digest(folder)
    present = abstention_digest(folder)
    if recorded and present != recorded:
        raise refused_rule(folder, f"one of digest {present}" if present else "none")
    if not recorded and not _is_described(folder, rule):
        raise refused_rule(folder, "another rule than its evaluation describes")
    return rule


def _is_described(folder: Path, rule: Abstention | None) -> bool:
    """Return whether the evaluation beside a head describes the rule, or nothing does."""
    try:
        evaluation = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return as_json(rule) == (evaluation.get("abstention") or {}).get("rule")
