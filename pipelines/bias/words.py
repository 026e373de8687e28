"""What a measure of bias says, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.bias.clustered import Estimate

POINTS = 100
MEANING = {
    "historical": "test rows that get the label their phrase had before, of 100",
    "representation": "times as often in the recent rows as in the training rows",
    "measurement": "points more disagreement with other groups' labels of a phrase than among "
    "its own",
    "aggregation": "points of accuracy that one model per region would gain",
    "evaluation": "points more wrong answers than the other test rows",
}
TIMES = "representation"


def amount(kind: str, number: float) -> float:
    """Return the number in the unit of MEANING: times, or points of 100."""
    return number if kind == TIMES else POINTS * number


def beyond(measure: Mapping[str, Any]) -> str:
    """State that a measure is beyond its limit."""
    kind = measure["kind"]
    value, low, limit = (amount(kind, measure[name]) for name in ("value", "low", "limit"))
    return (
        f"{kind} bias, {group_name(measure)}: {value:.2f} {MEANING[kind]}; "
        f"at least {low:.2f}, limit {limit:.2f}"
    )


def not_worse(change: Estimate) -> str:
    """State that the champion has the same bias, which is then no reason to keep it."""
    value, low, high = (POINTS * number for number in (change.value, change.low, change.high))
    return f"not proved larger than the champion's ({value:+.2f}, {low:+.2f} to {high:+.2f} points)"


def group_name(measure: Mapping[str, Any]) -> str:
    """Return "region north", "rare labels", "all test rows" and the like."""
    if measure["dimension"] in ("all", "region", "label source"):
        return f"{measure['dimension']} {measure['group']}"
    return str(measure["group"])


def failures(failed: Mapping[str, str]) -> list[str]:
    """State which kinds could not be measured, one sentence per reason."""
    kinds: dict[str, list[str]] = {}
    for kind, reason in failed.items():
        kinds.setdefault(reason, []).append(kind)
    return [
        f"{', '.join(names)} bias was not measured, so its limit was not judged: {reason}"
        for reason, names in kinds.items()
    ]
