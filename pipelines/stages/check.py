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
from pipelines.model.text import clean_phrase
from pipelines.snapshots import FACTS, PREVIOUS, ROWS
from pipelines.stages.check_page import render_page
from pipelines.stages.suite import Subject, run_suite

SPEC, DATA, OUT = Path("build/spec/checks.json"), Path("data"), Path("build/check")


def run() -> None:
    """Read data/*/ and build/spec/checks.json; write build/check/{result.json,report.html}.

    A failed check is a verdict in the result, not an error: `pipelines.checks.require_checked` is the gate.
    """
    subjects = list(_subjects(json.loads(SPEC.read_text(encoding="utf-8"))))
    checks: list[Check] = [check for subject in subjects for check in run_suite(subject)]
    OUT.mkdir(parents=True, exist_ok=True)
    write_result(OUT, checks)
    facts = [json.loads((DATA / subject.dataset / FACTS).read_text(encoding="utf-8")) for subject in subjects]
    (OUT / REPORT).write_text(render_page(checks, facts), encoding="utf-8", errors="backslashreplace")


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
        raise StageFailed(f"a snapshot in {folder}", came=f"no {error.filename}", do="run `make data`, or `dvc checkout`") from None
    if "phrase" in frame:
        frame["cleaned"] = frame["phrase"].map({phrase: clean_phrase(phrase) for phrase in frame["phrase"].dropna().unique()})
    return Subject(dataset, frame, dict(sorted(label_columns.items())), datetime.fromisoformat(facts["as_of"]), limits, previous)
