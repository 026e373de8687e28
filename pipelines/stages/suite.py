"""The suite of data checks as code, run by Great Expectations on one snapshot."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.checks import MAX_EXAMPLES, Check, Severity
from pipelines.model.text import MAX_PHRASE_LENGTH

if TYPE_CHECKING:
    import pandas as pd

GARBAGE = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]"
"""Control characters except tab and line ends, and the replacement character of bad decoding."""
VISIBLE = r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]"
"""A character of which `clean_phrase` leaves something."""
USABLE = "usable"
_SOURCE_ROWS: dict[str, Any] = {"row_condition": 'origin=="source"', "condition_parser": "pandas"}
_FIXED = ("id", "phrase", "occurred_at", "region", "origin")


@dataclass(frozen=True)
class Subject:
    """A snapshot to check.

    `limits` is CheckParams as a mapping; `previous` is the summary of the snapshot
    before, or empty.
    """

    dataset: str
    frame: pd.DataFrame
    label_columns: Mapping[str, int]
    as_of: datetime
    limits: Mapping[str, Any]
    previous: Mapping[str, Any]


@dataclass(frozen=True)
class Planned:
    """An expectation with the name and the limit that the page shows."""

    name: str
    expectation: Any
    severity: Severity
    limit: float | int | str
    column: str | None = None


def run_suite(subject: Subject) -> list[Check]:
    """Check one snapshot.

    `subject.frame` holds the snapshot's columns, `cleaned`, and `usable_column` of each label; its
    index is 0, 1, 2, ...
    """
    plans = list(plan(subject))
    results = _validate([planned.expectation for planned in plans], subject.frame)
    return [
        _check(planned, result, subject) for planned, result in zip(plans, results, strict=True)
    ]


def plan(subject: Subject) -> Iterator[Planned]:
    """List the expectations in the order of the report; a missing column gets only the first."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read when the library is imported
    present = set(subject.frame.columns)
    labels = {column: rows for column, rows in subject.label_columns.items() if column in present}
    yield from _about_columns(subject)
    yield from _about_rows(subject)
    yield from _about_phrases(subject)
    for column, min_rows in labels.items():
        yield from _about_labels(subject, column, min_rows)


def _about_columns(subject: Subject) -> Iterator[Planned]:
    import great_expectations.expectations as gxe

    for column in (*_FIXED, *subject.label_columns):
        yield Planned(
            "column_present", gxe.ExpectColumnToExist(column=column), "critical", "present", column
        )


def _about_rows(subject: Subject) -> Iterator[Planned]:
    import great_expectations.expectations as gxe

    limits = subject.limits
    oldest = subject.as_of - timedelta(days=limits["max_age_days"])
    fresh = gxe.ExpectColumnMaxToBeBetween(column="occurred_at", min_value=oldest, **_SOURCE_ROWS)
    yield Planned("fresh", fresh, "warning", oldest.isoformat(), "occurred_at")
    if subject.previous:
        least = round(limits["min_volume_ratio"] * subject.previous["rows"])
        yield Planned(
            "volume", gxe.ExpectTableRowCountToBeBetween(min_value=least), "critical", least
        )
    unique = gxe.ExpectColumnValuesToBeUnique(
        column="id", mostly=1 - limits["max_duplicate_id_share"]
    )
    yield Planned("ids_unique", unique, "critical", limits["max_duplicate_id_share"], "id")
    distinct = gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
        column="cleaned", min_value=1 - limits["max_duplicate_share"]
    )
    yield Planned("duplicates_share", distinct, "warning", limits["max_duplicate_share"], "phrase")


def _about_phrases(subject: Subject) -> Iterator[Planned]:
    import great_expectations.expectations as gxe

    longest = subject.limits["max_phrase_length"]
    garbage_share = subject.limits["max_garbage_share"]
    yield Planned(
        "not_null", gxe.ExpectColumnValuesToNotBeNull(column="phrase"), "warning", 0.0, "phrase"
    )
    yield Planned(
        "not_blank",
        gxe.ExpectColumnValuesToMatchRegex(column="phrase", regex=VISIBLE),
        "warning",
        0.0,
        "phrase",
    )
    answered = gxe.ExpectColumnValueLengthsToBeBetween(column="phrase", max_value=MAX_PHRASE_LENGTH)
    yield Planned("phrase_answerable", answered, "warning", 0.0, "phrase")
    yield _mostly_usable(
        subject,
        "phrase",
        gxe.ExpectColumnValuesToNotBeNull(column="cleaned", mostly=_usable_share(subject)),
    )
    length = gxe.ExpectColumnValueLengthsToBeBetween(column="phrase", max_value=longest)
    yield Planned("phrase_length", length, "warning", 0.0, "phrase")
    clean = gxe.ExpectColumnValuesToNotMatchRegex(column="phrase", regex=GARBAGE)
    yield Planned("garbage_characters", clean, "warning", 0.0, "phrase")
    mostly_clean = gxe.ExpectColumnValuesToNotMatchRegex(
        column="phrase", regex=GARBAGE, mostly=1 - garbage_share
    )
    yield Planned("garbage_share", mostly_clean, "critical", garbage_share, "phrase")


def _about_labels(subject: Subject, column: str, min_rows: int) -> Iterator[Planned]:
    import great_expectations.expectations as gxe

    from pipelines.stages.expectations import (
        ExpectColumnPairValuesToAgree,
        ExpectColumnValuesToBeFrequent,
    )

    ambiguous = subject.limits["max_ambiguous_share"]
    yield Planned(
        "not_null",
        gxe.ExpectColumnValuesToNotBeNull(column=column, **_SOURCE_ROWS),
        "warning",
        0.0,
        column,
    )
    yield Planned(
        "not_blank",
        gxe.ExpectColumnValuesToMatchRegex(column=column, regex=r"\S"),
        "warning",
        0.0,
        column,
    )
    usable = gxe.ExpectColumnValuesToNotBeNull(
        column=usable_column(column), mostly=_usable_share(subject), **_SOURCE_ROWS
    )
    yield _mostly_usable(subject, column, usable)
    yield from _about_unseen_labels(subject, column)
    yield Planned(
        "label_has_rows",
        ExpectColumnValuesToBeFrequent(column=column, min_rows=min_rows),
        "warning",
        0.0,
        column,
    )
    agreeing = ExpectColumnPairValuesToAgree(
        column_A="cleaned", column_B=column, mostly=1 - ambiguous
    )
    yield Planned("one_label_a_phrase", agreeing, "warning", ambiguous, column)


def usable_column(column: str) -> str:
    """Return the frame's name for a label column without its blank labels.

    The space keeps it apart from every column of a source.
    """
    return f"usable {column}"


def _usable_share(subject: Subject) -> float:
    return 1 - float(subject.limits["max_unusable_share"])


def _mostly_usable(subject: Subject, column: str, expectation: Any) -> Planned:
    """Plan the check that stops the training when too many rows cannot be learnt from.

    Fewer of them are left out and counted.
    """
    return Planned(USABLE, expectation, "critical", subject.limits["max_unusable_share"], column)


def _about_unseen_labels(subject: Subject, column: str) -> Iterator[Planned]:
    import great_expectations.expectations as gxe

    known = sorted({label.strip() for label in subject.previous.get("labels", {}).get(column, {})})
    if known:
        share = subject.limits["max_unseen_label_share"]
        yield Planned(
            "label_known",
            gxe.ExpectColumnValuesToBeInSet(column=column, value_set=known),
            "warning",
            0.0,
            column,
        )
        mostly = gxe.ExpectColumnValuesToBeInSet(column=column, value_set=known, mostly=1 - share)
        yield Planned("unknown_label_share", mostly, "critical", share, column)


def _validate(expectations: Sequence[Any], frame: pd.DataFrame) -> list[Any]:
    """Run all expectations together; return the results in their order."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    for number, expectation in enumerate(expectations):
        expectation.meta = {"number": number}  # results come back grouped by column
    rows = (
        context.data_sources.add_or_update_pandas("snapshot")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
    )
    batch = rows.get_batch(batch_parameters={"dataframe": frame})
    suite = gx.ExpectationSuite(name="snapshot", expectations=list(expectations))
    described = batch.validate(
        suite, result_format={"result_format": "SUMMARY", "partial_unexpected_count": MAX_EXAMPLES}
    )
    return sorted(described.results, key=lambda result: result.expectation_config.meta["number"])


def _check(planned: Planned, result: Any, subject: Subject) -> Check:
    details = result.result
    places = details.get("partial_unexpected_index_list") or []
    return Check(
        name=planned.name,
        dataset=subject.dataset,
        column=planned.column,
        severity=planned.severity,
        passed=bool(result.success),
        observed=_observed(planned, result),
        limit=planned.limit,
        rows=int(details.get("unexpected_count", 0)),
        examples=_examples(subject.frame, places, planned.column),
    )


def _observed(planned: Planned, result: Any) -> float | int | str | None:
    details = result.result
    if planned.name == "column_present":
        return "present" if result.success else "missing"
    if "unexpected_count" in details:
        return _unexpected_share(planned, details)
    value: Any = details.get("observed_value")
    if planned.name == "duplicates_share" and value is not None:
        value = round(1 - value, 6)
    observed: float | int | str | None = _as_text(value)
    return observed


def _unexpected_share(planned: Planned, details: Mapping[str, Any]) -> float:
    """Return the share that Great Expectations compares with the limit."""
    blanks = 0
    if planned.name not in ("not_null", USABLE):
        blanks = details.get("missing_count") or 0
    share: float = round(details["unexpected_count"] / max(details["element_count"] - blanks, 1), 6)
    return share


def _as_text(value: Any) -> Any:
    """Return times in ISO format, everything else as it is."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def _examples(
    frame: pd.DataFrame, places: Sequence[int], column: str | None
) -> list[dict[str, Any]]:
    shown = [
        name
        for name in dict.fromkeys(["id", "phrase", "occurred_at", column])
        if name in frame.columns
    ]
    rows = frame.loc[list(places[:MAX_EXAMPLES]), shown].to_dict("records")
    return [{name: _as_text(value) for name, value in row.items()} for row in rows]
