"""What an earlier version made opens in this one: home, bentos, database, tags and DVC cache.

    python -m pytest -m slow tests/e2e/test_made_before.py

The earlier version is the last commit whose versions have one head, without a memory beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import psutil
import pytest
import sqlalchemy as sa

from tests.e2e.conftest import PARAMS
from tests.support.installations import Place, new_place
from tests.support.processes import wait_until
from tests.support.repositories import fresh_clone, has_commit, take_over

EARLIER = "82cb4b689e82ab29991e54f447c9a4502f7874b1"
PHRASE = "fx of left wrist"
CORRECTED = """
select request_id from feedback f join inference i using (request_id)
where f.label <> i.label order by f.id limit 1
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(
        not has_commit(EARLIER), reason=f"the history of this clone does not reach {EARLIER[:7]}"
    ),
]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The small demo, played by the earlier version's own code, and stopped."""
    earlier = new_place(tmp_path_factory.mktemp("before"), revision=EARLIER)
    earlier.clone.joinpath("params.yaml").write_text(PARAMS, encoding="utf-8")
    earlier.commit("One classifier")
    result(earlier, "demo", "--scale", "small")
    result(earlier, "down")
    return earlier


@pytest.fixture(scope="module")
def upgraded(earlier: Place) -> Iterator[Place]:
    """Today's code on the home, the ports, the tags and the cache of the earlier version, up."""
    clone = fresh_clone(earlier.clone.with_name("today"))
    upgraded = Place(clone, {**earlier.environment, "PYTHONPATH": str(clone)})
    # Every champion is too old, so that the retraining promotes and packs a bento.
    params = PARAMS.replace("gate: {", "gate: {max_champion_days: 0.000001, ")
    clone.joinpath("params.yaml").write_text(params, encoding="utf-8")
    upgraded.commit("One classifier")
    take_over(clone, origin=earlier.clone)
    result(upgraded, "up")
    yield upgraded
    upgraded.perennial("down")


def result(place: Place, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    """What a command prints on standard output."""
    done = place.perennial(*arguments, timeout=1500)
    assert done.returncode in codes, done.stdout[-4000:] + done.stderr[-8000:]
    return done.stdout


def asked(place: Place, *arguments: str) -> dict[str, Any]:
    return json.loads(result(place, *arguments, "--json"))


def answer(place: Place) -> dict[str, Any]:
    url = f"{place.url('service')}/v1/block/predict"
    response = httpx.post(url, json={"phrase": PHRASE}, trust_env=False, timeout=60)
    return response.raise_for_status().json()


def answered_by(place: Place, version: str) -> bool:
    return answer(place)["version"] == version


def served_bentos(place: Place) -> set[str]:
    """Versions of the bentos that the place's processes run."""
    lines = [
        process.info["cmdline"] or []
        for process in psutil.process_iter(["cmdline", "environ"])
        if (process.info["environ"] or {}).get("PERENNIAL_SUPERVISED") == str(place.home)
    ]
    words = [word for line in lines for word in line if word.startswith("perennial:")]
    return {word.partition(":")[2] for word in words}


def bentos(place: Place) -> set[str]:
    return {folder.name for folder in place.home.glob("bentoml/bentos/perennial/2*")}


def corrected_request(place: Place) -> str:
    url = f"postgresql+psycopg://postgres@/perennial?host={place.home}/postgres"
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        return connection.execute(sa.text(CORRECTED)).scalar_one()


def test_every_program_is_ready_on_the_earlier_home(upgraded: Place) -> None:
    def states() -> dict[str, str]:
        programs = json.loads(result(upgraded, "status", "--json", codes=(0, 3)))["programs"]
        return {program["name"]: program["state"] for program in programs}

    wait_until(lambda: set(states().values()) == {"ready"}, seconds=60, what="all programs ready")
    assert set(states()) == {
        *("postgres", "prefect", "mlflow", "evidently", "console", "service", "runner")
    }


def test_the_earlier_bento_answers(upgraded: Place) -> None:
    assert served_bentos(upgraded) <= bentos(upgraded)
    assert len(served_bentos(upgraded)) == 1
    assert answer(upgraded)["version"] == "2"


def test_an_earlier_answer_is_replayed_and_traced(upgraded: Place) -> None:
    request_id = corrected_request(upgraded)
    [row] = asked(upgraded, "replay", request_id)["rows"]
    assert row["verdict"]["kind"] in {"identical", "equivalent"}
    lineage = asked(upgraded, "lineage", request_id)
    assert lineage["version"]["version"] == "1"
    assert lineage["learnt"]["version"] == "2"


def test_the_lineage_of_an_earlier_version_is_verified(upgraded: Place) -> None:
    facts = asked(upgraded, "lineage", "block", "2")
    verified = (facts["source"]["verified"], facts["head"]["verified"], facts["code"]["tag_holds"])
    assert verified == (True, True, True)


def test_an_earlier_version_is_reproduced_by_its_own_code(upgraded: Place) -> None:
    assert asked(upgraded, "reproduce", "block", "1")["verdict"]["kind"] == "identical"


def test_earlier_versions_take_over_from_each_other(upgraded: Place) -> None:
    for command, version in (("rollback", "1"), ("promote", "2")):
        assert asked(upgraded, "rollout", command, "block")["champion"] == version
        answers = partial(answered_by, upgraded, version)
        wait_until(answers, seconds=10, what=f"version {version} answers")


def test_earlier_traffic_is_watched(upgraded: Place) -> None:
    verdicts = json.loads(result(upgraded, "--json", "watch", "block", codes=(0, 3)))
    assert "block" in json.dumps(verdicts)


def test_a_retraining_follows_and_its_bento_answers(upgraded: Place) -> None:
    before = bentos(upgraded)
    result(upgraded, "retrain", "block", codes=(0, 3))
    made = bentos(upgraded) - before
    assert len(made) == 1
    result(upgraded, "down")
    result(upgraded, "up")
    assert served_bentos(upgraded) == made
    wait_until(lambda: answer(upgraded)["revision"] == 1, seconds=20, what="the memory answers")
    assert asked(upgraded, "replay", corrected_request(upgraded))["rows"]
