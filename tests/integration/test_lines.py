"""Two regions with contradicting rules: real training, the stages of DVC, a real service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from sqlalchemy.engine import Engine

from bentos.packaging.package import build_bento, serve_command
from core.contracts import ModelVersion
from core.database import DatabaseUrls, connect, create_database, open_database
from core.deployments import append_deployment
from core.params.edits import write_lines
from core.settings import REPOSITORY, load_settings
from core.tables.loop import feedback, inference
from monitoring.labels.feedback import feedback_rows
from pipelines.model.digests import write_digest
from pipelines.model.embedder import load_embedder
from pipelines.model.head_file import JUDGED, head_digest, load_head
from pipelines.stages import resolve, split, train
from pipelines.stages.embed import distinct_phrases
from pipelines.stages.files import CHECK, DATA, EMBEDDINGS, classifier_folder
from pipelines.stages.vectors import read_vectors, store_vectors
from pipelines.workspace import open_workspace
from tests.support.dvc_repositories import dvc, git, make_repository
from tests.support.embedders import build_tiny_embedder
from tests.support.heads import EMBEDDER_ID, champion
from tests.support.places import free_port
from tests.support.processes import running, wait_until
from tests.support.training import WORDS, phrases_of, write_snapshot

SOURCE = {"query": "queries/notes.sql", "label": "organ"}
HEAD = {"kind": "logistic"}
PARAMS = yaml.safe_dump(
    {
        "classifiers": {
            "everywhere": {"source": SOURCE, "head": HEAD},
            "organ": {"source": SOURCE, "head": HEAD, "by": "region", "lines": ["north", "south"]},
        }
    },
    sort_keys=False,
)
NAMES = ["everywhere", "organ_north", "organ_south"]
SOUTH = {"heart": "lung", "lung": "bone", "bone": "heart"}
"""What the south calls the organ that the north calls otherwise."""
SECONDS = 150


@dataclass(frozen=True)
class Service:
    url: str
    engine: Engine


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small snapshot on which one model and two lines were trained."""
    folder = tmp_path_factory.mktemp("lines")
    embed = load_embedder(build_tiny_embedder(folder / "embedder"))
    write_snapshot(folder, rows=3000)
    contradict(folder / "data" / "notes" / "rows.parquet")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        Path("params.yaml").write_text(write_lines(PARAMS, "organ"))
        resolve.run()
        CHECK.mkdir(parents=True)
        (CHECK / "result.json").write_text(json.dumps({"verdict": "pass", "checks": []}))
        phrases = distinct_phrases(DATA)
        store_vectors(EMBEDDINGS, phrases, embed(phrases), EMBEDDER_ID)
        for name in NAMES:
            split.run(name)
            train.run(name)
    return folder


def contradict(file: Path) -> None:
    """Let the south name its rows by other rules than the north."""
    rows = pq.read_table(file)
    named = [
        SOUTH[organ] if region == "south" else organ
        for organ, region in zip(rows["organ"].to_pylist(), rows["region"].to_pylist(), strict=True)
    ]
    place = rows.column_names.index("organ")
    pq.write_table(rows.set_column(place, "organ", pa.array(named)), file)


def test_dvc_has_the_stages_of_every_line_in_a_retraining(tmp_path: Path) -> None:
    stages = (REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")
    repository = make_repository(tmp_path / "repository", stages=stages, ignored="/build\n")
    (repository / "params.yaml").write_text(PARAMS)
    git(repository, "commit", "--quiet", "--all", "-m", "Lines")
    with open_workspace(repository) as workspace:
        workspace.narrow(["organ_north", "organ_south"], ["notes"])
        listed = dvc(workspace.folder, "stage", "list", "--name-only").split()
    assert {name for name in listed if name.startswith("train@")} == {
        "train@organ_north",
        "train@organ_south",
    }


def test_a_line_trains_on_the_rows_of_its_region_and_counts_the_others(trained: Path) -> None:
    whole = pq.read_table(trained / "data/notes/rows.parquet")["region"].to_pylist()
    for region in ("north", "south"):
        folder = trained / classifier_folder(f"organ_{region}") / "split"
        report = json.loads((folder / "report.json").read_text())
        assert report["stored_rows"] == whole.count(region)
        assert report["rows_of_other_regions"] == len(whole) - whole.count(region)
        labels = pq.read_table(folder / "labels.parquet")["region"].to_pylist()
        assert set(labels) == {region}


def accuracy(trained: Path, name: str, *, region: str) -> float:
    """Share of a region's test rows that the judged head of a classifier answers right."""
    folder = trained / classifier_folder(name)
    rows = pq.read_table(folder / "split" / "recent.parquet").to_pandas()
    rows = rows[(rows["part"] == "test") & (rows["region"] == region)]
    head = load_head(folder / "model" / JUDGED)
    cleaned = rows["cleaned"].tolist()
    vectors = read_vectors(cleaned, folder=trained / EMBEDDINGS)
    answers = np.array(head.labels)[head.probabilities(cleaned, vectors).argmax(axis=1)]
    return float((answers == rows["label"].to_numpy()).mean())


def test_lines_pay_where_the_rules_of_regions_contradict_each_other(trained: Path) -> None:
    for region in ("north", "south"):
        one = accuracy(trained, "everywhere", region=region)
        line = accuracy(trained, f"organ_{region}", region=region)
        print(f"{region}: one model {one:.3f}, its line {line:.3f}")
        assert line > max(0.9, one + 0.1)


@pytest.fixture(scope="module")
def service(trained: Path, database: DatabaseUrls) -> Iterator[Service]:
    """The bento of both lines as real processes, on a database of its own."""
    create_database(database.perennial, "lines")
    settings = load_settings(
        home=trained / "var",
        database_url=database.sibling("lines"),
        service_port=free_port(),
    )
    lines = {name: stored(trained, name) for name in NAMES[1:]}
    tag = build_bento(
        lines,
        embedder=trained / "embedder",
        staging=trained / "staging",
        bento_store=settings.home / "bentoml",
        version="1",
    )
    with open_database(settings) as urls:
        engine = connect(urls.perennial)
        with engine.begin() as connection:
            for model in lines.values():
                append_deployment(connection, champion(model))
        command = serve_command(tag, settings=settings, database_url=urls.perennial)
        log = trained / "service.log"
        with running(command, cwd=REPOSITORY, log=log, url=settings.service_url):
            yield Service(settings.service_url, engine)
        engine.dispose()


def stored(trained: Path, name: str) -> ModelVersion:
    """Put a trained head where the service looks for versions."""
    folder = trained / "var" / "models" / name / "1"
    folder.parent.mkdir(parents=True)
    (trained / classifier_folder(name) / "model").rename(folder)
    digest = head_digest(folder)
    write_digest(folder, digest)
    return ModelVersion(name, "1", str(folder), digest, EMBEDDER_ID)


def test_the_service_answers_by_region_and_by_route(service: Service) -> None:
    with httpx.Client(base_url=service.url, timeout=60) as client:

        def ask(name: str, **body: str) -> dict[str, Any]:
            answer = client.post(f"/v1/{name}/predict", json=body)
            return {"status": answer.status_code, **answer.json()}

        asked = [(phrase, organ) for organ in WORDS for phrase in phrases_of(organ)[:20]]
        north = [ask("organ", phrase=phrase, region="north")["label"] for phrase, _ in asked]
        south = [ask("organ", phrase=phrase, region="south")["label"] for phrase, _ in asked]
        right = np.array([organ for _, organ in asked])
        assert (np.array(north) == right).mean() > 0.9
        assert (np.array(south) == [SOUTH[organ] for organ in right]).mean() > 0.9

        by_route = ask("organ_south", phrase=asked[0][0])
        assert (by_route["classifier"], by_route["label"]) == ("organ_south", south[0])
        refused = ask("organ", phrase="heart", region="west")
        assert refused["status"] == 422 and "north, south; got 'west'" in refused["message"]
        assert ask("organ", phrase="heart")["status"] == 422

        label = {"request_id": by_route["request_id"], "label": "heart"}
        assert client.post("/v1/feedback", json=label).status_code == 202
    check_log(service.engine, by_route["request_id"])


def check_log(engine: Engine, request: str) -> None:
    """The log names the line, and feedback trains it although the request named no region."""

    def received() -> bool:
        with engine.connect() as connection:
            row = connection.execute(feedback.select().where(feedback.c.request_id == request))
            return row.first() is not None

    wait_until(received, seconds=SECONDS, what="the feedback in PostgreSQL")
    with engine.connect() as connection:
        logged = connection.execute(
            inference.select().where(inference.c.request_id == request)
        ).one()
        rows = feedback_rows(
            connection,
            label_columns={"organ_south": "organ"},
            received_by=datetime.now(UTC),
            regions={"organ_south": "south"},
        ).to_pylist()
    assert (logged.classifier, logged.region) == ("organ_south", None)
    assert [(row["id"], row["region"], row["organ"]) for row in rows] == [
        (request, "south", "heart")
    ]
