"""Answers that are given, and the error report of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from core.params.heads import LogisticHead
from pipelines.errors.gap import Part, measure_gap
from pipelines.errors.report import Measured, build_report
from pipelines.errors.rows import AnsweredRows
from pipelines.not_measured import NotMeasured
from tests.support.training import training_rows

LOGISTIC = LogisticHead(kind="logistic")
NO_CURVE = NotMeasured("0 phrases are held out, 30 are needed")


def answered(answers: Sequence[tuple[str, str, str]], *, seen: bool = True) -> AnsweredRows:
    """Rows of (phrase, right label, answer)."""
    phrases, codes = np.unique(np.array([row[0] for row in answers], object), return_inverse=True)
    count = len(answers)
    return AnsweredRows(
        phrases=phrases,
        codes=codes,
        truth=np.array([row[1] for row in answers], dtype=object),
        predicted=np.array([row[2] for row in answers], dtype=object),
        probability=np.full(count, 0.75),
        seen=np.full(count, seen),
        region=np.full(count, "", dtype=object),
        occurred_at=np.full(count, np.datetime64("2026-01-05", "us")),
        from_source=np.ones(count, bool),
    )


def report_of(rows: AnsweredRows, **changes: Any) -> dict[str, Any]:
    traffic = Counter(rows.truth.tolist())
    measured = Measured(
        rows=rows,
        training=training_rows(),
        refits=NO_CURVE,
        gap={**measure_gap([Part("training", 90, 0.9)], limit=0.2), "share": 1.0},
        params=LOGISTIC,
        trained={name: 10 for name in traffic},
        traffic=traffic,
        seed=7,
    )
    return build_report("organ", replace(measured, **changes))
