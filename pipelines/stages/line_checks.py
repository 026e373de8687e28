"""Data checks of lines of versions: has every line rows, and has every row a line?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.checks import MAX_EXAMPLES, Check
from pipelines.stages.suite import usable_column

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ["id", "phrase", "occurred_at", "region"]
NOWHERE = "no region"


def about_lines(
    dataset: str, frame: pd.DataFrame, lines: Mapping[str, Mapping[str, str]]
) -> Iterator[Check]:
    """Check the lines of one data set.

    `lines` maps each line's classifier to its label column, its question `of` and its region
    `value`. `frame` holds the snapshot's columns and `usable_column` of each label.
    """
    if not {"region", "phrase"} <= set(frame.columns):
        return  # column_present refuses the snapshot
    for name, line in lines.items():
        rows = int((_regions(frame, line) == line["value"]).sum())
        yield Check(
            "line_has_rows", dataset, "region", "critical", rows > 0, rows, 1, classifier=name
        )
    for question in dict.fromkeys(line["of"] for line in lines.values()):
        own = [line for line in lines.values() if line["of"] == question]
        yield _covered(dataset, frame, own)


def _covered(dataset: str, frame: pd.DataFrame, lines: list[Mapping[str, str]]) -> Check:
    """Count the rows of a question that none of its lines learns from, by region."""
    regions = _regions(frame, lines[0])
    left = regions[~regions.isin([line["value"] for line in lines])]
    counts = left.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    listed = ", ".join(f"{region}: {rows:,} rows" for region, rows in counts.items())
    examples = frame.loc[left.index[:MAX_EXAMPLES], SHOWN].astype({"occurred_at": str})
    return Check(
        "row_has_line",
        dataset,
        "region",
        "warning",
        left.empty,
        f"{lines[0]['of']}: {listed}" if listed else lines[0]["of"],
        ", ".join(line["value"] for line in lines),
        rows=len(left),
        examples=examples.to_dict("records"),
    )


def _regions(frame: pd.DataFrame, line: Mapping[str, str]) -> pd.Series[Any]:
    """Return the region of each row that has a label of the line's question."""
    column = usable_column(line["label"])
    labelled = frame[frame[column].notna()] if column in frame else frame[:0]
    regions: pd.Series[Any] = labelled["region"].fillna(NOWHERE).str.strip()
    return regions.replace("", NOWHERE)
