"""One request id leads from an answer to its correction and to the version that learnt from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.support.installations import Place
from tests.support.processes import wait_until

SECTIONS = {
    *("source", "snapshot", "code", "params", "embedder", "head", "checks"),
    *("verdicts", "deployments", "feedback", "mlflow", "surroundings"),
}

CORRECTED = """
select request_id, f.label from feedback f join inference i using (request_id)
where f.label <> i.label order by f.id limit 1
"""
CHAMPION = """
select version, head_digest from deployment where role = 'champion' order by id desc limit 1
"""


def asked(place: Place, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = place.perennial(*arguments, "--json")
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout)


def rows(place: Place, query: str) -> list[Any]:
    url = f"postgresql+psycopg://postgres@/perennial?host={place.home}/postgres"
    with sa.create_engine(url).connect() as connection:
        return list(connection.execute(sa.text(query)))


def corrected_request(place: Place) -> tuple[str, str]:
    """The id and the right label of an answer that the coding desk corrected."""
    [(request_id, label)] = rows(place, CORRECTED)
    return request_id, label


@pytest.fixture(scope="module")
def champion(place: Place, played: dict) -> dict[str, Any]:
    return asked(place, "lineage", "block")


def test_the_lineage_of_the_champion_is_complete_and_agrees_with_git_and_dvc(
    place: Place, champion: dict[str, Any]
) -> None:
    assert {name for name in SECTIONS if not champion[name]} == set()
    code = champion["code"]
    snapshot = champion["snapshot"]
    assert place.run("git", "rev-parse", f"{code['tag']}^{{commit}}").strip() == code["commit"]
    assert (
        place.run("git", "show", f"{code['commit']}:{champion['source']['query']}")
        == champion["source"]["text"]
    )
    assert snapshot["data_md5"] in place.run("git", "show", f"{code['tag']}:data.dvc")
    assert (champion["source"]["verified"], champion["head"]["verified"], code["tag_holds"]) == (
        True,
        True,
        True,
    )
    assert champion["embedder"]["kept"] is True
    assert champion["params"]["head"] == {"kind": "logistic"}
    assert snapshot["rows"] > 20_000


def test_the_lineage_of_the_champion_agrees_with_the_tables(
    place: Place, champion: dict[str, Any]
) -> None:
    [(version, digest)] = rows(
        place,
        CHAMPION,
    )
    assert (champion["version"], champion["head"]["digest"]) == (version, digest)
    subjects = {row["subject"]: row["kind"] for row in champion["verdicts"]}
    assert (
        subjects.items()
        >= {"gate": "promote", "rollout": "promote", "retraining": "retrain"}.items()
    )
    assert champion["deployments"][-1]["until"] is None
    assert (
        champion["feedback"]["rows"]
        == rows(place, "select count(distinct request_id) from feedback")[0][0]
        > 0
    )


def test_a_correction_is_followed_to_the_version_that_learnt_from_it(
    place: Place, champion: dict[str, Any]
) -> None:
    request_id, label = corrected_request(place)
    facts = asked(place, "lineage", request_id)
    assert facts["version"]["version"] == "1"
    assert facts["answers"][0]["request_id"] == request_id
    assert facts["feedback"][0]["label"] == label
    learnt = facts["learnt"]
    assert (learnt["version"], learnt["snapshot"]["git_tag"]) == (
        champion["version"],
        champion["code"]["tag"],
    )
    assert (learnt["row"]["id"], learnt["row"]["block"], learnt["row"]["origin"]) == (
        request_id,
        label,
        "feedback",
    )
    assert learnt["row"]["part"] in {"train", "test"}


def test_a_lineage_is_one_screen(place: Place, champion: dict[str, Any]) -> None:
    done = place.perennial("lineage", "block")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) <= 50
    for word in (
        champion["code"]["tag"],
        champion["mlflow"]["run_id"],
        "verified in the model store",
        "rows came from feedback",
    ):
        assert word in " ".join(done.stdout.split())


def test_logged_answers_are_replayed_also_from_the_journal(place: Place, played: dict) -> None:
    request_id, _ = corrected_request(place)
    sent = httpx.post(
        f"{place.url('service')}/v1/block/predict",
        json={"phrase": "fx of left wrist"},
        trust_env=False,
    ).json()
    for request in (request_id, sent["request_id"]):
        [row] = asked(place, "replay", request)["rows"]
        assert row["verdict"]["kind"] in {"identical", "equivalent"}
        assert row["logged"]["label"] == row["replayed"]["label"]
    wait_until(
        lambda: bool(
            rows(place, f"select 1 from inference where request_id = '{sent['request_id']}'")
        ),
        seconds=60,
        what="shipped",
    )


def test_a_tampered_head_is_refused_shown_and_healed_by_an_identical_reproduction(
    place: Place, champion: dict[str, Any]
) -> None:
    request_id, _ = corrected_request(place)
    manifest = Path(asked(place, "lineage", "block", "1")["head"]["location"]) / "head.json"
    manifest.write_text(manifest.read_text().replace('"temperature": ', '"temperature": 1'))
    refused = place.perennial("replay", request_id, "--json")
    assert refused.returncode == 1
    assert (
        json.loads(refused.stderr.splitlines()[-1])["error"]["do"]
        == "restore it: `perennial reproduce block 1`"
    )
    assert asked(place, "lineage", "block", "1")["head"]["verified"] is False
    reproduction = asked(place, "reproduce", "block", "1")
    assert reproduction["verdict"]["kind"] == "identical", reproduction["verdict"]
    assert reproduction["restored"] == [str(manifest.parent)]
    asked(place, "replay", request_id)


def test_what_does_not_exist_is_refused(place: Place, played: dict) -> None:
    unknown = "01a20110-a63e-725f-80b3-000000000000"
    assert (
        place.perennial("replay", unknown).returncode
        == place.perennial("lineage", unknown).returncode
        == 1
    )
    assert (
        place.perennial("replay", "../../etc/passwd").returncode
        == place.perennial("reproduce", "block", "99").returncode
        == 2
    )
