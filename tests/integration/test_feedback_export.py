"""`perennial feedback export` and `import --format`: out to another tool, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy.engine import Engine
from typer.testing import CliRunner, Result

from cli.app import app
from core.database import DatabaseUrls
from core.tables.loop import feedback
from core.tables.loop import inference as table
from tests.support.inferences import inference

PARAMS = {"classifiers": {"organ": {"source": {"query": "queries/q.sql", "label": "organ"}}}}


@pytest.fixture(autouse=True)
def place(
    engine: Engine, database: DatabaseUrls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository with the classifier `organ`, on the session's database; two answers."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "REPOSITORY": str(tmp_path),
        "HOME": str(tmp_path / "home"),
        "DATABASE_URL": database.perennial,
        "PREFECT_DATABASE_URL": database.prefect,
        "MLFLOW_DATABASE_URL": database.mlflow,
    }.items():
        monkeypatch.setenv(f"PERENNIAL_{name}", value)
    with engine.begin() as connection:
        connection.execute(table.insert(), [asdict(inference(number)) for number in (1, 2)])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["feedback", *arguments])


def test_tasks_leave_and_labels_come_back(engine: Engine, tmp_path: Path) -> None:
    answer = run("export", "organ", "--format", "doccano")
    assert answer.exit_code == 0, answer.output
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [line["request_id"] for line in lines] == ["request-2", "request-1"]

    lines[0]["label"] = ["lung"]
    file = tmp_path / "ada.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    nameless = run("import", str(file), "--format", "doccano")
    assert nameless.exit_code == 1 and "row 1: author: expected a text" in nameless.output
    named = run("import", str(file), "--format", "doccano", "--author", "ada")
    assert named.exit_code == 0, named.output
    assert "1 accepted, 0 already known, 0 refused, 1 not labelled yet" in named.output
    with engine.connect() as connection:
        [row] = connection.execute(sa.select(feedback))
    assert (row.request_id, row.label, row.author) == ("request-2", "lung", "ada")

    labels = run("export", "organ", "--labels", "--format", "jsonl")
    [label] = [json.loads(line) for line in labels.stdout.splitlines()]
    assert (label["request_id"], label["label"], label["author"]) == ("request-2", "lung", "ada")


def test_without_a_format_rows_without_a_label_are_refused_as_before(tmp_path: Path) -> None:
    file = tmp_path / "fixes.csv"
    file.write_text("request_id,label,author\nrequest-1,lung,ada\nrequest-2,,ada\n")
    answer = run("import", str(file))
    assert answer.exit_code == 1
    assert "1 accepted, 0 already known, 1 refused\n" in answer.output
    assert "row 3: label: expected a text that is not empty" in answer.output


def test_an_export_without_sense_is_refused() -> None:
    assert run("export", "nobody").exit_code != 0
    assert run("export", "organ", "--format", "xml").exit_code == 2
    assert run("export", "organ", "--limit", "0").exit_code == 2
