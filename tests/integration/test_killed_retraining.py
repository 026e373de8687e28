"""`kill -9` of a retraining at every boundary: nothing half registered, and the next one succeeds."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from core.database import DatabaseUrls
from tests.integration.retrain_kit import Place, build_place, mlflow_uri, prefect_server, verdict

STEPS = (
    "take_snapshot", "check_snapshot", "train_classifiers", "publish_lock", "compare_with_champion", "register_candidate",
    "decide_and_promote", "package",
)  # fmt: skip
BOUNDARIES = [("before", f"flows.retrain:{STEPS[0]}"), *(("after", f"flows.retrain:{step}") for step in STEPS)]
WITHIN = [
    ("after", "pipelines.source.extract:write_rows"),
    ("after", "pipelines.workspace:Workspace.publish"),
    ("after", "pipelines.registry:Registry.log_evaluation"),
    ("after", "pipelines.registry:Registry.register"),
    ("after", "flows.steps:store_version"),
    ("before", "flows.steps:repair_aliases"),
]
LOCKS = """
select 1 from pg_locks join pg_database on pg_database.oid = pg_locks.database
where locktype = 'advisory' and datname = current_database()
"""
REPRESENTATIVE = [("after", "flows.retrain:check_snapshot"), ("after", "pipelines.registry:Registry.register")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: DatabaseUrls) -> Iterator[Place]:
    """With a first champion, and a Prefect server for all that follows."""
    place = build_place(tmp_path_factory.mktemp("killed"), database)
    with prefect_server(place):
        assert verdict(place.retrain("first")) == "promote"
        yield place
    place.engine.dispose()


def die_then_retrain(place: Place, when: str, where: str) -> None:
    killed = place.retrain(when, where)
    assert killed.returncode == -9, killed.stderr[-4000:]
    assert_nothing_half_answers(place)
    before = place.champion()
    assert verdict(place.retrain()) == "promote"
    assert place.champion() != before
    assert_whole(place)


def assert_nothing_half_answers(place: Place) -> None:
    """Whatever was killed: who answers has its head, and a promotion has its verdict."""
    for row in place.rows("select version, head_location from deployment"):
        assert (Path(row.head_location) / "head.npz").is_file()
    promoted = {row.version for row in place.rows("select version from deployment")}
    gates = place.rows("select evidence ->> 'version' as version from decision where subject = 'gate' and kind = 'promote'")
    assert {row.version for row in gates} == promoted


def assert_whole(place: Place) -> None:
    """After the next retraining nothing tells of the killed one but its branch, its tag and an ended MLflow run."""
    client = MlflowClient(mlflow_uri(place), mlflow_uri(place))
    versions = {str(version.version): version for version in client.search_model_versions("name = 'organ'")}
    kept = {folder.name for folder in (place.settings.models / "organ").iterdir()}
    assert versions.keys() == kept
    assert {version.tags["state"] for version in versions.values()} == {"complete"}
    aliases = client.get_registered_model("organ").aliases
    assert str(aliases["champion"]) == place.champion() and {str(version) for version in aliases.values()} <= kept
    experiment = client.get_experiment_by_name("organ")
    assert not client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    tags = subprocess.run(["git", "tag"], cwd=place.settings.repository, capture_output=True, text=True, check=True).stdout.split()
    assert {row.git_tag for row in place.rows("select git_tag from snapshot")} <= set(tags)
    assert list(Path(place.environment["TMPDIR"]).glob("perennial-*")) == []
    assert not place.rows(
        "select 1 from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())"
    )


@pytest.mark.parametrize(("when", "where"), REPRESENTATIVE, ids=lambda value: value.rpartition(":")[2])
def test_after_a_kill_the_next_retraining_succeeds(place: Place, when: str, where: str) -> None:
    die_then_retrain(place, when, where)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("when", "where"), sorted({*BOUNDARIES, *WITHIN} - {*REPRESENTATIVE}), ids=lambda value: value.rpartition(":")[2])
def test_after_a_kill_anywhere_the_next_retraining_succeeds(place: Place, when: str, where: str) -> None:
    die_then_retrain(place, when, where)
