"""The rival of the drift benchmark: Evidently's default tests on the same windows."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd


class Evidently:
    """Evidently's default drift tests of label and probability, against the same reference rows."""

    def __init__(self, reference: pd.DataFrame) -> None:
        os.environ.setdefault("DO_NOT_TRACK", "1")
        from evidently import DataDefinition

        self._definition = DataDefinition(
            categorical_columns=["label"], numerical_columns=["probability"]
        )
        counts = reference["weight"].round().astype(int)
        self._reference = self._dataset(reference.loc[np.repeat(reference.index, counts)])

    def alarms(self, window: pd.DataFrame) -> dict[str, bool]:
        """Return whether the test of each column failed."""
        from evidently import Report
        from evidently.presets import DataDriftPreset

        report = Report([DataDriftPreset()], include_tests=True)
        snapshot = report.run(self._dataset(window), self._reference)
        failed = {
            test["metric_config"]["params"].get("column"): test["status"].value == "FAIL"
            for test in snapshot.dict()["tests"]
        }
        return {column: result for column, result in failed.items() if column}

    def _dataset(self, rows: pd.DataFrame) -> Any:
        from evidently import Dataset

        columns = rows.rename(columns={"confidence": "probability"})[["label", "probability"]]
        return Dataset.from_pandas(columns.reset_index(drop=True), self._definition)
