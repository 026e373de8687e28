"""What a real retraining leaves on the pages of Prefect and MLflow."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import Any

import httpx
import mlflow
import pytest

from machine.environment import mlflow_uri
from pipelines.model.abstention import as_json, load_abstention
from pipelines.model.promise import promise_sentence
from pipelines.registry import WHO_DECIDES
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


def test_its_page_summarises_and_links_the_error_report_with_the_change_since_the_champion(
    place: Place,
) -> None:
    before = str(place.champion())
    assert verdict(place.retrain()) == "promote"
    champion = str(place.champion())
    found = httpx.post(
        f"{place.settings.prefect_url}/api/artifacts/filter",
        json={"artifacts": {"key": {"any_": ["verdict-organ"]}}},
        trust_env=False,
    ).json()
    title = f"# organ version {champion}: promote"
    [page] = [artifact["data"] for artifact in found if artifact["data"].startswith(title)]
    assert "## Errors" in page and f"Since the champion, version {before}: " in page
    [address] = re.findall(r"\((\S+/artifacts/errors/errors\.html)\)", page)
    run_id = address.split("/runs/")[1].split("/")[0]
    kept = place.settings.home / "mlartifacts" / "organ" / run_id / "artifacts" / "errors"
    stored = place.settings.models / "organ" / champion / "errors"
    for name in ("errors.json", "errors.html"):
        assert (kept / name).read_bytes() == (stored / name).read_bytes()
    report = json.loads((stored / "errors.json").read_text(encoding="utf-8"))
    assert report["champion"]["version"] == before
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
    answered = json.loads(place.run("cli.app", "errors", "organ", "1", "--json").stdout)
    assert answered["version"] == "1" and answered["report"]["classifier"] == "organ"
    unknown = place.run("cli.app", "errors", "organ", "999")
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


def test_its_cards_are_in_prefect_and_in_mlflow(place: Place) -> None:
    version = str(place.champion())
    found = httpx.post(
        f"{place.settings.prefect_url}/api/artifacts/filter",
        json={"artifacts": {"key": {"any_": ["cards-organ"]}}},
        trust_env=False,
    ).json()
    [page] = [
        artifact["data"]
        for artifact in found
        if f"# Model card: organ version {version}\n" in artifact["data"]
    ]
    assert f"# Data card: organ version {version}\n" in page and "CPU seconds" in page
    run_id = page.split("/runs/")[1].split("/")[0]
    kept = place.settings.home / "mlartifacts" / "organ" / run_id / "artifacts"
    assert (kept / "cards" / "model.html").read_text().startswith("<!doctype html>")
    assert (kept / "records" / "times.json").is_file()
    # A stage that DVC took from its cache has no time: other tests retrain on equal rows here.
    recorded = kept.parent.parent.glob("*/artifacts/records/times.json")
    times = [json.loads(file.read_text()) for file in recorded]
    [trained, *_] = [stages for stages in times if "train" in stages]
    assert trained["train"]["cpu_seconds"] > 0 and "bias" in trained
    client = mlflow.MlflowClient(mlflow_uri(place.urls), mlflow_uri(place.urls))
    described = client.get_model_version("organ", version).description
    assert described is not None and WHO_DECIDES in described
    assert "Model card: organ version" in described


def test_a_card_is_red_after_one_of_its_figures_was_changed(place: Place) -> None:
    whole = place.run("cli.app", "cards", "check", "organ")
    assert whole.returncode == 0, whole.stderr[-4000:]
    assert "all true" in whole.stderr
    version = str(place.champion())
    file = place.settings.reports / "cards" / "organ" / version / "card.json"
    text = file.read_text()
    [section] = [part for part in json.loads(text)["model"]["sections"] if part["title"] == "Data"]
    trained = section["sentences"][0]["figures"]["train"]
    tampered = text.replace(f'"value": {trained["value"]}\n', '"value": 123456\n')
    file.write_text(tampered)
    try:
        red = place.run("cli.app", "cards", "check", "organ", version, "--json")
        assert red.returncode == 3, red.stderr[-4000:]
        [checked] = json.loads(red.stdout)["checked"]
        changed = {
            change["query"]: (change["was"], change["is_now"]) for change in checked["changes"]
        }
        assert changed["split/train_rows"] == ("123,456", f"{trained['value']:,}")
        assert checked["pages"] == []
    finally:
        file.write_text(text)


def test_a_version_without_cards_says_so_and_gets_them(place: Place) -> None:
    version = str(place.champion())
    folder = place.settings.reports / "cards" / "organ" / version
    shutil.move(folder, folder.with_name("aside"))
    absent = place.run("cli.app", "cards", "show", "organ", version)
    assert absent.returncode == 2 and "no card was written" in absent.stderr
    written = place.run("cli.app", "cards", "write", "organ", version)
    assert written.returncode == 0, written.stderr[-4000:]
    for name in ("card.json", "model.html", "data.md"):
        assert (folder / name).read_text() == (folder.with_name("aside") / name).read_text()
    shown = place.run("cli.app", "cards", "show", "organ", "--markdown")
    assert f"# Model card: organ version {version}" in shown.stdout
    unknown = place.run("cli.app", "cards", "show", "organ", "99")
    assert unknown.returncode == 2 and "name one of" in unknown.stderr


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
