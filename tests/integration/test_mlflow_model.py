"""The champion as an MLflow model, loaded as a data scientist loads it."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from sqlalchemy.engine import Engine

from core.contracts import ModelVersion
from core.database import DatabaseUrls, with_driver
from core.errors import EmbedderUnusable, HeadRefused
from flows.mlflow_model import write_mlflow_model
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import load_embedder
from pipelines.model.head_file import save_head
from pipelines.promotion import promote
from pipelines.registry import MODEL, WHO_DECIDES, Registry
from tests.support.embedders import build_tiny_embedder
from tests.support.heads import EMBEDDER_ID, make_head

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PHRASES = ["Broken  arm", "sore throat", "broken arm"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    build_tiny_embedder(home / "embedders" / EMBEDDER_ID)
    return home


@pytest.fixture
def registry(database: DatabaseUrls, tmp_path: Path) -> Registry:
    return Registry(with_driver(database.mlflow, "psycopg"), tmp_path / "mlartifacts")


@pytest.fixture
def head(tmp_path: Path) -> Path:
    save_head(make_head("1"), tmp_path / "head")
    return tmp_path / "head"


@pytest.fixture
def model(head: Path, tmp_path: Path) -> Path:
    write_mlflow_model(tmp_path / "model", head=head, classifier="organ", embedder_id=EMBEDDER_ID)
    return tmp_path / "model"


def test_the_champion_answers_as_our_classifier_does(
    registry: Registry,
    engine: Engine,
    model: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    name = f"organ_{uuid.uuid4().hex[:8]}"
    with registry.run(name, name="run", tags={}) as run:
        registry.log_folder(run, model, MODEL)
        version = registry.register(name, run_id=run, tags={}, why="promote: better")
    registry.complete(name, version)
    promote(engine, registry, ModelVersion(name, version, "", "", EMBEDDER_ID), why="", now=NOW)

    loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    answers = loaded.predict(pd.DataFrame({"phrase": PHRASES}))
    ours = PhraseClassifier(make_head("1"), load_embedder(home / "embedders" / EMBEDDER_ID))
    expected = ours.predict(PHRASES)
    assert list(answers["label"]) == [answer.label for answer in expected]
    assert list(answers["probability"]) == [answer.probability for answer in expected]
    assert answers["label"][0] == answers["label"][2]

    description = mlflow.MlflowClient().get_model_version(name, version).description
    assert description == f"promote: better\n\n{WHO_DECIDES}"
    assert mlflow.MlflowClient().get_registered_model(name).description == WHO_DECIDES


def test_the_model_has_code_signature_and_example_and_no_pickle(model: Path) -> None:
    described = yaml.safe_load((model / "MLmodel").read_text())
    function = described["flavors"]["python_function"]
    assert Path(function["model_code_path"]).name == "mlflow_code.py"
    assert (model / "mlflow_code.py").is_file()
    assert function["config"]["embedder_id"] == EMBEDDER_ID
    assert [column["name"] for column in json.loads(described["signature"]["inputs"])] == ["phrase"]
    outputs = json.loads(described["signature"]["outputs"])
    assert [column["name"] for column in outputs] == ["label", "probability"]
    assert (model / "input_example.json").is_file()
    assert [file for file in model.rglob("*") if file.suffix in {".pkl", ".pickle"}] == []


def test_another_head_than_the_registered_one_is_refused(
    model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    save_head(make_head("2"), model / "artifacts")
    with pytest.raises(HeadRefused, match="digest"):
        mlflow.pyfunc.load_model(str(model))


def test_a_home_without_the_embedder_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(EmbedderUnusable, match=EMBEDDER_ID):
        mlflow.pyfunc.load_model(str(model))
