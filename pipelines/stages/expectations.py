"""Expectations that Great Expectations lacks. Importing this imports it (6 CPU-seconds)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pandas as pd
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
)
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    ColumnPairMapMetricProvider,
    column_condition_partial,
    column_pair_condition_partial,
)


class ColumnValuesFrequent(ColumnMapMetricProvider):
    """True where the row's value occurs in at least `min_rows` rows."""

    condition_metric_name = "column_values.frequent"
    condition_value_keys = ("min_rows",)

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, min_rows: int, **_: Any) -> pd.Series:
        return column.map(column.value_counts()) >= min_rows


class ExpectColumnValuesToBeFrequent(ColumnMapExpectation):
    """Expect every value to occur in at least `min_rows` rows."""

    min_rows: int
    map_metric: ClassVar[str] = "column_values.frequent"
    success_keys: ClassVar[tuple[str, ...]] = ("min_rows", "mostly")
    args_keys: ClassVar[tuple[str, ...]] = ("column", "min_rows")


class ColumnPairValuesAgree(ColumnPairMapMetricProvider):
    """True where B is the most common B among the rows with this A.

    Of equally common ones the first in order counts.
    """

    condition_metric_name = "column_pair_values.b_most_common_for_a"
    condition_domain_keys = (
        "batch_id",
        "table",
        "column_A",
        "column_B",
        "row_condition",
        "condition_parser",
        "ignore_row_if",
    )
    condition_value_keys = ()

    # Great Expectations has types for the decorator above only.
    @column_pair_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column_A: pd.Series, column_B: pd.Series, **_: Any) -> pd.Series:
        pairs = pd.DataFrame({"a": column_A, "b": column_B})
        counts = pairs.groupby(["a", "b"], sort=True).size().reset_index(name="rows")
        best = (
            counts.sort_values("rows", ascending=False, kind="stable")
            .drop_duplicates("a")
            .set_index("a")["b"]
        )
        return pairs["a"].map(best) == pairs["b"]


class ExpectColumnPairValuesToAgree(ColumnPairMapExpectation):
    """Expect each A to come with one B: rows without the most common B are unexpected."""

    ignore_row_if: Literal["both_values_are_missing", "either_value_is_missing", "neither"] = (
        "either_value_is_missing"
    )
    map_metric: ClassVar[str] = "column_pair_values.b_most_common_for_a"
    success_keys: ClassVar[tuple[str, ...]] = ("column_A", "column_B", "ignore_row_if", "mostly")
