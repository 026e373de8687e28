"""What a version that may refuse promises, in words: how much it answers alone, and how well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def promise_sentence(report: Mapping[str, Any]) -> str:
    """Return such as "answers 83.1 % alone at 97.2 % or better"; "" for one that always answers.

    `report` is the part "abstention" of an evaluation, {} in one of an earlier release.
    """
    if not report.get("policy"):
        return ""
    promise = report["promise"]
    answered = 100 * promise["answered"]
    sentence = f"answers {answered:.1f} % alone at {100 * promise['precision']:.1f} % or better"
    if not report["rule"]:
        return f"{sentence}; {report['phrases']} unseen phrases are too few to refuse any"
    if not report["unseen"]["answered"]:
        proved = f"{100 * report['provable_precision']:.1f} %"
        return (
            f"{sentence}; {report['phrases']} unseen phrases prove {proved} at most: none is kept"
        )
    return sentence
