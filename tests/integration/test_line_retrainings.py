"""Two regions with rules that contradict each other: one model, then one line of versions each.

Real retrainings and the real service.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bentos.packaging.package import serve_command
from core.database import DatabaseUrls
from core.settings import REPOSITORY
from monitoring.feedback import feedback_rows
from pipelines.bias.words import whether_regions_pay
from pipelines.registry import Registry
from tests.support.places import free_port
from tests.support.processes import running, wait_until
from tests.support.retrainings import Place, build_place, mlflow_uri, prefect_server
from tests.support.training import WORDS, phrases_of

pytestmark = pytest.mark.timeout(1800)
ANY = {
    "gate": {"min_weighted_f1": 0.0, "max_weighted_f1_drop": 1.0, "max_champion_days": 1e-6},
    "bias": {"aggregation": 1.0},
}
"""Promotes every candidate, and does not hold one because lines would pay."""
SOUTH = {"heart": "lung", "lung": "bone", "bone": "heart"}
"""What the south calls the organ that the north calls otherwise."""
QUERY = "select id, phrase, occurred_at, organ, region from note"


@dataclass(frozen=True)
class Retrained:
    place: Place
    one: dict[str, Any]
    lines: dict[str, Any]


@pytest.fixture(scope="module")
def retrained(
    tmp_path_factory: pytest.TempPathFactory, database: DatabaseUrls
) -> Iterator[Retrained]:
    """First one model for all regions answers; then the block gets lines."""
    place = build_place(tmp_path_factory.mktemp("lines"), database)
    part_regions(Path(place.settings.home).parent / "source.db")
    (place.settings.repository / "queries" / "notes.sql").write_text(QUERY)
    with prefect_server(place):
        commit(place)
        one = retrain_organ(place)
        commit(place, by="region", lines=["north", "south"])
        lines = retrain_organ(place)
        yield Retrained(place, one, lines)
    place.engine.dispose()


def part_regions(source: Path) -> None:
    """Give every third row to the south, with its own names; a few rows to the west."""
    with sqlite3.connect(source) as connection:
        connection.execute("alter table note add column region text")
        rows = connection.execute("select rowid, organ from note").fetchall()
        for row, organ in rows:
            region = "west" if row % 100 == 0 else ("north", "north", "south")[row % 3]
            named = SOUTH[organ] if region == "south" else organ
            connection.execute(
                "update note set region = ?, organ = ? where rowid = ?", (region, named, row)
            )


def commit(place: Place, **keys: Any) -> None:
    clone = place.settings.repository
    path = clone / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    source = {"query": "queries/notes.sql", "label": "organ"}
    params["classifiers"] = {
        "organ": {"source": source, "head": {"kind": "logistic"}, **ANY, **keys}
    }
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", "add", "queries", "params.yaml"], cwd=clone, check=True)
    subprocess.run(["git", *author, "commit", "--quiet", "-m", "Change"], cwd=clone, check=True)


def retrain_organ(place: Place) -> dict[str, Any]:
    out, err = place.start("cli.app", "retrain", "organ", "--json").communicate(timeout=900)
    assert out, err[-4000:]
    found: dict[str, Any] = json.loads(out.splitlines()[-1])["verdicts"]
    return found


def tags(place: Place) -> list[str]:
    return [row.git_tag for row in place.rows("select git_tag from snapshot order by id")]


def published(place: Place, tag: str, file: str) -> Any:
    shown = subprocess.run(
        ["git", "show", f"{tag}:{file}"],
        cwd=place.settings.repository,
        capture_output=True,
        text=True,
        check=True,
    )
    return yaml.safe_load(shown.stdout)


def test_the_name_of_the_question_retrains_its_lines(retrained: Retrained) -> None:
    assert {name: verdict["kind"] for name, verdict in retrained.one.items()} == {
        "organ": "promote"
    }
    assert {name: verdict["kind"] for name, verdict in retrained.lines.items()} == {
        "organ_north": "promote",
        "organ_south": "promote",
    }


def test_dvc_has_the_stages_of_every_line_and_the_tag_holds_their_blocks(
    retrained: Retrained,
) -> None:
    stages = set(published(retrained.place, tags(retrained.place)[-1], "dvc.lock")["stages"])
    for stage in ("split", "train", "evaluate", "bias"):
        assert {name for name in stages if name.startswith(f"{stage}@")} == {
            f"{stage}@organ_north",
            f"{stage}@organ_south",
        }
    blocks = published(retrained.place, tags(retrained.place)[-1], "params.yaml")["classifiers"]
    assert {name: block["line"]["value"] for name, block in blocks.items()} == {
        "organ_north": "north",
        "organ_south": "south",
    }


def test_rows_of_regions_without_a_line_are_reported(retrained: Retrained) -> None:
    checks = [
        check
        for file in (retrained.place.settings.reports / "checks").glob("*/result.json")
        for check in json.loads(file.read_text())["checks"]
    ]
    found = [check for check in checks if check["name"] == "row_has_line"]
    assert found and {check["observed"] for check in found} == {"organ: west: 15 rows"}


def figures(place: Place, classifier: str) -> dict[str, float]:
    registry = open_registry(place)
    [version] = registry.versions(classifier)
    return registry.metrics(version.run_id)


def open_registry(place: Place) -> Registry:
    return Registry(mlflow_uri(place), place.settings.home / "mlartifacts")


def test_lines_pay_where_the_rules_of_regions_contradict_each_other(
    retrained: Retrained, tmp_path: Path
) -> None:
    place = retrained.place
    one = figures(place, "organ")["weighted_f1"]
    lines = [figures(place, f"organ_{region}")["weighted_f1"] for region in ("north", "south")]
    print(f"weighted F1: one model {one:.3f}, lines {lines[0]:.3f} and {lines[1]:.3f}")
    assert one < 0.8
    assert min(lines) > one + 0.15

    [version] = open_registry(place).versions("organ")
    file = open_registry(place).artifact(version.run_id, "records/bias.json", tmp_path)
    assert file is not None
    words = whether_regions_pay(json.loads(file.read_text()))
    print(words)
    assert "per region pays" in words


@pytest.fixture(scope="module")
def service(retrained: Retrained) -> Iterator[Place]:
    place = retrained.place
    settings = place.settings.model_copy(update={"service_port": free_port()})
    command = serve_command(
        "perennial:latest", settings=settings, database_url=place.urls.perennial
    )
    log = settings.home / "service.log"
    with running(command, cwd=REPOSITORY, log=log, url=settings.service_url):
        yield replace(place, settings=settings)


def current(place: Place) -> list[Any]:
    newest = "select distinct on (classifier) classifier, share, why from deployment"
    rows = place.rows(f"{newest} where role = 'champion' order by classifier, id desc")
    return [row for row in rows if row.share > 0]


def test_the_model_of_all_regions_retires_when_every_line_answers(retrained: Retrained) -> None:
    place = retrained.place
    assert {row.classifier for row in current(place)} == {"organ_north", "organ_south"}
    [kind] = place.rows(
        "select kind, reasons from decision where classifier = 'organ' and kind = 'retire'"
    )
    assert "replaced by organ_north, organ_south" in str(kind.reasons)


def test_the_service_answers_by_region_and_by_route(service: Place) -> None:
    with httpx.Client(base_url=service.settings.service_url, timeout=30) as client:

        def ask(name: str, **body: str) -> dict[str, Any]:
            answer = client.post(f"/v1/{name}/predict", json=body)
            return {"status": answer.status_code, **answer.json()}

        phrases = [(phrase, organ) for organ in WORDS for phrase in phrases_of(organ)[:20]]
        right = {
            "north": [ask("organ", phrase=p, region="north")["label"] == o for p, o in phrases],
            "south": [
                ask("organ", phrase=p, region="south")["label"] == SOUTH[o] for p, o in phrases
            ],
        }
        assert all(sum(found) > 0.9 * len(phrases) for found in right.values()), right
        by_route = ask("organ_south", phrase=phrases[0][0])
        by_region = ask("organ", phrase=phrases[0][0], region="south")
        for answer in (by_route, by_region):
            assert (answer["classifier"], answer["label"]) == ("organ_south", by_region["label"])
        refused = ask("organ", phrase="heart", region="west")
        assert refused["status"] == 422 and "north, south; got 'west'" in refused["message"]
        assert ask("organ", phrase="heart")["status"] == 422

        corrected = {"request_id": by_route["request_id"], "label": "heart"}
        assert client.post("/v1/feedback", json=corrected).status_code == 202
        check_log(service, by_route["request_id"])


def check_log(place: Place, request: str) -> None:
    """The log names the line, and feedback trains it although the request named no region."""

    def received() -> int:
        return len(place.rows("select id from feedback where request_id = :id", id=request))

    wait_until(lambda: received() == 1, seconds=30, what="the feedback in PostgreSQL")
    [row] = place.rows(
        "select classifier, region from inference where request_id = :id", id=request
    )
    assert (row.classifier, row.region) == ("organ_south", None)
    with place.engine.connect() as connection:
        rows = feedback_rows(
            connection,
            label_columns={"organ_south": "organ"},
            received_by=datetime.now(UTC),
            regions={"organ_south": "south"},
        ).to_pylist()
    assert [(row["id"], row["region"], row["organ"]) for row in rows] == [
        (request, "south", "heart")
    ]
