"""What tuning may change: one table of ranges per kind of head.

Settings that buy quality with size (`buckets`, `keep`, `hidden`) are not searched: they belong to
whoever pays for the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from pydantic import TypeAdapter

from core.params.heads import Head

Settings = Mapping[str, float | int]
DIGITS = 3
"""Significant digits of a chosen setting: more of them is noise."""


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`, both included. `log`: every factor is equally likely."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


SPACE: Mapping[str, Mapping[str, Range]] = {
    "logistic": {"C": Range(0.3, 300, log=True)},
    "hybrid_svm": {
        "C": Range(0.03, 30, log=True),
        "ngram_weight": Range(0.2, 2, log=True),
    },
    "ensemble": {
        "C": Range(0.03, 30, log=True),
        "ngram_weight": Range(0.2, 2, log=True),
    },
    "tfidf_svm": {"C": Range(0.03, 30, log=True)},
    "mlp": {"epochs": Range(10, 80, log=True, whole=True), "dropout": Range(0, 0.7)},
}


def present_settings(head: Head) -> dict[str, float | int]:
    """Return the settings of a head that can be tuned; empty when its kind has none."""
    return {name: getattr(head, name) for name in SPACE.get(head.kind, {})}


def with_settings(head: Head, settings: Settings) -> Head:
    """Return the head with other settings."""
    changed: Head = TypeAdapter(Head).validate_python({**head.model_dump(), **settings})
    return changed


def suggest(trial: optuna.Trial, head: Head) -> dict[str, float | int]:
    """Let Optuna choose each setting of the head's kind.

    A range reaches as far as the present setting: that one is a trial too.
    """
    return {
        name: _suggest(trial, name, getattr(head, name), limits)
        for name, limits in SPACE[head.kind].items()
    }


def _suggest(trial: optuna.Trial, name: str, present: float, limits: Range) -> float | int:
    low = min(limits.low, present)
    high = max(limits.high, present)
    if limits.whole:
        return trial.suggest_int(name, int(low), int(high), log=limits.log)
    return rounded(trial.suggest_float(name, low, high, log=limits.log))


def rounded(value: float) -> float:
    """Return the value as it is written in params.yaml."""
    return float(f"{value:.{DIGITS}g}")


def chosen_settings(params: Mapping[str, Any]) -> dict[str, float | int]:
    """Return what `suggest` returned for the parameters that a trial has stored."""
    return {
        name: value if isinstance(value, int) else rounded(value) for name, value in params.items()
    }
