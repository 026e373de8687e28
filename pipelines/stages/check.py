"""Stage `check`: every snapshot against the suite of data checks; a verdict and a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from core.errors import StageFailed
from pipelines.checks import REPORT, Check, write_result
from pipelines.model.text import clean_learnable
from pipelines.snapshot_files import AFTER, FACTS, PREVIOUS, ROWS, ZONELESS
from pipelines.stages.check_page import render_page
from pipelines.stages.suite import Subject, run_suite, usable_column

SPEC, DATA, OUT = Path("build/spec/checks.json"), Path("data"), Path("build/check")


def run() -> None:
    """Read data/*/ and build/spec/checks.json; write build/check/{result.json,report.html}.

    A failed check is a verdict in the result, not an error: `pipelines.checks.require_checked` is the gate.
    """
    subjects = list(_subjects(json.loads(SPEC.read_text(encoding="utf-8"))))
    facts = [
        json.loads((DATA / subject.dataset / FACTS).read_text(encoding="utf-8"))
        for subject in subjects
    ]
    checks = [
        check
        for subject, fact in zip(subjects, facts, strict=True)
        for check in (*about_times(fact), *run_suite(subject))
    ]
    OUT.mkdir(parents=True, exist_ok=True)
    write_result(OUT, checks)
    (OUT / REPORT).write_text(
        render_page(checks, facts), encoding="utf-8", errors="backslashreplace"
    )


def about_times(fact: Mapping[str, Any]) -> Iterator[Check]:
    """What the snapshot itself counted."""
    after, zoneless = fact.get(AFTER, 0), fact.get(ZONELESS, 0)
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


def _subjects(spec: Mapping[str, Any]) -> Iterator[Subject]:
    limits = {name: value for name, value in spec.items() if name != "datasets"}
    for dataset, asked in sorted(spec["datasets"].items()):
        yield _subject(dataset, asked["label_columns"], limits)


def _subject(dataset: str, label_columns: Mapping[str, int], limits: Mapping[str, Any]) -> Subject:
    folder = DATA / dataset
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        previous = json.loads((folder / PREVIOUS).read_text(encoding="utf-8"))
        frame = pq.read_table(folder / ROWS).to_pandas()
    except FileNotFoundError as error:
        raise StageFailed(
            f"a snapshot in {folder}",
            came=f"no {error.filename}",
            do="run `make data`, or `dvc checkout`",
        ) from None
    if "phrase" in frame:
        frame["cleaned"] = frame["phrase"].map(
            {
                phrase: clean_learnable(phrase) or None
                for phrase in frame["phrase"].dropna().unique()
            }
        )
    for column in set(label_columns) & set(frame.columns):
        frame[usable_column(column)] = frame[column].map(
            {label: label for label in frame[column].dropna().unique() if label.strip()}
        )
    whole = frame.copy()  # one block of columns: else Great Expectations joins them again in each of its hundred copies, a third of the time
    return Subject(
        dataset,
        whole,
        dict(sorted(label_columns.items())),
        datetime.fromisoformat(facts["as_of"]),
        limits,
        previous,
    )
