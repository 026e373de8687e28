"""What a tuning changes: params.yaml in the workspace, its commit, its page and its runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import pytest
import sqlalchemy as sa
import yaml

from core.database import DatabaseUrls, connect, with_driver
from core.params.schema import load_params
from flows.context import LoopContext
from flows.pages.tuning import render_tuning
from flows.run import Run
from flows.tuning import log_tuning, tune_heads, tuning_folder
from pipelines.tuning.study import SCHEMA
from pipelines.workspace import Workspace
from tests.support.dvc_repositories import git
from tests.support.places import own_place
from tests.support.repositories import ROOT
from tests.support.tunings import HEAD, write_problem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POOR = {**HEAD, "C": 0.00001}
WHOLE = """# What changes a model.
seed: 7
classifiers:
  organ:   # three labels
    source: {query: queries/notes.sql, label: organ}
    head: {kind: hybrid_svm, C: 0.00001, ngram_weight: 0.7, buckets: 256, keep: 1.0}  # poor
    tune: {when: if_stale, seconds: 8}
  course:  # another one
    source: {query: queries/notes.sql, label: course}
"""


class MadeWorkspace(Workspace):
    """A folder whose stages have run already."""

    def reproduce(self, targets: Sequence[str], *, keep_going: bool = False) -> None:
        """Make nothing."""


@pytest.fixture
def context(tmp_path: Path, database: DatabaseUrls) -> Iterator[LoopContext]:
    """Of a repository with two classifiers; `clone` is the workspace of a run of `organ`."""
    folder = write_problem(tmp_path / "clone", head=POOR, copies=2)
    for room in ("core", "pipelines"):
        (folder / room).symlink_to(ROOT / room)
    (folder / "params.yaml").write_text(WHOLE)
    git(folder, "init", "--quiet")
    git(folder, "add", "params.yaml")
    git(folder, "commit", "--quiet", "-m", "start")
    params = load_params(folder / "params.yaml")
    settings = own_place(tmp_path / "home")
    context = LoopContext(settings, database, connect(database.perennial), params)
    yield context
    with context.engine.begin() as connection:
        connection.execute(sa.text(f"drop schema if exists {SCHEMA} cascade"))
    context.engine.dispose()


def test_a_proved_gain_is_a_commit_of_its_own_and_is_carried_over(
    tmp_path: Path, context: LoopContext
) -> None:
    folder = tmp_path / "clone"
    workspace = MadeWorkspace(folder, "", tmp_path / "cache")
    narrowed = yaml.safe_load(WHOLE)
    del narrowed["classifiers"]["course"]
    (folder / "params.yaml").write_text(yaml.safe_dump(narrowed))
    (folder / "data.dvc").write_text("staged, as a run stages it\n")
    git(folder, "add", "data.dvc")

    run = Run("run-1", NOW, "manual")
    [tuning] = tune_heads(context, workspace, ["organ", "course"], run)
    assert tuning.why == "never tuned"
    assert tuning.after["C"] > tuning.before["C"] == POOR["C"], tuning.lines
    assert git(folder, "show", "--format=", "--name-only", tuning.commit) == "params.yaml"
    committed = git(folder, "show", f"{tuning.commit}:params.yaml")
    assert "# What changes a model." in committed and "}  # poor" in committed
    assert "course:  # another one" in committed
    edited = load_params(folder / "params.yaml")
    assert edited.classifiers["organ"].head.model_dump() == {**POOR, **tuning.after}
    assert list(edited.classifiers) == ["organ"]

    page = render_tuning(tuning)
    assert f"git cherry-pick {tuning.commit[:12]}" in page
    assert "-    head: {kind: hybrid_svm, C: 0.00001" in page
    kept = json.loads((tuning_folder(context, run, "organ") / "tuning.json").read_text())
    assert kept["after"] == dict(tuning.after)
    _check_nested_runs(context, run, trials=len(kept["search"]["trials"]))

    git(folder, "reset", "--quiet", "--hard", "HEAD~1")  # as the next run finds the repository
    later = Run("run-2", NOW + timedelta(days=7), "schedule")
    [carried] = tune_heads(context, workspace, ["organ"], later)
    assert carried.search is None
    assert carried.after == tuning.after
    assert carried.lines[-1].startswith("carried over: C ")


def _check_nested_runs(context: LoopContext, run: Run, *, trials: int) -> None:
    with context.registry.run("organ", name=run.id, tags={}) as run_id:
        log_tuning(context, "organ", run_id, run)
    client = mlflow.MlflowClient(with_driver(context.urls.mlflow, "psycopg"))
    parent = client.get_run(run_id)
    assert parent.data.metrics["tuning/lower"] > 0
    query = f"tags.mlflow.parentRunId = '{run_id}'"
    nested = client.search_runs([parent.info.experiment_id], query, max_results=1000)
    assert len(nested) == trials > 1
    assert {child.info.status for child in nested} == {"FINISHED"}
    assert [artifact.path for artifact in client.list_artifacts(run_id, "tuning")] == [
        "tuning/params.diff",
        "tuning/tuning.json",
    ]
