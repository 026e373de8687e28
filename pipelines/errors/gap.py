"""How much better a head answers the phrases that it learnt than new ones, against a limit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pipelines.errors.curve import LEAST_HELD
from pipelines.errors.refits import Refits, best_answers, hold_out, pick, share_right
from pipelines.model.head_file import Head
from pipelines.model.training import TrainingRows

ONE_SIDED = 1.645
"""Standard errors of a one-sided bound of 95 %."""


@dataclass(frozen=True)
class Part:
    """Distinct phrases and the share of them answered right; None with too few phrases."""

    name: str
    phrases: int
    right: float | None


def part_of(name: str, right: Any) -> Part:
    """Return the part of these phrases, bool (n,)."""
    count = len(right)
    return Part(name, count, float(np.mean(right)) if count >= LEAST_HELD else None)


def parts_of(refits: Refits) -> list[Part]:
    """Return training, validation and test of the largest refit.

    Training phrases were learnt; those of the validation slice are new and of the same time; those
    of the test are new and of the newest days.
    """
    right = refits.answers == refits.held.rows.labels
    newest = refits.held.newest
    return [
        Part("training", refits.fitted, refits.fitted_right),
        part_of("validation", right[~newest]),
        part_of("test", right[newest]),
    ]


def judged_parts(judged: Head, rows: TrainingRows) -> list[Part]:
    """Return training and test of the judged head, which has learnt the validation slice, too."""
    held = hold_out(rows)
    newest = pick(held.rows, np.flatnonzero(held.newest))
    part = rows.without_test()
    answers, _ = best_answers(judged, newest)
    return [
        Part("training", len(np.unique(part.cleaned)), share_right(judged, part)),
        Part("validation", 0, None),
        part_of("test", answers == newest.labels),
    ]


def measure_gap(parts: list[Part], *, limit: float) -> dict[str, Any]:
    """Return the parts, and the falls from each to the next that was measured.

    A fall exceeds the limit when even its lower 95 % bound does: it is proved.
    """
    measured = [part for part in parts if part.right is not None]
    falls = [_fall(before, after, limit=limit) for before, after in pairwise(measured)]
    return {
        "limit": limit,
        "parts": [
            {"part": part.name, "phrases": part.phrases, "right": _rounded(part.right)}
            for part in parts
        ],
        "falls": falls,
        "exceeded": any(fall["exceeded"] for fall in falls),
    }


def _fall(before: Part, after: Part, *, limit: float) -> dict[str, Any]:
    first = before.right or 0.0
    second = after.right or 0.0
    variance = first * (1 - first) / before.phrases + second * (1 - second) / after.phrases
    fall = first - second
    lower = fall - ONE_SIDED * variance**0.5
    return {
        "from": before.name,
        "to": after.name,
        "fall": _rounded(fall),
        "at_least": _rounded(lower),
        "exceeded": bool(lower > limit),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
