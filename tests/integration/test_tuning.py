"""Tuning in real retrainings and by hand: what it changes, where it shows, what it leaves alone."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import mlflow
import pytest
import yaml

from core.database import DatabaseUrls
from pipelines.git_repository import file_at
from tests.support.retrainings import (
    ALWAYS_PROMOTED,
    Place,
    build_place,
    mlflow_uri,
    prefect_server,
    verdict,
    write_block,
)
from tests.support.training import LAST_DAY, WORDS, phrases_of

POOR = {"kind": "logistic", "C": 0.0001}
"""Hardly learns anything: nearly every other setting is better."""
COMMENT = "# a comment that stays\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: DatabaseUrls) -> Iterator[Place]:
    """One classifier with poor settings and `tune: if_stale`, retrained once."""
    folder = tmp_path_factory.mktemp("tuning")
    place = build_place(folder, database)
    write_block(
        place.settings.repository,
        embedder=folder / "embedder",
        gate=ALWAYS_PROMOTED,
        head=POOR,
        tune={"when": "if_stale", "seconds": 3},
    )
    params = place.settings.repository / "params.yaml"
    params.write_text(COMMENT + params.read_text(encoding="utf-8"), encoding="utf-8")
    git(place, "commit", "--quiet", "--all", "-m", "A comment")
    write_every_phrase(folder / "source.db")
    with prefect_server(place):
        assert verdict(place.retrain()) == "promote"
        yield place
    place.engine.dispose()


def write_every_phrase(source: Path) -> None:
    """Add each phrase once: the others are drawn, and too few for two slices."""
    pairs = [(phrase, label) for label in WORDS for phrase in phrases_of(label)]
    rows = [
        (f"more-{number}", phrase, (LAST_DAY - timedelta(days=number)).isoformat(), label)
        for number, (phrase, label) in enumerate(pairs)
    ]
    with sqlite3.connect(source) as connection:
        connection.executemany("insert into note values (?, ?, ?, ?)", rows)
    connection.close()


def git(place: Place, *arguments: str) -> str:
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return subprocess.run(
        ["git", *author, *arguments],
        cwd=place.settings.repository,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def tags(place: Place) -> list[str]:
    """The tags of the retrainings, the oldest first."""
    return git(place, "tag", "--list", "retrain-*", "--sort=creatordate").split()


def head_at(place: Place, revision: str) -> dict:
    text = file_at(place.settings.repository, revision, "params.yaml") or ""
    return yaml.safe_load(text)["classifiers"]["organ"]["head"]


def tuned_pages(place: Place) -> list[str]:
    """The pages of the tunings in the Prefect UI, the oldest first."""
    found = httpx.post(
        f"{place.settings.prefect_url}/api/artifacts/filter",
        json={"artifacts": {"key": {"any_": ["tuning-organ"]}}, "sort": "UPDATED_DESC"},
        trust_env=False,
    ).json()
    return [artifact["data"] for artifact in reversed(found)]


def test_the_branch_begins_with_the_change_alone_and_the_users_files_stay(place: Place) -> None:
    first = tags(place)[0]
    assert head_at(place, first)["C"] > POOR["C"]
    assert head_at(place, "HEAD") == POOR
    assert git(place, "status", "--porcelain", "--untracked-files=no") == ""

    change = git(place, "rev-parse", f"{first}^{{commit}}~1").strip()
    assert git(place, "show", "--format=", "--name-only", change).split() == ["params.yaml"]
    edited = file_at(place.settings.repository, change, "params.yaml") or ""
    assert edited.startswith(COMMENT)
    assert git(place, "show", "--format=%s", "--no-patch", change).startswith("Tune organ: C ")
    git(place, "cherry-pick", "--no-commit", change)
    assert (
        head_at(place, first)
        == yaml.safe_load((place.settings.repository / "params.yaml").read_text(encoding="utf-8"))[
            "classifiers"
        ]["organ"]["head"]
    )
    git(place, "reset", "--quiet", "--hard", "HEAD")


def test_the_page_shows_the_change_and_how_to_take_it_over(place: Place) -> None:
    first = tags(place)[0]
    page = tuned_pages(place)[0]
    change = git(place, "rev-parse", f"{first}^{{commit}}~1").strip()
    assert "Why: never tuned." in page
    assert f"git cherry-pick {change[:12]}" in page
    assert "-    C: 0.0001" in page or "-      C: 0.0001" in page


def test_mlflow_has_the_chosen_settings_and_a_nested_run_per_trial(place: Place) -> None:
    client = mlflow.MlflowClient(mlflow_uri(place), mlflow_uri(place))
    [run_id] = [
        version.run_id or ""
        for version in client.search_model_versions("name='organ'")
        if version.version in (1, "1")
    ]
    run = client.get_run(run_id)
    first = tags(place)[0]
    assert float(run.data.params["C"]) == head_at(place, first)["C"]
    assert run.data.metrics["tuning/lower"] > 0

    kept = place.settings.home / "mlartifacts" / "organ" / run_id / "artifacts" / "tuning"
    trials = json.loads((kept / "tuning.json").read_text())["search"]["trials"]
    nested = client.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'", max_results=1000
    )
    assert len(nested) == len(trials) > 1
    assert {run.info.status for run in nested} == {"FINISHED"}


def test_the_version_is_reproduced_from_its_tag(place: Place) -> None:
    done = place.run("cli.app", "reproduce", "organ", "1", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["verdict"]["kind"] == "identical"


def test_a_search_by_hand_offers_a_commit(place: Place) -> None:
    done = place.run("cli.app", "tune", "organ", "--seconds", "3", "--processes", "2", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    tuned = json.loads(done.stdout.splitlines()[-1])
    assert tuned["tuning"]["why"] == "by hand"
    assert head_at(place, tuned["branch"])["C"] == tuned["tuning"]["after"]["C"] > POOR["C"]
    assert any("on the same rows" in line for line in tuned["tuning"]["lines"])
    assert Path(tuned["folder"], "params.diff").is_file()
    assert git(place, "status", "--porcelain", "--untracked-files=no") == ""


def test_an_unknown_classifier_is_refused_at_once(place: Place) -> None:
    done = place.run("cli.app", "tune", "organs")
    assert done.returncode == 2
    assert "organ" in done.stderr


def test_the_next_retraining_carries_the_result_over_without_a_search(place: Place) -> None:
    assert verdict(place.retrain()) == "promote"
    first, second = tags(place)
    assert head_at(place, second) == head_at(place, first)
    searched, carried = tuned_pages(place)
    assert "weighted F1 of the slice that chose" in searched
    assert "carried over: C" in carried
    assert "trial" not in carried
