"""The drift benchmark's other contender: what Evidently says of the same windows when nobody chooses anything."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd


class Evidently:
    """Evidently's default drift tests of label and probability, held against the same normal rows."""

    def __init__(self, normal: pd.DataFrame) -> None:
        os.environ.setdefault("DO_NOT_TRACK", "1")
        from evidently import DataDefinition

        self._definition = DataDefinition(
            categorical_columns=["label"], numerical_columns=["probability"]
        )
        self._reference = self._dataset(
            normal.loc[np.repeat(normal.index, normal["weight"].round().astype(int))]
        )

    def alarms(self, window: pd.DataFrame) -> dict[str, bool]:
        """Column -> whether its test failed."""
        from evidently import Report
        from evidently.presets import DataDriftPreset

        told = (
            Report([DataDriftPreset()], include_tests=True)
            .run(self._dataset(window), self._reference)
            .dict()["tests"]
        )
        columns = [
            (test["metric_config"]["params"].get("column"), test["status"].value == "FAIL")
            for test in told
        ]
        return {column: failed for column, failed in columns if column}

    def _dataset(self, rows: pd.DataFrame) -> Any:
        from evidently import Dataset

        columns = rows.rename(columns={"confidence": "probability"})[["label", "probability"]]
        return Dataset.from_pandas(columns.reset_index(drop=True), self._definition)
