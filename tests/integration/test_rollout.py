"""Canary, shadow, refusals and versions by number in the real service; roles in the real table."""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bentos.heads.live_heads import Refused
from bentos.heads.refusals import record_refusals
from bentos.heads.routing import meets_canary
from core.contracts import RETIRED, Deployment, ModelVersion, Role, Verdict
from core.decisions import record_decision
from core.deployments import append_deployment, current_champions, current_rollouts, history
from core.errors import HeadRefused, RejectedVersion, UnknownVersion
from core.params.schema import load_params
from core.tables.loop import decision, inference
from flows import rollout as by_hand
from monitoring.labels.feedback import answered
from pipelines import promotion
from pipelines.promotion import append_promotion, end_role, play, reject, retire
from tests.support.heads import store_head
from tests.support.performances import performance_by_version
from tests.support.processes import wait_until
from tests.support.repositories import ROOT
from tests.support.services import House, failed, steady_load
from tests.support.traffic import whole_traffic

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def model(version: str, *, embedder_id: str = "tiny") -> ModelVersion:
    return ModelVersion("organ", version, f"/models/{version}", f"sha256:{version}", embedder_id)


def promote(engine: Engine, version: str) -> None:
    with engine.begin() as connection:
        append_promotion(connection, model(version), why="better", now=NOW)


def stand(engine: Engine, version: str, role: Role, share: float = 1.0) -> None:
    play(engine, model(version), role=role, share=share, why="try", now=NOW)


def roles(engine: Engine) -> dict[str, tuple[str, float]]:
    with engine.connect() as connection:
        rollout = current_rollouts(connection)["organ"]
    entries = {name: getattr(rollout, name) for name in ("champion", "canary", "shadow")}
    return {name: (entry.model.version, entry.share) for name, entry in entries.items() if entry}


def decisions(engine: Engine, kind: str | None = None) -> list[Any]:
    query = sa.select(decision).where(decision.c.subject == "rollout").order_by(decision.c.id)
    with engine.connect() as connection:
        return [row for row in connection.execute(query) if kind in (None, row.kind)]


def test_a_retired_classifier_has_no_champion_until_a_version_is_promoted(engine: Engine) -> None:
    promote(engine, "1")
    stand(engine, "2", "canary", 0.5)
    assert retire(engine, "organ", why="removed", now=NOW) == model("1")
    assert roles(engine) == {}
    assert [row.kind for row in decisions(engine)] == ["promote", "canary", "retire"]
    with engine.connect() as connection:
        assert current_champions(connection) == {}
        assert current_rollouts(connection) == {"organ": RETIRED}
        assert [entry.share for entry in history(connection, "organ")] == [1.0, 0.5, 0.0, 0.0]
    assert retire(engine, "organ", why="again", now=NOW) is None
    promote(engine, "2")
    assert roles(engine) == {"champion": ("2", 1.0)}


def test_each_step_is_a_row_of_deployment_and_a_decision(engine: Engine) -> None:
    promote(engine, "1")
    stand(engine, "2", "canary", 0.1)
    stand(engine, "2", "canary", 0.5)
    stand(engine, "3", "shadow")
    assert roles(engine) == {"champion": ("1", 1.0), "canary": ("2", 0.5), "shadow": ("3", 1.0)}
    assert end_role(engine, "organ", role="canary", why="enough", now=NOW) == model("2")
    assert end_role(engine, "organ", role="canary", why="enough", now=NOW) is None
    assert roles(engine) == {"champion": ("1", 1.0), "shadow": ("3", 1.0)}
    assert [row.kind for row in decisions(engine)] == [
        "promote",
        "canary",
        "canary",
        "shadow",
        "end",
    ]
    with engine.connect() as connection:
        assert [(entry.role, entry.share) for entry in history(connection, "organ")][-1] == (
            "canary",
            0.0,
        )


def test_a_promotion_ends_what_else_the_version_played_and_nothing_of_others(
    engine: Engine,
) -> None:
    promote(engine, "1")
    stand(engine, "2", "canary", 0.1)
    stand(engine, "3", "shadow")
    promote(engine, "2")
    assert roles(engine) == {"champion": ("2", 1.0), "shadow": ("3", 1.0)}
    promote(engine, "3")
    assert roles(engine) == {"champion": ("3", 1.0)}


def test_who_may_not_stand_beside_the_champion(engine: Engine) -> None:
    with pytest.raises(UnknownVersion, match="a champion"):
        stand(engine, "2", "shadow")
    promote(engine, "1")
    with pytest.raises(UnknownVersion, match="another version"):
        stand(engine, "1", "canary", 0.5)
    with pytest.raises(HeadRefused, match="embedder"):
        play(engine, model("2", embedder_id="other"), role="canary", share=0.5, why="try", now=NOW)
    assert roles(engine) == {"champion": ("1", 1.0)}


def test_a_rejection_by_a_person_is_kept_with_who_and_why_and_ends_its_canary(
    engine: Engine,
) -> None:
    promote(engine, "1")
    stand(engine, "2", "canary", 0.1)
    reject(engine, model("2"), why="wrong for bones", now=NOW, by="ada")
    assert roles(engine) == {"champion": ("1", 1.0)}
    [row] = decisions(engine, "reject")
    assert (row.reasons, row.evidence) == (["wrong for bones"], {"version": "2", "by": "ada"})
    with pytest.raises(UnknownVersion, match="`perennial rollout rollback organ` first"):
        reject(engine, model("1"), why="no", now=NOW, by="ada")


def test_a_rejected_version_is_promoted_only_by_force(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the gate or a person rejected it; without a version, neither is chosen."""
    promote(engine, "1")
    with engine.begin() as connection:
        record_decision(
            connection,
            Verdict("reject", ("recall drops",), {"version": "2"}),
            classifier="organ",
            subject="gate",
            decided_at=NOW,
        )
    reject(engine, model("3"), why="wrong for bones", now=NOW, by="ada")
    monkeypatch.setattr(promotion, "repair_aliases", lambda *_: True)
    monkeypatch.setattr(by_hand, "stored_version", lambda *_, classifier, version: model(version))
    monkeypatch.setattr(by_hand, "retained_versions", lambda *_: ["1", "2", "3"])
    loop: Any = SimpleNamespace(
        engine=engine,
        registry=None,
        settings=SimpleNamespace(models=None),
        params=load_params(ROOT / "params.yaml"),
        champions=lambda: {"organ": model("1")},
    )
    assert by_hand.newest_not_rejected(loop, "organ") == "1"
    for version, why in (("2", "recall drops"), ("3", "wrong for bones")):
        with pytest.raises(RejectedVersion, match=f"{version}, rejected: {why}.*--force"):
            by_hand.promote_by_hand(loop, "organ", version=version, why="now")
    by_hand.promote_by_hand(loop, "organ", version="3", why="looked at each", force=True)
    assert roles(engine)["champion"] == ("3", 1.0)
    newest = decisions(engine, "promote")[-1]
    assert newest.reasons == ["looked at each"]
    assert newest.evidence == {"version": "3", "by": getpass.getuser()}

    trial: Any = {"context": loop, "classifier": "organ", "version": "2", "why": "try"}
    with pytest.raises(RejectedVersion, match="--force"):
        by_hand.assign_role(**trial, role="canary", share=0.1)
    by_hand.assign_role(**trial, role="shadow", share=1.0)
    by_hand.assign_role(**trial, role="canary", share=0.1, force=True)
    assert roles(engine)["canary"] == ("2", 0.1)


def test_a_refusal_is_one_decision_for_a_row_of_deployment(engine: Engine) -> None:
    entry = Deployment(model("2"), "champion", 1.0, NOW, "better")
    later = Deployment(model("2"), "champion", 1.0, NOW + timedelta(days=1), "again")
    for one in (entry, entry, later):
        record_refusals(engine, [Refused(one, "corrupt", NOW)])
    found = decisions(engine, "refuse")
    assert [(row.reasons, row.evidence["version"], row.evidence["role"]) for row in found] == [
        (["corrupt"], "2", "champion")
    ] * 2


@pytest.fixture
def plain(house: House) -> Iterator[House]:
    """Version 1 answers alone, before and after."""
    alone(house)
    yield house
    alone(house)


def alone(house: House) -> None:
    put(house, "1", "champion")
    for role in ("canary", "shadow"):
        put(house, "2", role, 0.0)
    wait_until(lambda: beside(house) == ("1", {}), seconds=60, what="version 1 alone")


def put(house: House, version: str, role: Role, share: float = 1.0) -> None:
    with house.engine.begin() as connection:
        append_deployment(
            connection, Deployment(house.versions[version], role, share, datetime.now(UTC), "test")
        )


def beside(house: House) -> tuple[str, dict[str, tuple[str, float]]]:
    [listed] = httpx.get(f"{house.url}/v1/classifiers", timeout=10).json()["classifiers"]
    return listed["version"], {
        one["role"]: (one["version"], one["share"]) for one in listed["beside"]
    }


def test_a_canary_answers_its_share_always_the_same_phrases_while_a_shadow_scores_the_rest(
    plain: House, client: httpx.Client
) -> None:
    put(plain, "2", "canary", 0.3)
    put(plain, "3", "shadow")
    wait_until(
        lambda: beside(plain) == ("1", {"canary": ("2", 0.3), "shadow": ("3", 1.0)}),
        seconds=60,
        what="both beside version 1",
    )
    phrases = [f"limb {number}" for number in range(200)]
    expected = [
        "2" if meets_canary(phrase, classifier="organ", version="2", share=0.3) else "1"
        for phrase in phrases
    ]
    answers = [
        client.post("/v1/organ/predict_batch", json={"phrases": phrases}).json()["predictions"]
        for _ in range(2)
    ]
    assert [[one["version"] for one in predictions] for predictions in answers] == [expected] * 2
    assert {(one["version"], one["role"]) for one in answers[0]} == {
        ("1", "champion"),
        ("2", "canary"),
    }

    ids = {one["request_id"] for predictions in answers for one in predictions}

    def shadowed() -> list[Any]:
        return [row for row in plain.logged() if row.request_id in ids and row.role == "shadow"]

    wait_until(
        lambda: len(shadowed()) == len(ids), seconds=60, what="a shadow row for every answer"
    )
    logged = Counter(row.role for row in plain.logged() if row.request_id in ids)
    assert logged == {
        "champion": 2 * expected.count("1"),
        "canary": 2 * expected.count("2"),
        "shadow": 400,
    }
    assert {row.version for row in shadowed()} == {"3"}
    assert_traffic_is_watched_once(plain, ids, canary_rows=2 * expected.count("2"))


def assert_traffic_is_watched_once(house: House, ids: set[str], *, canary_rows: int) -> None:
    """Windows hold answers of champion and canary; feedback belongs to the row that answered."""
    with house.engine.connect() as connection:
        rows = whole_traffic(connection, "organ", "1")
        logged = answered(sa.select(inference.c.request_id).where(inference.c.request_id.in_(ids)))
        owners = Counter(connection.scalars(sa.select(logged.c.role)))
        by_shadow = whole_traffic(connection, "organ", "3")["label"].notna().sum()
    sent = rows[rows["request_id"].isin(ids)]
    assert (len(sent), sent["label"].isna().sum(), by_shadow) == (len(ids), canary_rows, 0)
    assert owners == {"champion": len(ids) - canary_rows, "canary": canary_rows}


def test_a_corrupt_canary_is_refused_with_a_decision_and_the_champion_answers_all(
    plain: House, client: httpx.Client
) -> None:
    bad = store_head(plain.settings.home, "organ", "7")
    (Path(bad.head_location) / "head.npz").write_bytes(b"rubbish")
    plain.versions["7"] = bad
    put(plain, "7", "canary", 0.5)

    def refusals() -> list[Any]:
        refused = decisions(plain.engine, "refuse")
        return [row for row in refused if row.evidence["version"] == "7"]

    wait_until(lambda: bool(refusals()), seconds=60, what="the refusal recorded")
    predictions = client.post(
        "/v1/organ/predict_batch", json={"phrases": [f"b {number}" for number in range(50)]}
    ).json()["predictions"]
    assert {(one["version"], one["role"]) for one in predictions} == {("1", "champion")}
    assert [(row.evidence["role"], len(row.reasons)) for row in refusals()] == [("canary", 1)]


def test_any_retained_version_answers_when_asked(plain: House, client: httpx.Client) -> None:
    answer = client.post("/v1/organ/predict?version=2", json={"phrase": "a limb"}).json()
    assert (answer["version"], answer["role"]) == ("2", "asked")
    wait_until(lambda: answer["request_id"] in plain.logged_ids(), seconds=60, what="its row")
    with plain.engine.connect() as connection:
        watched = set(whole_traffic(connection, "organ", "2")["request_id"])
        assert answer["request_id"] not in watched, "in no window"
        by_version = performance_by_version(plain.engine, "organ")
        counted = sum(by_version[key].answers for key in ("2", "2 (shadow)") if key in by_version)
        roles = [row.role for row in plain.logged() if row.version == "2"]
        assert counted == sum(role != "asked" for role in roles) < len(roles), (
            "a try-out is no traffic"
        )
        owner = answered(
            sa.select(inference.c.request_id).where(inference.c.request_id == answer["request_id"])
        )
        assert connection.scalar(sa.select(owner.c.role)) == "asked", "it may be corrected"
    refused = client.post("/v1/organ/predict?version=99", json={"phrase": "a limb"})
    assert (refused.status_code, refused.json()["code"], "2, 1" in refused.json()["message"]) == (
        404,
        "unknown_version",
        True,
    )


def test_a_canary_that_is_promoted_and_ended_costs_no_request(plain: House) -> None:
    with steady_load(plain) as seen:
        put(plain, "2", "canary", 0.5)
        wait_until(
            lambda: beside(plain)[1] == {"canary": ("2", 0.5)}, seconds=60, what="the canary"
        )
        put(plain, "2", "champion")
        wait_until(lambda: beside(plain) == ("2", {}), seconds=60, what="version 2 alone")
        answers = len(seen)
        wait_until(lambda: len(seen) > answers + 20, seconds=60, what="answers after it")
    assert failed(seen) == []
    assert {answer["role"] for _, answer in seen} == {"champion", "canary"}
