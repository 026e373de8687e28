"""Stage `check`: checks every snapshot with the suite; writes a verdict and a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from core.errors import StageFailed
from pipelines.checks import REPORT, Check, write_result
from pipelines.model.text import clean_learnable
from pipelines.snapshot_files import AFTER, FACTS, PREVIOUS, ROWS, TRIMMED, ZONELESS
from pipelines.stages.check_page import render_page
from pipelines.stages.line_checks import about_lines
from pipelines.stages.suite import Subject, run_suite, usable_column

if TYPE_CHECKING:
    import pandas as pd

SPEC = Path("build/spec/checks.json")
DATA = Path("data")
OUT = Path("build/check")


def run() -> None:
    """Read data/*/ and build/spec/checks.json; write build/check/{result.json,report.html}.

    A failed check is a verdict in the result, not an error: the gate is
    `pipelines.checks.require_checked`.
    """
    spec = _read_json(SPEC)
    subjects = list(_subjects(spec))
    facts = [_read_json(DATA / subject.dataset / FACTS) for subject in subjects]
    checks = [
        check
        for subject, fact in zip(subjects, facts, strict=True)
        for check in (*about_reading(fact), *run_suite(subject), *_about_lines(subject, spec))
    ]

    OUT.mkdir(parents=True, exist_ok=True)
    write_result(OUT, checks)
    page = render_page(checks, facts)
    (OUT / REPORT).write_text(page, encoding="utf-8", errors="backslashreplace")


def _about_lines(subject: Subject, spec: Mapping[str, Any]) -> Iterator[Check]:
    lines = spec["datasets"][subject.dataset].get("lines", {})
    return about_lines(subject.dataset, subject.frame, lines)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def about_reading(fact: Mapping[str, Any]) -> Iterator[Check]:
    """Report what the snapshot counted itself. `fact` is its snapshot.json."""
    after = fact.get(AFTER, 0)
    zoneless = fact.get(ZONELESS, 0)
    yield Check(
        "time_has_come", fact["dataset"], "occurred_at", "warning", not after, after, 0, rows=after
    )
    yield Check(
        "time_without_zone",
        fact["dataset"],
        "occurred_at",
        "warning",
        True,
        zoneless,
        fact["rows"] + after,
        rows=zoneless,
    )
    for column, rows in fact.get(TRIMMED, {}).items():
        yield Check(
            "label_trimmed",
            fact["dataset"],
            column,
            "warning",
            True,
            rows,
            fact["rows"] + after,
            rows=rows,
        )


def _subjects(spec: Mapping[str, Any]) -> Iterator[Subject]:
    limits = {name: value for name, value in spec.items() if name != "datasets"}
    for dataset, block in sorted(spec["datasets"].items()):
        yield _subject(dataset, block["label_columns"], limits)


def _subject(dataset: str, label_columns: Mapping[str, int], limits: Mapping[str, Any]) -> Subject:
    folder = DATA / dataset
    try:
        facts = _read_json(folder / FACTS)
        previous = _read_json(folder / PREVIOUS)
        frame = pq.read_table(folder / ROWS).to_pandas()
    except FileNotFoundError as error:
        raise StageFailed(
            f"a snapshot in {folder}",
            came=f"no {error.filename}",
            do="run `make data`, or `dvc checkout`",
        ) from None
    # A copy has one block of columns. Otherwise Great Expectations joins them in each of its
    # hundred copies, which took a third of the time.
    return Subject(
        dataset,
        _with_derived_columns(frame, label_columns).copy(),
        dict(sorted(label_columns.items())),
        datetime.fromisoformat(facts["as_of"]),
        limits,
        previous,
    )


def _with_derived_columns(frame: pd.DataFrame, label_columns: Mapping[str, int]) -> pd.DataFrame:
    """Add `cleaned` and the usable form of each label column, mapping each value once.

    Labels are trimmed: a snapshot made before may hold blanks around them.
    """
    if "phrase" in frame:
        phrases = frame["phrase"].dropna().unique()
        cleaned = {phrase: clean_learnable(phrase) or None for phrase in phrases}
        frame["cleaned"] = frame["phrase"].map(cleaned)
    for column in set(label_columns) & set(frame.columns):
        labels = frame[column].dropna().unique()
        frame[column] = frame[column].map({label: label.strip() for label in labels})
        usable = {label.strip(): label.strip() for label in labels if label.strip()}
        frame[usable_column(column)] = frame[column].map(usable)
    return frame
