"""The bias of a candidate's answers beside the champion's, where it is beyond its limit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipelines.bias.clustered import Estimate
from pipelines.bias.report import off_limits
from pipelines.bias.rows import bias_rows
from pipelines.bias.since_champion import Place, changes_since
from pipelines.not_measured import NotMeasured, measured


def bias_changes(
    built: Path, report: Mapping[str, Any], champion: np.ndarray | None
) -> dict[Place, Estimate] | None:
    """Return the changes since the champion; None without one, or where they cannot be measured.

    `built` holds the candidate's outputs, `report` is its bias.json. `champion` holds that
    version's answers to the rows of predictions.parquet, str (n,).
    """
    beyond = off_limits(report)
    if champion is None or not beyond:
        return None

    def measure() -> dict[Place, Estimate]:
        rows = bias_rows(
            pq.read_table(built / "split" / "labels.parquet"),
            pq.read_table(built / "evaluation" / "predictions.parquet"),
        )
        return changes_since(rows, champion.astype(object), beyond)

    comparison = measured("bias since the champion", measure, classifier=built.name)
    return None if isinstance(comparison, NotMeasured) else comparison
