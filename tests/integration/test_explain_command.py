"""`perennial explain` of a phrase and of a logged answer: real PostgreSQL, a small model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sqlalchemy.engine import Engine
from typer.testing import CliRunner, Result

from cli import app as cli
from core.contracts import ModelVersion
from core.database import DatabaseUrls
from core.deployments import append_deployment
from core.tables.loop import inference as table
from pipelines.model.training import TrainingRows
from pipelines.model.training_phrases import choose_training_phrases, save_training_phrases
from tests.support.embedders import build_tiny_embedder
from tests.support.heads import EMBEDDER_ID, champion, store_head
from tests.support.inferences import inference

PHRASES = ("old cough", "new cough", "broken valve")
BLOCK = {"source": {"query": "queries/q.sql", "label": "organ"}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain")
    build_tiny_embedder(folder / "embedders" / EMBEDDER_ID)
    (folder / "params.yaml").write_text(yaml.safe_dump({"classifiers": {"organ": BLOCK}}))
    return folder


@pytest.fixture(autouse=True)
def model(
    home: Path, engine: Engine, database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> ModelVersion:
    for name, value in (
        ("HOME", str(home)),
        ("REPOSITORY", str(home)),
        ("DATABASE_URL", database.perennial),
        ("PREFECT_DATABASE_URL", database.prefect),
        ("MLFLOW_DATABASE_URL", database.mlflow),
    ):
        monkeypatch.setenv(f"PERENNIAL_{name}", value)
    model = store_head(home, "organ", "1")
    with engine.begin() as connection:
        append_deployment(connection, champion(model))
    return model


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["explain", *arguments])


def explained(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_phrase_is_explained_with_its_nearest_training_phrases(home: Path) -> None:
    assert "keeps no training phrases" in run("organ", "Old cough").stdout
    ones = np.ones(len(PHRASES))
    vectors = np.random.default_rng(1).normal(size=(len(PHRASES), 512)).astype(np.float32)
    rows = TrainingRows(
        np.array(PHRASES, object), np.array(["lung", "lung", "heart"]), ones, vectors, ones < 0
    )
    folder = home / "models" / "organ" / "1"
    save_training_phrases(choose_training_phrases(rows), folder)
    page = run("organ", "Old cough").stdout
    for text in ("version 1", "Lead of", "cough", "(no word)", "new cough: lung, cosine"):
        assert text in page
    assert "old cough: lung" not in page, "the phrase itself is no neighbour"
    found = explained("organ", "Old cough")
    assert [word["word"] for word in found["explanation"]["words"]] == ["old", "cough"]
    assert [step["by"] for step in found["steps"]] == ["head"]


def test_a_logged_answer_is_explained_with_its_pin(engine: Engine) -> None:
    own = explained("organ", "Old cough")["explanation"]["label"]
    other = "lung" if own == "heart" else "heart"
    row = inference(1, phrase="Old cough", cleaned="old cough", label=own)
    with engine.begin() as connection:
        connection.execute(
            table.insert().values({**asdict(row), "flags": [], "pin": 3, "pinned_label": other})
        )
    found = explained("organ", "--request", "request-1")
    assert [(step["by"], step["label"]) for step in found["steps"]] == [
        ("head", own),
        ("pin", other),
    ]
    assert found["request_id"] == "request-1"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("organ",), 2, "give a phrase or --request"),
        (("organ", "a", "--request", "b"), 2, "give a phrase or --request"),
        (("organ", "--request", "nowhere"), 1, "the request id of a logged answer"),
        (("liver", "--request", "request-2"), 1, "perennial explain organ --request request-2"),
    ],
)
def test_what_cannot_be_explained_is_named(
    engine: Engine, arguments: tuple[str, ...], code: int, text: str
) -> None:
    with engine.begin() as connection:
        connection.execute(table.insert().values({**asdict(inference(2)), "flags": []}))
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert text in " ".join(result.output.split())
