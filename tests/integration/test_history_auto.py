"""`history_days: auto` in real retrainings: chosen once, recorded, made again, kept."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.database import DatabaseUrls
from tests.support.retrainings import (
    ALWAYS_PROMOTED,
    Place,
    build_place,
    mlflow_uri,
    prefect_server,
    verdict,
    write_block,
)

pytestmark = pytest.mark.timeout(1800)
DECISIONS = "select kind, reasons, evidence from decision where subject = 'history' order by id"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: DatabaseUrls) -> Iterator[Place]:
    place = build_place(tmp_path_factory.mktemp("auto"), database)
    commit(place)
    with prefect_server(place):
        yield place
    place.engine.dispose()


def commit(place: Place, **changes: Any) -> None:
    clone = place.settings.repository
    block = {"gate": ALWAYS_PROMOTED, "history_days": "auto", **changes}
    write_block(clone, embedder=clone.parent / "embedder", **block)


def published_days(place: Place) -> list[int]:
    """The number that params.yaml of each retraining's tag has."""
    tags = [row.git_tag for row in place.rows("select git_tag from snapshot order by id")]
    shown = [
        subprocess.run(
            ["git", "show", f"{tag}:params.yaml"],
            cwd=place.settings.repository,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for tag in tags
    ]
    return [yaml.safe_load(text)["classifiers"]["organ"]["history_days"] for text in shown]


def test_a_retraining_chooses_a_window_and_records_it(place: Place, tmp_path: Path) -> None:
    assert verdict(place.retrain()) == "promote"
    [decision] = place.rows(DECISIONS)
    assert decision.kind == "chosen" and decision.evidence["history_days"] == 365
    assert [window["days"] for window in decision.evidence["windows"]] == [365, 730]
    assert published_days(place) == [365]
    assert_in_mlflow(place, tmp_path)


def assert_in_mlflow(place: Place, folder: Path) -> None:
    from mlflow import MlflowClient

    from pipelines.registry import Registry

    uri = mlflow_uri(place)
    registry = Registry(uri, place.settings.home / "mlartifacts")
    run_id = registry.version("organ", "1").run_id
    assert MlflowClient(tracking_uri=uri).get_run(run_id).data.params["history_days"] == "365"
    files = registry.artifacts(run_id, "history", folder)
    choice = json.loads((files / "choice.json").read_text(encoding="utf-8"))
    assert choice["reason"].startswith("365 days of history, the shortest window")
    assert (files / "history.png").read_bytes().startswith(b"\x89PNG")


def test_the_version_is_made_again_byte_for_byte(place: Place) -> None:
    done = place.run("cli.app", "reproduce", "organ", "1", "--json")
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1])["verdict"]["kind"] == "identical"


def test_the_next_retraining_takes_the_choice_as_it_is(place: Place) -> None:
    assert verdict(place.retrain()) == "promote"
    assert len(place.rows(DECISIONS)) == 1
    assert published_days(place) == [365, 365]


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_retraining_after_a_kill_during_the_choice_goes_on(place: Place, when: str) -> None:
    """Killed before or after its comparison: nothing is decided, and the next one decides."""
    rows = {"before": 12, "after": 13}[when]
    commit(place, min_rows_per_label=rows)
    before = place.rows(DECISIONS)
    champion = place.champion()
    killed = place.retrain(when, "flows.history:compare_within")
    assert killed.returncode == -9
    assert (place.rows(DECISIONS), place.champion()) == (before, champion)
    assert verdict(place.retrain()) == "promote"
    *earlier, decision = place.rows(DECISIONS)
    assert earlier == before and decision.kind == "chosen"
    assert place.champion() != champion
    assert published_days(place)[-1] == decision.evidence["history_days"]


def test_an_exhausted_budget_keeps_the_last_choice_and_says_so(place: Place) -> None:
    commit(place, min_rows_per_label=14, history_budget_seconds=0.5)
    assert verdict(place.retrain()) == "promote"
    *_, decision = place.rows(DECISIONS)
    assert decision.kind == "kept" and decision.evidence["history_days"] == 365
    assert decision.evidence["why_now"] == "the classifier's block has changed"
    assert decision.reasons[0].startswith("365 days of history, the last choice: all windows")
    assert "an exhausted budget" in decision.reasons[0]
    assert published_days(place)[-1] == 365
