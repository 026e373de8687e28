"""21 classifiers (params-21.yaml): one retraining, one embedding pass, one service."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from core.settings import load_settings
from flows.context import open_context
from flows.snapshot import build_demo
from tests.support.installations import Place, new_place
from tests.support.processes import is_ready, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SMALL: dict[str, Any] = {"min_rows_per_label": 5, "gate": {"min_weighted_f1": 0.01}}
"""Some chapters of the small demo have a few dozen rows: every head is trained all the same."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with the 21 blocks and the small demo's source."""
    place = new_place(tmp_path_factory.mktemp("many"), PERENNIAL_LOG_FORMAT="json")
    params = yaml.safe_load((place.clone / "params-21.yaml").read_text())
    params["classifiers"] = {
        name: {**block, **SMALL} for name, block in params["classifiers"].items()
    }
    (place.clone / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    place.commit("One classifier a chapter")
    settings = load_settings(
        repository=place.clone,
        home=place.environment["PERENNIAL_HOME"],
        database_url=None,
        source_url=None,
    )
    with open_context(settings) as loop:
        build_demo(loop, scale="small")
    return place


@pytest.fixture(scope="module")
def trained(many: Place) -> list[dict[str, Any]]:
    """The events of one retraining of all of them.

    The gate may turn away a chapter that is nearly all of one block; that one is promoted by hand.
    """
    done = many.perennial("retrain", "--verbose", "--json", timeout=2400)
    assert done.returncode in (0, 3), done.stdout[-2000:] + done.stderr[-4000:]
    [outcome] = [
        json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"verdicts"')
    ]
    verdicts = {name: verdict["kind"] for name, verdict in outcome["verdicts"].items()}
    turned_away = [name for name, kind in verdicts.items() if kind != "promote"]
    assert (len(verdicts), len(turned_away) <= 4) == (21, True), verdicts
    for name in turned_away:
        promoted = many.perennial("rollout", "promote", name)
        assert promoted.returncode == 0, promoted.stderr[-2000:]
    return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


@contextmanager
def served(place: Place) -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, "-m", "cli.app", "serve"]
    with (Path(place.environment["PERENNIAL_HOME"]) / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=place.clone,
            env=place.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: is_ready(place.url("service"), process), seconds=300, what="the service ready"
        )
        yield place.url("service"), psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_every_phrase_of_all_is_embedded_once(many: Place, trained: list[dict[str, Any]]) -> None:
    [embedded] = [event for event in trained if event["event"] == "embed" and "new" in event]
    assert (embedded["reused"], embedded["new"] > 2000) == (0, True)
    stages = [
        event["event"]
        for event in trained
        if event["event"].startswith("stage ") and event.get("state") == "end"
    ]
    assert (
        stages.count("stage embed"),
        stages.count("stage embedder"),
        stages.count("stage train"),
    ) == (1, 1, 21)


def test_one_service_answers_for_all_of_them_from_one_embedding(
    many: Place, trained: list[dict[str, Any]]
) -> None:
    names = list(yaml.safe_load((many.clone / "params.yaml").read_text())["classifiers"])
    with (
        served(many) as (url, root),
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        wait_until(
            lambda: len(client.get("/v1/classifiers").json()["classifiers"]) == 21,
            seconds=60,
            what="all of them live",
        )
        listed = {
            one["classifier"]: one for one in client.get("/v1/classifiers").json()["classifiers"]
        }
        answers = {
            name: client.post(
                f"/v1/{name}/predict", json={"phrase": "a phrase nobody trained on"}
            ).json()
            for name in names
        }
        services = [word for one in root.children(recursive=True) for word in service_of(one)]
    assert len(names) == len(listed) == 21
    assert [answers[name]["cached"] for name in names] == [False] + [True] * 20, (
        "21 answers, one embedding"
    )
    assert {name: answer["version"] for name, answer in answers.items()} == dict.fromkeys(
        names, "1"
    )
    assert all(answer["label"] in listed[name]["labels"] for name, answer in answers.items())
    assert len({tuple(one["labels"]) for one in listed.values()}) == 21, "each has its own question"
    assert sorted(services) == ["Classifier", "Embedder"]


def service_of(process: psutil.Process) -> list[str]:
    line = process.cmdline()
    return [line[line.index("--service-name") + 1]] if "--service-name" in line else []
