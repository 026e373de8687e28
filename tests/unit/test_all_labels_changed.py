"""A candidate of which every label is new to the champion: what each step says of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bentos.heads.loading import refuse_other_question
from core.contracts import ModelVersion, Verdict
from core.errors import HeadRefused
from core.params.gate import GateParams
from flows.candidates.bias_changes import bias_changes
from flows.candidates.error_report import complete_report, report_folder
from pipelines.cards.bias_section import bias_section
from pipelines.cards.card import Writer
from pipelines.errors.files import PAGE, read_report
from pipelines.gate.decide import decide
from pipelines.gate.flips import hold_large_changes
from pipelines.gate.holds import gone_labels, hold_biased, hold_gone_labels
from pipelines.gate.reading import GateContext, read_flips, read_gate_rows
from pipelines.gate.rows import GateRows
from pipelines.model.digests import write_digest, write_judged_digest
from pipelines.model.head_file import JUDGED, head_digest, load_head
from pipelines.stages import bias, compare, errors
from pipelines.workspace import Workspace
from tests.support.small_builds import KEY, build_small

NEW = {"heart": "Cardiology", "lung": "Pneumology", "bone": "Orthopaedics"}
POLICY = GateParams()


def renamed(rows: pa.Table) -> pa.Table:
    labels = [NEW[label] for label in rows[KEY].to_pylist()]
    return rows.set_column(rows.column_names.index(KEY), KEY, pa.array(labels))


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ModelVersion]]:
    """The folder of a candidate with new labels, and the champion with the old ones."""
    base = tmp_path_factory.mktemp("labels")
    with pytest.MonkeyPatch.context() as patch:
        (base / "before").mkdir()
        patch.chdir(base / "before")
        stored = base / "models" / KEY / "1"
        shutil.copytree(build_small() / "model", stored)
        digest = head_digest(stored)
        write_digest(stored, digest)
        write_judged_digest(stored, head_digest(stored / JUDGED))

        (base / "now").mkdir()
        patch.chdir(base / "now")
        build_small(change=renamed, compare=["majority"], bias={"min_rows": 30})
        for stage in (compare, errors, bias):
            stage.run(KEY)
        yield base / "now", ModelVersion(KEY, "1", str(stored), digest, "words")


def built(folder: Path) -> Path:
    return folder / "build" / "classifiers" / KEY


def gate_rows(candidate: tuple[Path, ModelVersion]) -> tuple[GateRows, Workspace]:
    folder, champion = candidate
    workspace = Workspace(folder, "none", folder / "cache")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    context = GateContext(champion=champion, fitted_at=now, champion_days=1.0)
    return read_gate_rows(workspace, KEY, "notes", context), workspace


def test_the_gate_judges_it_and_a_person_decides(candidate: tuple[Path, ModelVersion]) -> None:
    rows, workspace = gate_rows(candidate)
    assert set(rows.truth) <= set(NEW.values())
    verdict = decide(rows, POLICY, seed=7)
    assert verdict.kind == "promote", verdict.reasons
    named = ", ".join(sorted(NEW.values()))
    assert f"it answers {named}, which the champion cannot" in verdict.reasons

    folder, champion = candidate
    before = load_head(Path(champion.head_location)).labels
    after = load_head(built(folder) / "model").labels
    gone = gone_labels(before, after, counts={"heart": 500, "lung": 400, "bone": 100})
    assert sum(gone.values()) == pytest.approx(1.0)
    held = hold_gone_labels(verdict, gone)
    assert held.kind == "hold" and "a person promotes or rejects it" in held.reasons[0]
    assert all(label in held.reasons[0] for label in NEW)
    flips = read_flips(workspace, KEY, champion)
    assert hold_large_changes(held, flips, POLICY).kind == "hold"
    with pytest.raises(HeadRefused, match="a head that knows 0 of them"):
        refuse_other_question(after, beside=before)


def test_its_reports_say_what_changed(candidate: tuple[Path, ModelVersion]) -> None:
    folder, _ = candidate
    rows, _ = gate_rows(candidate)
    assert rows.champion is not None
    complete_report(built(folder), rows.champion, champion="1")
    reported = report_folder(built(folder))
    assert reported == built(folder) / "report"
    report = read_report(reported)
    assert report is not None and {row["label"] for row in report["labels"]} == set(NEW.values())
    assert report["champion"]["newly_wrong"] == 0
    assert "Since the champion, version 1" in (reported / PAGE).read_text(encoding="utf-8")

    heads = json.loads((built(folder) / "comparison" / "scores.json").read_text())["heads"]
    assert set(heads) == {"logistic", "majority"}


def test_its_bias_is_measured_and_compared(candidate: tuple[Path, ModelVersion]) -> None:
    folder, _ = candidate
    rows, _ = gate_rows(candidate)
    assert rows.champion is not None
    report = json.loads((built(folder) / "bias" / "bias.json").read_text())
    assert report["failed"] == {}
    assert report["kinds"]["evaluation"]["within"] is True
    stricter = {**report, "measures": [{**row, "limit": -1.0} for row in report["measures"]]}
    changes = bias_changes(built(folder), stricter, np.asarray(rows.champion))
    assert changes is not None and ("historical", "all", "test rows") in changes
    assert hold_biased(Verdict("promote", ("better",)), report).kind == "promote"
    section = bias_section(Writer({"bias": report, "groups_not_measured": 0}))
    assert len(section.tables[0].rows) == 5
