"""What a real retraining leaves on the pages of Prefect and MLflow."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import httpx
import pytest

from machine.environment import mlflow_uri
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


def test_its_page_summarises_and_links_the_error_report_with_the_change_since_the_champion(
    place: Place,
) -> None:
    assert verdict(place.retrain()) == "promote"
    champion = int(str(place.champion()))
    found = httpx.post(
        f"{place.settings.prefect_url}/api/artifacts/filter",
        json={"artifacts": {"key": {"any_": ["verdict-organ"]}}},
        trust_env=False,
    ).json()
    title = f"# organ version {champion}: promote"
    [page] = [artifact["data"] for artifact in found if artifact["data"].startswith(title)]
    assert "## Errors" in page and f"Since the champion, version {champion - 1}: " in page
    [address] = re.findall(r"\((\S+/artifacts/errors/errors\.html)\)", page)
    run_id = address.split("/runs/")[1].split("/")[0]
    kept = place.settings.home / "mlartifacts" / "organ" / run_id / "artifacts" / "errors"
    stored = place.settings.models / "organ" / str(champion) / "errors"
    for name in ("errors.json", "errors.html"):
        assert (kept / name).read_bytes() == (stored / name).read_bytes()
    report = json.loads((stored / "errors.json").read_text(encoding="utf-8"))
    assert report["champion"]["version"] == str(champion - 1)
    evaluation = json.loads((stored.parent / "evaluation.json").read_text(encoding="utf-8"))
    assert report["rows"] == evaluation["rows"]
    assert report["accuracy"] == evaluation["metrics"]["accuracy"]
    scores = {row["label"]: row["recall"] for row in report["labels"] if row["support"]}
    assert scores == {label: row["recall"] for label, row in evaluation["labels"].items()}


def test_the_command_summarises_the_error_report_of_a_version(place: Place) -> None:
    champion = str(place.champion())
    shown = place.run("cli.app", "errors", "organ")
    assert shown.returncode == 0, shown.stderr[-4000:]
    lines = shown.stdout.splitlines()
    assert lines[0] == f"organ version {champion}:"
    page = place.settings.models.resolve() / "organ" / champion / "errors" / "errors.html"
    assert lines[-1] == f"page: {page}"
    answered = json.loads(
        place.run("cli.app", "errors", "organ", "--version", "1", "--json").stdout
    )
    assert answered["version"] == "1" and answered["report"]["classifier"] == "organ"
    unknown = place.run("cli.app", "errors", "organ", "--version", "999")
    assert unknown.returncode != 0 and "999" in unknown.stderr


def test_a_version_of_an_earlier_release_has_no_error_report(place: Place) -> None:
    folder = place.settings.models / "organ" / str(place.champion()) / "errors"
    aside = folder.with_name("aside")
    folder.rename(aside)
    try:
        shown = place.run("cli.app", "errors", "organ")
    finally:
        aside.rename(folder)
    assert shown.returncode != 0
    assert "earlier release" in shown.stderr and "perennial retrain organ" in shown.stderr


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
