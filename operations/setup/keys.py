"""Chooses the keys of a new block by its rows: only those whose default does not fit. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.errors import TrainingImpossible
from core.params.schema import ClassifierParams
from operations.setup.source_profile import learn
from pipelines.stages.labelled_rows import LabelledRows

ENOUGH_TEST_ROWS = 300
"""Below this many, a test says little: more days are tested then."""
SHARP_TEST_ROWS = 1000
"""Below this many, the gate's bound is wide, and its default would seldom promote."""
WIDE_DROP = 0.03
LEAST_ROWS = (15, 10, 5, 2)
TEST_DAYS = (90, 180, 365, 730)
_FEW = 0.05


def choose_keys(labelled: LabelledRows, source: dict[str, Any], *, seed: int) -> dict[str, Any]:
    """Return the block of a classifier with this source, as params.yaml has it."""
    block: dict[str, Any] = {"source": source}

    def counts(**keys: int) -> tuple[float, int]:
        return _rare_and_tested(labelled, {**block, **keys}, seed=seed)

    least = _first(LEAST_ROWS, lambda rows: counts(min_rows_per_label=rows)[0] <= _FEW)
    if least != LEAST_ROWS[0]:
        block["min_rows_per_label"] = least
    days = _first(TEST_DAYS, lambda days: counts(test_days=days)[1] >= ENOUGH_TEST_ROWS)
    if days != TEST_DAYS[0]:
        block["test_days"] = days
    if counts()[1] < SHARP_TEST_ROWS:
        block["gate"] = {"max_weighted_f1_drop": WIDE_DROP}
    return block


def _first(candidates: Sequence[int], fits: Callable[[int], bool]) -> int:
    """Return the first candidate that fits; the default when none does."""
    return next(filter(fits, candidates), candidates[0])


def _rare_and_tested(
    labelled: LabelledRows, block: dict[str, Any], *, seed: int
) -> tuple[float, int]:
    """Return the share of rows with a rare label, and the number of test rows."""
    params = ClassifierParams.model_validate(block)
    try:
        learnable = learn(labelled, block=params, seed=seed)
    except TrainingImpossible:
        return 1.0, 0
    rare = sum(learnable.rare.values())
    return rare / (rare + len(learnable.rows.ids)), int(learnable.masks.test.sum())
