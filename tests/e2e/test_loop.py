"""The whole circle at small scale: one classifier, 20,000 rows, every part real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import sqlalchemy as sa
import yaml

from operations.demo.home import OWN_NAMES
from tests.support.installations import Place
from tests.support.processes import wait_until

SPOIL = (
    "create table sound as select id, phrase from diagnosis where id % 10 = 0",
    "update diagnosis set phrase = '  ' where id % 10 = 0",
)
RESTORE = (
    "update diagnosis set phrase = sound.phrase from sound where sound.id = diagnosis.id",
    "drop table sound",
)


def champion(place: Place) -> str:
    listed = httpx.get(f"{place.url('service')}/v1/classifiers", trust_env=False).json()[
        "classifiers"
    ]
    return next(row["version"] for row in listed if row["classifier"] == "block")


def test_drift_is_called_and_the_retrained_version_answers_better(played: dict) -> None:
    outcomes = {part["part"]: part["outcome"] for part in played["parts"]}
    watches = [outcome for part, outcome in outcomes.items() if part.startswith("Watch")]
    assert watches[0].startswith(("steady", "warning"))
    assert watches[1].startswith("drift")
    assert (
        played["figures"]["drifted_weighted_f1_after"]
        > played["figures"]["drifted_weighted_f1_before"] + 0.02
    )
    assert played["figures"]["cache_hit_rate"] > 0.2
    assert played["figures"]["source_rows"] > 20_000


def test_the_feedback_is_in_the_snapshot_that_trained_the_new_version(
    place: Place, played: dict
) -> None:
    tags = place.run("git", "tag", "--list", "retrain-*", "--sort=creatordate").split()
    assert len(tags) == 2
    sizes = [
        yaml.safe_load(place.run("git", "show", f"{tag}:data.dvc"))["outs"][0]["size"]
        for tag in tags
    ]
    place.run("git", "checkout", "--quiet", tags[1])
    place.run("dvc", "checkout", "--quiet")
    recorded = json.loads(
        (place.clone / "data" / "diagnoses" / "snapshot.json").read_text(encoding="utf-8")
    )
    previous = json.loads(
        (place.clone / "data" / "diagnoses" / "previous.json").read_text(encoding="utf-8")
    )
    assert sizes[1] > sizes[0]
    assert recorded["rows"] > previous["rows"]


def test_an_old_retraining_is_up_to_date_after_checkout(place: Place, played: dict) -> None:
    tag = place.run("git", "tag", "--list", "retrain-*", "--sort=creatordate").split()[0]
    place.run("git", "checkout", "--quiet", tag)
    place.run("dvc", "checkout", "--quiet")
    assert "Running stage" not in place.run("dvc", "repro")


def test_a_rollback_reaches_the_running_service_without_a_restart(
    place: Place, played: dict
) -> None:
    before = champion(place)
    done = place.perennial("rollout", "rollback", "block")
    assert done.returncode == 0, done.stderr
    assert before != "1"
    wait_until(lambda: champion(place) == "1", seconds=5, what="version 1 answers again")


def test_status_names_every_program_and_the_version_that_answers(
    place: Place, played: dict
) -> None:
    done = place.perennial("--json", "status")
    assert done.returncode == 0, done.stderr
    for word in ("prefect", "mlflow", "service", "evidently", "runner", "postgres", "block"):
        assert word in done.stdout


def test_the_next_demo_may_clear_whatever_the_loop_left(place: Place, played: dict) -> None:
    names = [entry.name for entry in place.home.iterdir()]
    assert [name for name in names if not OWN_NAMES.fullmatch(name)] == []


@pytest.mark.parametrize("phrase", ["fx of left wrist", "Type 2 diabetes"])
def test_classify_answers_without_a_service(place: Place, played: dict, phrase: str) -> None:
    done = place.perennial("--json", "classify", "block", phrase)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    parts = {"classifier", "phrase", "label", "probability", "version", "pinned", "abstained"}
    assert set(answer) == parts
    assert (answer["classifier"], answer["pinned"]) == ("block", False)


def test_a_critical_check_stops_the_retraining_and_the_champion_stays(
    place: Place, played: dict
) -> None:
    before = champion(place)
    with spoilt_source(place):
        done = place.perennial("--json", "retrain", "block", "--reason", "spoilt source")
    assert done.returncode == 1
    assert "usable on diagnoses.phrase" in done.stderr
    assert champion(place) == before


@contextmanager
def spoilt_source(place: Place) -> Iterator[None]:
    url = f"postgresql+psycopg://postgres@/demo?host={place.home}/postgres"
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in SPOIL:
            connection.execute(sa.text(statement))
    try:
        yield
    finally:
        with engine.begin() as connection:
            for statement in RESTORE:
                connection.execute(sa.text(statement))
