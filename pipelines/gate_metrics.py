"""The numbers of a verdict as metrics of MLflow."""

from __future__ import annotations

import re
from collections.abc import Mapping

from core.contracts import Verdict


def gate_metrics(verdict: Verdict) -> dict[str, float]:
    """Return the numbers of a verdict as `gate/<name>`, those of slices as `gate/<name>/<slice>`.

    MLflow allows letters, digits, spaces and `_-./:` in a name.
    """
    numbers: dict[str, float] = {}
    for name, value in verdict.evidence.items():
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        for part, number in parts:
            if isinstance(number, int | float):
                key = f"gate/{name}/{part}" if part else f"gate/{name}"
                numbers[re.sub(r"[^\w\-./: ]", " ", key)] = float(number)
    return numbers
