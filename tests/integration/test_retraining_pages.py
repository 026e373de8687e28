"""What a real retraining leaves on the pages of Prefect and MLflow."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from core.tables import inference as inference_log
from machine.environment import mlflow_uri
from pipelines.model.abstention import as_json, load_abstention
from pipelines.model.promise import promise_sentence
from tests.support.inferences import inference
from tests.support.prefect_servers import flow_runs
from tests.support.repositories import ROOT
from tests.support.retrainings import Place, verdict

LOAD = """
import mlflow, pandas, sys
model = mlflow.pyfunc.load_model("models:/organ@champion")
answers = model.predict(pandas.DataFrame({"phrase": sys.argv[1:]}))
print(answers.to_json(orient="records"))
"""


@pytest.fixture(scope="module")
def place(place_with_champion: Place) -> Place:
    return place_with_champion


def promoted_run(place: Place) -> dict[str, Any]:
    """The newest one; other tests of the session retrain here, too."""
    runs = [run for run in flow_runs(place.settings) if run["state_name"] == "Promoted"]
    return max(runs, key=lambda run: run["start_time"])


def test_its_run_is_named_and_tagged_after_what_it_did(place: Place) -> None:
    run = promoted_run(place)
    assert re.fullmatch(r"organ: .+, version [0-9]+ promoted", run["name"])
    assert {"perennial", "organ", "promote"} <= set(run["tags"])


def test_its_page_links_the_version_and_the_checks_that_mlflow_keeps(place: Place) -> None:
    found = httpx.post(
        f"{place.settings.prefect_url}/api/artifacts/filter",
        json={"artifacts": {"key": {"any_": ["verdict-organ"]}}},
        trust_env=False,
    ).json()
    titles = re.compile(r"# organ version ([0-9]+): promote")
    promoted = [artifact["data"] for artifact in found if titles.match(artifact["data"])]
    page = promoted[0]
    version = titles.findall(page)[0]
    ui = place.settings.mlflow_url
    assert f"({ui}/#/models/organ/versions/{version})" in page
    [address] = [part for part in page.split("(") if "/artifacts/checks/report.html)" in part]
    run_id = address.split("/runs/")[1].split("/")[0]
    kept = place.settings.home / "mlartifacts" / "organ" / run_id / "artifacts" / "checks"
    assert (kept / "report.html").is_file()


def test_its_page_says_what_a_version_that_may_refuse_promises(place: Place) -> None:
    found = httpx.post(
        f"{place.settings.prefect_url}/api/artifacts/filter",
        json={"artifacts": {"key": {"any_": ["verdict-organ"]}}},
        trust_env=False,
    ).json()
    [page, *_] = [row["data"] for row in found if ": promote" in row["data"].splitlines()[0]]
    promise = re.search(
        r"On its test rows it (answers [0-9.]+ % alone at [0-9.]+ % or better)", page
    )
    assert promise is not None
    stored = place.settings.models / "organ" / str(place.champion())
    evaluation = json.loads((stored / "evaluation.json").read_text())
    report = evaluation["abstention"]
    assert report["policy"] == {"max_false": 0.2}
    assert as_json(load_abstention(stored)) == report["rule"]
    [evidence] = place.rows(
        "select evidence from decision where subject = 'gate' order by id desc limit 1"
    )
    assert evidence.evidence["promise"] == promise_sentence(report)


def test_its_champion_is_loaded_from_mlflow_and_answers(place: Place) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, "sore throat", "broken arm"],
        env=place.environment | {"MLFLOW_TRACKING_URI": mlflow_uri(place.urls)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    labels = json.loads(
        (place.settings.models / "organ" / str(place.champion()) / "head.json").read_text()
    )["labels"]
    assert len(answers) == 2
    assert {answer["label"] for answer in answers} <= set(labels)
    assert all(0 < answer["probability"] <= 1 for answer in answers)


def test_the_gate_compares_what_both_versions_refuse_of_recent_answers(place: Place) -> None:
    """The last test here: it retrains, and promotes a newer version."""
    rows = [
        inference(number, cleaned=f"strange words {number % 30}", occurred_at=datetime.now(UTC))
        for number in range(150)
    ]
    values = [{**asdict(row), "flags": []} for row in rows]
    with place.engine.begin() as connection:
        connection.execute(inference_log.insert(), values)
    done = place.retrain()
    assert verdict(done) in ("promote", "hold"), done.stderr[-4000:]
    [row] = place.rows(
        "select evidence, reasons from decision where subject = 'gate' order by id desc limit 1"
    )
    assert row.evidence["abstained_answers"] == 150
    for name in ("abstained_share", "champion_abstained_share"):
        assert 0 <= row.evidence[name] <= 1
    assert any("of the recent answers, the champion" in reason for reason in row.reasons)
