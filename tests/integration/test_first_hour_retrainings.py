"""Real retrainings that do not go smoothly: one classifier of several, renamed labels, a look."""

from __future__ import annotations

import getpass
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.database import DatabaseUrls
from tests.support.retrainings import Place, build_place, prefect_server

pytestmark = pytest.mark.timeout(1200)
CLI = "cli.app"
GENEROUS = {"max_weighted_f1_drop": 1.0, "max_label_recall_drop": 1.0, "max_champion_days": 1e-6}
"""Promotes every candidate."""
ORGAN = {"query": "queries/notes.sql", "label": "organ"}
WIDE = "select id, phrase, occurred_at, organ, 'same' as one, null as blank from note"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: DatabaseUrls) -> Iterator[Place]:
    """`organ`, which answers; the snapshot that trained it holds the columns of the others, too."""
    place = build_place(tmp_path_factory.mktemp("hour"), database)
    (place.settings.repository / "queries" / "broken.sql").write_text("select nothing from nowhere")
    (place.settings.repository / "queries" / "notes.sql").write_text(WIDE)
    commit(
        place,
        organ={"source": ORGAN},
        one={"source": {**ORGAN, "label": "one"}},
        blank={"source": {**ORGAN, "label": "blank"}},
        broken={"source": {"query": "queries/broken.sql", "label": "organ"}},
    )
    with prefect_server(place):
        yield place
    place.engine.dispose()


def commit(place: Place, **blocks: Any) -> None:
    """Commit these classifiers and every changed query."""
    clone = place.settings.repository
    path = clone / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["classifiers"] = {
        name: {"head": {"kind": "logistic"}, **block} for name, block in blocks.items()
    }
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", "add", "queries", "params.yaml"], cwd=clone, check=True)
    subprocess.run(["git", *author, "commit", "--quiet", "-m", "Change"], cwd=clone, check=True)


def perennial(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    process = place.start(CLI, *words)
    out, err = process.communicate(timeout=900)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["verdicts"]
    return found


def sql(place: Place, statement: str) -> None:
    with sqlite3.connect(Path(place.settings.home).parent / "source.db") as connection:
        connection.execute(statement)


def test_of_several_classifiers_those_that_can_be_trained_are(place: Place) -> None:
    done = perennial(place, "retrain", "--json")
    results = verdicts(done)
    kinds = {name: verdict["kind"] for name, verdict in results.items()}
    assert kinds == {"organ": "promote", "one": "failed", "blank": "failed", "broken": "failed"}
    assert done.returncode == 1
    [one], [blank], [broken] = (results[name]["reasons"] for name in ("one", "blank", "broken"))
    assert one == (
        "expected at least two labels among the training rows (`dvc repro split@one`), "
        "got only same; widen history_days, lower min_rows_per_label, or correct source.label"
    )
    assert "usable on notes.blank (observed 1.0" in blank and "-refused/report.html" in blank
    assert "queries/broken.sql" in broken
    recorded = place.rows(
        "select classifier from decision where kind = 'failed' and subject = 'retraining'"
    )
    assert {row.classifier for row in recorded} == {"one", "blank", "broken"}
    page = Path(blank.split("; ")[-1].removesuffix(" shows the rows"))
    assert page.is_file() and "blank" in page.read_text(encoding="utf-8")


def test_what_was_published_holds_those_alone_and_is_up_to_date(place: Place) -> None:
    [tag] = {row.git_tag for row in place.rows("select git_tag from snapshot")}
    clone = place.settings.repository
    shown = subprocess.run(
        ["git", "show", f"{tag}:params.yaml"], cwd=clone, capture_output=True, text=True, check=True
    )
    assert list(yaml.safe_load(shown.stdout)["classifiers"]) == ["organ"]


def test_renamed_labels_are_refused_and_a_look_changes_nothing(place: Place) -> None:
    commit(place, organ={"source": ORGAN})
    sql(place, "update note set organ = 'Herz' where organ = 'heart'")
    known = place.rows("select id from snapshot")
    for _ in range(2):
        done = perennial(place, "retrain", "--json")
        assert "unknown_label_share on notes.organ" in done.stderr, done.stderr[-4000:]
        looked = perennial(place, "snapshot", "organ")
        assert looked.returncode == 0, looked.stderr[-4000:]
        assert place.rows("select id from snapshot") == known
    sql(place, "update note set organ = 'heart' where organ = 'Herz'")


def test_a_look_with_a_wrong_column_does_not_stop_the_next_retraining(place: Place) -> None:
    clone = place.settings.repository
    path = clone / "queries" / "notes.sql"
    right = path.read_text()
    path.write_text(right.replace("organ,", "phrase as organ,"))
    assert perennial(place, "snapshot", "organ").returncode == 0
    path.write_text(right)
    subprocess.run(["git", "checkout", "--quiet", "data.dvc"], cwd=clone, check=True)
    assert verdicts(perennial(place, "retrain", "--json"))["organ"]["kind"] in {"keep", "promote"}


def test_a_promotion_by_hand_waits_for_a_person(place: Place) -> None:
    """And a label that the source no longer returns would be lost; both are said."""
    commit(place, organ={"source": ORGAN, "gate": {**GENEROUS, "promote": "by_hand"}})
    champion = place.champion()
    held = verdicts(perennial(place, "retrain", "--json"))["organ"]
    assert held["kind"] == "hold" and "by_hand" in held["reasons"][0]
    version = place.rows("select max(evidence ->> 'version') as it from decision")[0].it
    assert place.champion() == champion
    assert perennial(place, "rollout", "promote", "organ", "--why", "looked").returncode == 0
    assert place.champion() == version
    [row] = place.rows(
        "select evidence ->> 'by' as person from decision where kind = 'promote'"
        " and subject = 'rollout' and reasons ->> 0 = 'looked'"
    )
    assert row.person == getpass.getuser()


def test_a_label_that_the_source_lost_waits_for_a_person(place: Place) -> None:
    commit(place, organ={"source": ORGAN, "gate": GENEROUS})
    sql(place, "update note set organ = 'lung' where organ = 'bone'")
    champion = place.champion()
    held = verdicts(perennial(place, "retrain", "--json"))["organ"]
    assert held["kind"] == "hold" and "bone would no longer be answered" in held["reasons"][0]
    assert place.champion() == champion


RECORDED = ("decision", "snapshot", "deployment", "memory_revision")


def test_a_trial_of_uncommitted_changes_registers_nothing(place: Place) -> None:
    clone = place.settings.repository
    (clone / "queries" / "tried.sql").write_text(WIDE.replace("blank", "other"))
    params = yaml.safe_load((clone / "params.yaml").read_text(encoding="utf-8"))
    params["classifiers"]["tried"] = {
        "source": {"query": "queries/tried.sql", "label": "organ"},
        "head": {"kind": "logistic"},
    }
    (clone / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    refused = perennial(place, "retrain", "tried")
    assert refused.returncode == 2 and "changes in" in refused.stderr
    before = standing(place)
    done = perennial(place, "retrain", "tried", "--trial", "--json")
    assert done.returncode == 0, done.stderr[-4000:]
    trial = json.loads(done.stdout.splitlines()[-1])["trials"]["tried"]
    assert trial["verdict"]["kind"] == "promote" and trial["scores"]["weighted_f1"] > 0.9
    pictures = {file.name for file in Path(trial["folder"]).iterdir()}
    assert {"reliability.png", "confusions.png", "metrics.json"} <= pictures
    assert standing(place) == before


def standing(place: Place) -> dict[str, Any]:
    """Every record, stored version, tag and branch."""
    refs = ["git", "for-each-ref"]
    clone = place.settings.repository
    return {
        "rows": {name: place.rows(f"select count(*) from {name}")[0][0] for name in RECORDED},
        "models": sorted(str(path) for path in place.settings.models.rglob("*")),
        "refs": subprocess.run(refs, cwd=clone, capture_output=True, text=True, check=True).stdout,
    }
