"""A diagnosis that fails writes why, and everything that reads it says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog

from core.contracts import ModelVersion, Verdict
from core.logs import configure_logs
from flows.candidates.error_report import complete_report, render_summary, report_folder
from flows.pages.verdict import render_verdict
from pipelines.bias.report import KINDS
from pipelines.cards.bias_section import bias_section
from pipelines.cards.card import Writer
from pipelines.errors.files import PAGE, read_report
from pipelines.errors.summary import summary_lines
from pipelines.gate.holds import hold_biased
from pipelines.stages import bias, errors, suspects
from tests.support.small_builds import KEY, LABELS, build_small


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    configure_logs("json")
    yield build_small(bias={"min_rows": 30})
    structlog.reset_defaults()


def break_vectors() -> None:
    """An embedding file of another width: what numpy raises then is no error of ours."""
    Path("build/embeddings/vectors.npy").write_bytes(b"not an array")


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    return [event for event in map(json.loads, lines) if event["event"] == "not measured"]


def page_of(verdict: Verdict) -> str:
    candidate = ModelVersion(KEY, "3", "/nowhere", "digest", "words")
    return render_verdict(Path("none"), candidate, verdict, reason="manual", links={})


def test_all_three_measure_a_sound_build(built: Path) -> None:
    for stage in (suspects, errors, bias):
        stage.run(KEY)
    assert "not_measured" not in json.loads((built / "suspects" / "suspects.json").read_text())
    assert "not_measured" not in json.loads((built / "suspects" / "labels.json").read_text())
    assert "not_measured" not in json.loads((built / "errors" / "errors.json").read_text())
    assert json.loads((built / "bias" / "bias.json").read_text())["failed"] == {}


def test_bias_that_fails_says_so_on_every_page_and_holds_nothing(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = built / "evaluation" / "predictions.parquet"
    pq.write_table(pq.read_table(predictions).drop_columns(["predicted"]), predictions)
    bias.run(KEY)
    report = json.loads((built / "bias" / "bias.json").read_text())
    assert set(report["failed"]) == set(KINDS) and report["measures"] == []
    [event] = logged(capsys)
    assert "Traceback" in event["exception"] and "KeyError" in event["exception"]

    verdict = hold_biased(Verdict("promote", ("better",), {"gain": 0.1}), report)
    assert (verdict.kind, verdict.reasons[0]) == ("promote", "better")
    kinds, _, reason = verdict.reasons[1].partition(" bias was not measured, so ")
    assert kinds == ", ".join(sorted(KINDS)) and reason.startswith("its limit was not judged: Key")
    assert set(verdict.evidence["bias_not_measured"]) == set(KINDS)
    assert "Bias that was not measured: aggregation (KeyError" in page_of(verdict)
    facts = {"bias": report, "groups_not_measured": 0}
    cells = [row[1].shown for row in bias_section(Writer(facts)).tables[0].rows]
    assert all(cell.startswith("not measured: KeyError") for cell in cells) and len(cells) == 5


def test_a_kind_of_bias_that_fails_leaves_the_others(built: Path) -> None:
    break_vectors()
    bias.run(KEY)
    report = json.loads((built / "bias" / "bias.json").read_text())
    assert set(report["failed"]) == {"aggregation"}
    assert report["kinds"]["evaluation"]["within"] is not None
    verdict = hold_biased(Verdict("promote", ("better",)), report)
    assert [reason.split(" bias")[0] for reason in verdict.reasons] == ["better", "aggregation"]


def test_groups_with_few_rows_are_named_on_the_page_and_not_among_the_reasons(built: Path) -> None:
    labels = pq.read_table(LABELS)
    nowhere = pa.nulls(labels.num_rows, pa.string())
    place = labels.column_names.index("region")
    pq.write_table(labels.set_column(place, "region", nowhere), LABELS)
    bias.run(KEY)
    report = json.loads((built / "bias" / "bias.json").read_text())
    assert report["failed"] == {}
    verdict = hold_biased(Verdict("promote", ("better",)), report)
    assert verdict.reasons == ("better",)
    assert "aggregation" in verdict.evidence["bias_not_measured"]
    page = page_of(verdict)
    assert "Bias that was not measured:" in page and "1 regions with 30 rows" in page


def test_an_error_report_that_fails_is_a_page_with_the_reason(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_vectors()
    errors.run(KEY)
    report = read_report(built / "errors")
    assert report is not None
    [line] = summary_lines(report)
    assert line.startswith("Errors were not measured: ValueError: ")
    assert "ValueError" in (built / "errors" / PAGE).read_text(encoding="utf-8")
    assert "Errors were not measured" in render_summary(report)
    assert "Traceback" in logged(capsys)[0]["exception"]
    answers = pq.read_table(built / "evaluation" / "predictions.parquet")["label"].to_numpy()
    complete_report(built, answers, champion="2")
    assert report_folder(built) == built / "errors"
    assert logged(capsys) == []


def test_suspects_that_fail_are_empty_files_with_the_reason(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("build/embeddings/phrases.parquet").unlink()
    suspects.run(KEY)
    found = json.loads((built / "suspects" / "suspects.json").read_text())
    assert (found["found"], found["suspects"]) == (0, [])
    assert "phrases.parquet" in found["not_measured"]
    labels = json.loads((built / "suspects" / "labels.json").read_text())
    assert (labels["merges"], labels["splits"]) == ([], [])
    table = (built / "suspects" / "table.md").read_text()
    assert f"Labels were not judged: {found['not_measured']}" in table
    [event] = logged(capsys)
    assert event["level"] == "warning" and "exception" not in event
