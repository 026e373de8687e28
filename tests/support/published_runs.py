"""A repository with a past: small retrainings, published as the flow publishes them.

DVC, git, MLflow and the model store are real. The one stage copies `kept/<seed>/`, so that a
training costs nothing: `seed` in params.yaml decides the result.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy.engine import Engine

from core.contracts import ModelVersion, Snapshot
from core.database import DatabaseUrls
from core.params.schema import Params
from core.settings import Settings
from core.snapshots import record_snapshot
from flows.context import LoopContext
from pipelines.git_repository import stage_environment
from pipelines.model.head_file import head_digest, save_head
from pipelines.model_store import store_version
from pipelines.provenance import training_environment
from pipelines.registry import RegisteredVersion, Registry
from pipelines.snapshots import logical_hash, query_hash
from pipelines.workspace import Workspace, open_workspace
from tests.support.heads import EMBEDDER_ID, make_head

SEED = 7  # as recorded
NEARLY = 8  # the same labels with probabilities 1e-7 apart
OTHER = 9  # another label in a row
AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
QUERY = "select id, phrase, occurred_at, organ from note\n"
PARAMS = "seed: 7\nclassifiers:\n  organ:\n    source: {query: queries/notes.sql, label: organ}\n"
DVC_YAML = """
stages:
  embedder:
    cmd: mkdir -p build && cp -R kept/embedder build/
    outs: [build/embedder]
  evaluate:
    foreach: ${classifiers}
    do:
      cmd: python train.py ${key}
      deps: [data, build/embedder, params.yaml, train.py]
      outs:
        - build/classifiers/${key}/model
        - build/classifiers/${key}/evaluation
"""
TRAIN = """
import shutil, sys, yaml
seed = yaml.safe_load(open("params.yaml"))["seed"]
shutil.copytree(f"kept/{seed}", f"build/classifiers/{sys.argv[1]}", dirs_exist_ok=True)
"""
ROWS = pa.table(
    {
        "id": ["a", "b", "c"],
        "phrase": ["Heart murmur", "Old cough", "Lung pain"],
        "occurred_at": pa.array([AS_OF] * 3, pa.timestamp("us", "UTC")),
        "region": pa.array([None] * 3, pa.string()),
        "organ": ["heart", "lung", "lung"],
        "origin": ["source", "source", "feedback"],
    }
)


@dataclass(frozen=True)
class Past:
    """The repository, its home and its registry."""

    settings: Settings
    urls: DatabaseUrls
    registry: Registry

    def loop(self, engine: Engine) -> LoopContext:
        source = {"query": "queries/notes.sql", "label": "organ"}
        loop = LoopContext(
            self.settings,
            self.urls,
            engine,
            Params.model_validate({"classifiers": {"organ": {"source": source}}}),
        )
        loop.__dict__["registry"] = self.registry  # its artifacts lie in the home of the test
        return loop

    def stored(self, version: str) -> Path:
        return self.settings.models / "organ" / version


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def make_repository(folder: Path) -> None:
    for name, text in (
        ("params.yaml", PARAMS),
        ("dvc.yaml", DVC_YAML),
        ("train.py", TRAIN),
        ("queries/notes.sql", QUERY),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "kept" / "embedder").mkdir(parents=True)
    (folder / "kept" / "embedder" / "embedder.json").write_text(
        json.dumps({"embedder_id": EMBEDDER_ID, "handle": "tiny"})
    )
    keep(
        folder / "kept" / str(SEED),
        head="1",
        labels=("heart", "lung", "heart"),
        shares=(0.9, 0.8, 0.6),
    )
    keep(
        folder / "kept" / str(NEARLY),
        head="2",
        labels=("heart", "lung", "heart"),
        shares=(0.9000001, 0.8, 0.6),
    )
    keep(
        folder / "kept" / str(OTHER),
        head="3",
        labels=("heart", "heart", "heart"),
        shares=(0.9, 0.7, 0.6),
    )
    (folder / ".gitignore").write_text("/data\n/build\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "--quiet"],
        env=stage_environment(),
        cwd=folder,
        check=True,
    )
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "start")


def keep(folder: Path, *, head: str, labels: tuple[str, ...], shares: tuple[float, ...]) -> None:
    save_head(make_head(head), folder / "model")
    rows = ROWS.select(["id", "phrase", "organ"]).rename_columns(["id", "cleaned", "label"])
    rows = rows.append_column("predicted", pa.array(labels)).append_column(
        "probability", pa.array(shares)
    )
    (folder / "evaluation").mkdir()
    pq.write_table(rows, folder / "evaluation" / "predictions.parquet")
    pq.write_table(rows, folder / "evaluation" / "reference.parquet")
    right = sum(map(str.__eq__, labels, ROWS["organ"].to_pylist())) / len(labels)
    (folder / "evaluation" / "evaluation.json").write_text(
        json.dumps({"metrics": {"accuracy": right}})
    )


def retrain(past: Past, run: str, *, seed_at_tag: int = SEED) -> RegisteredVersion:
    """Train with SEED and publish; another seed at the tag looks like tampering."""
    with open_workspace(past.settings.repository) as workspace:
        (workspace.folder / "data" / "notes").mkdir(parents=True)
        pq.write_table(ROWS, workspace.folder / "data" / "notes" / "rows.parquet")
        workspace.track_data()
        workspace.reproduce(["evaluate@organ"])
        (workspace.folder / "params.yaml").write_text(
            PARAMS.replace("seed: 7", f"seed: {seed_at_tag}")
        )
        commit = workspace.publish(
            message=f"Retrain organ: {run}",
            tag=f"retrain-{run}",
            branches=[f"perennial/organ/{run}"],
        )
        return register(past, workspace, run, commit)


def register(past: Past, workspace: Workspace, run: str, commit: str) -> RegisteredVersion:
    built = workspace.folder / "build" / "classifiers" / "organ"
    model = built / "model"
    evaluation = built / "evaluation"
    tags = {
        "git_commit": commit,
        "git_tag": f"retrain-{run}",
        "snapshot": f"notes:{logical_hash(ROWS)}",
        "data_md5": "0.dir",
        "embedder_id": EMBEDDER_ID,
        "reason": "test",
        "run": run,
        "head_digest": head_digest(model),
        "surroundings": json.dumps({**training_environment(), "numpy": "1.0"}),
    }
    with past.registry.run("organ", name=run, tags=tags) as run_id:
        past.registry.log_evaluation(
            run_id, metrics={"accuracy": 2 / 3}, params={}, evaluation=evaluation, model=model
        )
        version = past.registry.register("organ", run_id=run_id, tags=tags)
    store_version(
        past.settings.models,
        classifier="organ",
        version=version,
        model=model,
        evaluation=evaluation,
    )
    shutil.copytree(
        workspace.folder / "build" / "embedder",
        past.settings.embedders / EMBEDDER_ID,
        dirs_exist_ok=True,
    )
    return past.registry.version("organ", version)


def remember_snapshot(engine: Engine, known: RegisteredVersion) -> None:
    asked = query_hash(QUERY, parameters={}, label_columns=["organ"])
    with engine.begin() as connection:
        summary = {
            "as_of": AS_OF.isoformat(),
            "rows": 3,
            "labels": {"organ": {"heart": 1, "lung": 2}},
        }
        snapshot = Snapshot("notes", AS_OF, 3, logical_hash(ROWS), asked)
        record_snapshot(
            connection,
            snapshot,
            git_tag=known.tags["git_tag"],
            summary=summary,
            trained=["organ"],
        )


def model_of(past: Past, known: RegisteredVersion) -> ModelVersion:
    return ModelVersion(
        "organ",
        known.version,
        str(past.stored(known.version)),
        known.tags["head_digest"],
        EMBEDDER_ID,
    )
