"""`kill -9` of a retraining at every boundary: nothing is half registered; the next succeeds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support.retrainings import Place, mlflow_uri, verdict

OPEN_LOCKS = """
select 1 from pg_locks where locktype = 'advisory'
and database = (select oid from pg_database where datname = current_database())
"""

STEPS = (
    "take_snapshot",
    "check_snapshot",
    "train_classifiers",
    "publish_lock",
    "compare_with_champion",
    "register_candidate",
    "decide_and_promote",
    "package",
)
BOUNDARIES = [
    ("before", f"flows.retrain:{STEPS[0]}"),
    *(("after", f"flows.retrain:{step}") for step in STEPS),
]
WITHIN = [
    ("after", "pipelines.source.extract:write_batches"),
    ("after", "pipelines.workspace:Workspace.publish"),
    ("after", "pipelines.registry:Registry.log_evaluation"),
    ("after", "pipelines.registry:Registry.register"),
    ("after", "flows.candidates.registering:store_version"),
    ("before", "flows.candidates.promoting:repair_aliases"),
]
IN_A_ROW = [
    ("after", "flows.retrain:check_snapshot"),
    ("after", "pipelines.registry:Registry.register"),
    ("before", "flows.candidates.promoting:repair_aliases"),
]


def kill(place: Place, when: str, where: str) -> None:
    killed = place.retrain(when, where)
    assert killed.returncode == -9, killed.stderr[-4000:]
    assert_nothing_half_answers(place)


def retrain_whole(place: Place) -> None:
    before = place.champion()
    assert verdict(place.retrain()) == "promote"
    assert place.champion() != before
    assert_whole(place)


def assert_nothing_half_answers(place: Place) -> None:
    """Whatever was killed: who answers has its head, and a promotion has its verdict."""
    for row in place.rows("select version, head_location from deployment"):
        assert (Path(row.head_location) / "head.npz").is_file()
    promoted = {row.version for row in place.rows("select version from deployment")}
    assert decided(place, "rollout") == promoted
    assert decided(place, "gate") <= promoted


def decided(place: Place, subject: str) -> set[str]:
    query = """
        select evidence ->> 'version' as version from decision
        where subject = :subject and kind = 'promote'
    """
    return {row.version for row in place.rows(query, subject=subject)}


def assert_whole(place: Place) -> None:
    """After the next retraining only a branch, a tag and an ended MLflow run are left of it."""
    client = MlflowClient(mlflow_uri(place), mlflow_uri(place))
    versions = {
        str(version.version): version for version in client.search_model_versions("name = 'organ'")
    }
    kept = {folder.name for folder in (place.settings.models / "organ").iterdir()}
    assert versions.keys() <= kept
    assert {version.tags["state"] for version in versions.values()} == {"complete"}
    aliases = client.get_registered_model("organ").aliases
    assert (
        str(aliases["champion"]) == place.champion()
        and {str(version) for version in aliases.values()} <= kept
    )
    experiment = client.get_experiment_by_name("organ")
    assert experiment is not None
    assert not client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    tags = subprocess.run(
        ["git", "tag"], cwd=place.settings.repository, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {row.git_tag for row in place.rows("select git_tag from snapshot")} <= set(tags)
    assert list(Path(place.environment["TMPDIR"]).glob("perennial-*")) == []
    assert not place.rows(OPEN_LOCKS)


@pytest.mark.timeout(900)
def test_after_three_kills_in_a_row_the_next_retraining_succeeds(
    place_with_champion: Place,
) -> None:
    """Killed with a snapshot only, a version without a head, a champion unknown to MLflow."""
    for when, where in IN_A_ROW:
        kill(place_with_champion, when, where)
    retrain_whole(place_with_champion)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("when", "where"), [*BOUNDARIES, *WITHIN], ids=lambda value: value.rpartition(":")[2]
)
def test_after_a_kill_anywhere_the_next_retraining_succeeds(
    place_with_champion: Place, when: str, where: str
) -> None:
    kill(place_with_champion, when, where)
    retrain_whole(place_with_champion)
