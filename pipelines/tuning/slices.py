"""Training rows in three parts by phrase: to fit, to choose settings by, to confirm the choice by.

Test rows are in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from core.errors import TrainingImpossible
from pipelines.model.arrays import Bool
from pipelines.model.training import TrainingRows
from pipelines.stages.split import VALIDATION_SHARE, chosen_phrases

SLICE_SHARE = 0.15
"""Of the distinct training phrases, for each of the two slices."""
LEAST_PAIRS = 30
"""In a smaller slice a single phrase decides."""


@dataclass(frozen=True)
class Slices:
    """The three parts, and `before_confirming`: all but the last, for the final comparison."""

    fitting: TrainingRows
    choosing: TrainingRows
    confirming: TrainingRows
    before_confirming: TrainingRows


def slice_rows(rows: TrainingRows, *, seed: int) -> Slices:
    """Cut the training rows by a hash of the phrase. Raises `TrainingImpossible`."""
    own = rows.without_test()
    choosing = chosen_phrases(own.cleaned, share=SLICE_SHARE, salt=f"choosing-{seed}")
    share = SLICE_SHARE / (1 - SLICE_SHARE)
    drawn = chosen_phrases(own.cleaned, share=share, salt=f"confirming-{seed}")
    confirming = ~choosing & drawn
    slices = Slices(
        only(own, ~choosing & ~confirming, seed=seed),
        only(own, choosing, seed=seed),
        only(own, confirming, seed=seed),
        only(own, ~confirming, seed=seed),
    )
    _refuse_small(slices)
    return slices


def _refuse_small(slices: Slices) -> None:
    smallest = min(len(slices.choosing.labels), len(slices.confirming.labels))
    labels = len(set(slices.fitting.labels))
    if smallest < LEAST_PAIRS or labels < 2:
        raise TrainingImpossible(
            f"{LEAST_PAIRS} training phrases in each validation slice, and two labels to fit",
            came=f"{smallest} phrases and {labels} labels",
            do="widen history_days, or set `tune: never`",
        )


def only(rows: TrainingRows, chosen: Bool, *, seed: int) -> TrainingRows:
    """Return the chosen pairs, bool (n,), with a validation slice of their own.

    That of the whole would no longer be a tenth of the part.
    """
    values = {field.name: getattr(rows, field.name) for field in fields(rows)}
    kept: dict[str, Any] = {
        name: value[chosen] for name, value in values.items() if isinstance(value, np.ndarray)
    }
    salt = f"tuning-{seed}"
    kept["validation"] = chosen_phrases(kept["cleaned"], share=VALIDATION_SHARE, salt=salt)
    return replace(rows, **kept)
