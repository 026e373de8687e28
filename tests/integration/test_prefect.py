"""A real Prefect server on our PostgreSQL, with deployments made by our functions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from console.prefect import REASON, start_retraining
from core.database import DatabaseUrls, connect
from core.embedded import postmaster
from core.errors import PortTaken
from core.params.schema import load_params
from core.settings import Settings
from core.tables.all import metadata
from core.tables.loop import decision
from machine.environment import child_settings, flow_environment, prefect_answers
from machine.running_flows import running_flows
from machine.schedules import schedules_of
from monitoring.retraining import decide_retraining
from tests.support.places import free_ports
from tests.support.prefect_servers import call_deployment, flow_runs, server_and_runner, state_of
from tests.support.processes import wait_for
from tests.support.repositories import ROOT

EMIT = """
from datetime import UTC, datetime
from core.contracts import Verdict
from flows.events import emit_drift
drift = Verdict("drift", ("labels moved twice",), {"z": {"labels": 4.5}})
emit_drift("block", drift, now=datetime(2026, 3, 1, tzinfo=UTC))
"""
WATCH = """
from datetime import UTC, datetime
import flows.watch as room
from core.contracts import Deployment, ModelVersion, Verdict
from core.database import connect
from core.deployments import append_deployment
from core.settings import load_settings
settings = load_settings()
model = ModelVersion("chapter", "1", "nowhere", "sha256:0", "use")
with connect(settings.database_url.get_secret_value()).begin() as connection:
    append_deployment(connection, Deployment(model, "champion", 1.0, datetime.now(UTC), "test"))
room.open_embedder = lambda settings, model: None
room.watch_classifier = lambda engine, **_: Verdict("drift", ("labels moved twice",), {"z": 5.5})
verdicts = room.run_watch(settings, ["chapter", "block"], now=datetime(2026, 4, 1, tzinfo=UTC))
print(verdicts["chapter"].kind, verdicts["block"].kind)
"""
ACT = """
from datetime import UTC, datetime
import flows.retrain as retraining
import flows.watch as room
from core.contracts import Deployment, ModelVersion, Verdict
from core.database import connect
from core.decisions import record_decision
from core.deployments import append_deployment
from core.settings import load_settings
settings = load_settings()
model = ModelVersion("chapter", "1", "nowhere", "sha256:0", "use")
with connect(settings.database_url.get_secret_value()).begin() as connection:
    append_deployment(connection, Deployment(model, "champion", 1.0, datetime.now(UTC), "test"))
    noon = datetime(2026, 3, 31, 12, tzinfo=UTC)
    gate = {"classifier": "chapter", "subject": "gate"}
    record_decision(connection, Verdict("promote", ()), decided_at=noon, **gate)
room.open_embedder = lambda settings, model: None
room.watch_classifier = lambda engine, **_: Verdict("drift", ("labels moved twice",), {"z": 5.5})
def promote_all(context, due, run, *, held):
    return {name: Verdict("promote", (run.reason,)) for name in due}
retraining._retrain_due = promote_all
for now in (datetime(2026, 4, 1, tzinfo=UTC), datetime(2027, 4, 1, tzinfo=UTC)):
    verdict = room.run_watch(settings, ["chapter"], act=True, now=now)["chapter"]
    print("verdict", verdict.kind)
"""
PAGES = """
import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
import flows.pages.artifacts as pages
import flows.retrain as room
from core.contracts import ModelVersion, Verdict
from core.settings import load_settings
workspace = SimpleNamespace(folder=Path(tempfile.mkdtemp()))
def compare(context, workspace, name, run):
    for stage in ("comparison", "suspects"):
        table = workspace.folder / "build/classifiers" / name / stage / "table.md"
        table.parent.mkdir(parents=True)
        table.write_text("")
    return Verdict("promote", ())
def fail(*_, **__):
    raise RuntimeError("no page today")
room.compare_with_champion = compare
def register(context, workspace, name, *_):
    return ModelVersion(name, "1", "nowhere", "sha256:0", "use")
room.register_candidate = register
room.decide_and_promote = lambda context, candidate, verdict, run: verdict
room.open_workspace = lambda *_, **__: nullcontext(workspace)
room.check_snapshot = lambda *_: {"checks": [], "verdict": "passed", "page": "nowhere"}
room.take_snapshot = lambda *_: ([], {})
room.require_sound_data = room.train_classifiers = lambda *_: {}
for step in ("require_committed", "publish_lock", "remember_retraining", "package"):
    setattr(room, step, lambda *_: None)
pages.create_markdown_artifact = pages.create_table_artifact = fail
print("verdict", *(verdict.kind for verdict in room.retrain(["chapter", "block"]).values()))
"""
ALONE = """
from core.settings import load_settings
from machine.environment import open_flow_database
with open_flow_database(load_settings()):
    from tests.support.trivial_flows import retrain
    print(retrain(["block"])["block"].kind)
"""


@pytest.fixture(scope="module")
def place(session_settings: Settings) -> Settings:
    return session_settings.model_copy(update={"prefect_port": free_ports(1)[0]})


@pytest.fixture(scope="module")
def environment(place: Settings, database: DatabaseUrls) -> dict[str, str]:
    """The tables are empty: other tests of the session leave decisions of the same classifiers."""
    with connect(database.perennial).begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    return {
        **os.environ,
        **flow_environment(place, database, server=True),
        **child_settings(place, database),
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="module")
def runner(place: Settings, environment: dict[str, str]) -> Iterator[None]:
    """The server and, once it answers, the runner of the trivial flows."""
    with server_and_runner(place, environment):
        yield


def prefect(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(
        command,
        env=environment | {"COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("runner")
def test_the_server_of_another_installation_on_the_port_is_refused(
    place: Settings, tmp_path: Path
) -> None:
    assert prefect_answers(place)
    stranger = place.model_copy(update={"home": tmp_path / "home"})
    with pytest.raises(PortTaken, match="PERENNIAL_PREFECT_PORT") as refusal:
        prefect_answers(stranger)
    assert str(place.home / "prefect") in refusal.value.came


@pytest.mark.usefixtures("runner")
def test_the_server_of_another_installation_gets_no_request_of_ours_and_its_runs_are_not_shown(
    place: Settings, tmp_path: Path
) -> None:
    stranger = place.model_copy(update={"home": tmp_path / "home"})
    assert schedules_of(place, ["block"])["block"]
    assert running_flows(place) is not None
    before = len(flow_runs(place))
    assert start_retraining(stranger, "block", {}, key="of another installation") is None
    assert len(flow_runs(place)) == before
    assert schedules_of(stranger, ["block"]) == {}
    assert running_flows(stranger) is None


def called_for(run: dict[str, Any], classifier: str) -> bool:
    return (
        run["parameters"].get("classifiers") == [classifier]
        and run["parameters"].get("reason") == "drift"
    )


def planned_runs(place: Settings) -> list[dict[str, Any]]:
    """Runs that a schedule planned; one that an event called for may still wait for the runner."""
    return [run for run in flow_runs(place) if run["auto_scheduled"]]


@pytest.mark.usefixtures("runner")
def test_every_classifier_has_a_deployment_of_both_flows_and_memory_one_for_all(
    environment: dict[str, str],
) -> None:
    listed = prefect(environment, "deployment", "ls")
    for name in load_params(ROOT / "params.yaml").classifiers:
        assert f"retrain/{name}" in listed
        assert f"watch/{name}" in listed
    assert "remember/all" in listed
    assert "performance/all" in listed


@pytest.mark.usefixtures("runner")
def test_every_classifier_has_an_automation_for_its_drift(environment: dict[str, str]) -> None:
    listed = prefect(environment, "automation", "ls")
    for name in load_params(ROOT / "params.yaml").classifiers:
        assert f"drift of {name}" in " ".join(listed.split())


@pytest.mark.usefixtures("runner")
def test_drift_of_one_classifier_runs_its_retraining_and_no_other(
    place: Settings, environment: dict[str, str]
) -> None:
    before = {run["id"] for run in flow_runs(place)}  # of other tests on the same server
    subprocess.run([sys.executable, "-c", EMIT], env=environment, cwd=ROOT, check=True, timeout=60)

    def new_runs() -> list[dict[str, Any]]:
        return [run for run in flow_runs(place) if run["id"] not in before]

    done = wait_for(
        lambda: [run for run in new_runs() if run["state_type"] == "COMPLETED"],
        seconds=120,
        what="a completed run",
    )
    assert [called_for(run, "block") for run in new_runs()] == [True]
    parameters = done[0]["parameters"]
    assert parameters["evidence"] == {"reasons": ["labels moved twice"], "z": {"labels": 4.5}}
    assert parameters["now"] == "2026-03-01T00:00:00+00:00"


@pytest.mark.usefixtures("runner")
def test_a_person_starts_a_retraining_that_waits_for_no_cool_down(place: Settings) -> None:
    evidence = {"reasons": ["ann called window 2 real"], "windows": [{"number": 2}]}
    page = start_retraining(place, "block", evidence, key="window 2, decision 1")
    assert page is not None
    again = start_retraining(place, "block", {**evidence, "x": 1}, key="window 2, decision 1")
    assert again == page, "a double click, or a second person, starts nothing more"
    run = page.rpartition("/")[2]
    wait_for(lambda: state_of(place, run) == "COMPLETED", seconds=120, what="the retraining ended")
    [found] = [row for row in flow_runs(place) if row["id"] == run]
    assert found["parameters"] == {
        "classifiers": ["block"],
        "reason": "review",
        "evidence": evidence,
    }
    assert decide_retraining(
        REASON,
        last_retraining_at=datetime.now(UTC),
        now=datetime.now(UTC),
        cool_down_days=7,
    ).kind == "retrain"  # fmt: skip
    assert start_retraining(place, "no such classifier", {}, key="x") is None


def test_without_prefect_no_retraining_starts(place: Settings) -> None:
    away = place.model_copy(update={"prefect_port": free_ports(1)[0]})
    assert start_retraining(away, "block", {}, key="x") is None


@pytest.mark.usefixtures("runner")
@pytest.mark.parametrize(
    ("kinds", "ended"),
    [
        ({"block": "wait"}, ("CANCELLED", "Waiting")),
        ({"block": "failed"}, ("FAILED", "Partly failed")),
        ({"block": "reject"}, ("COMPLETED", "Rejected")),
    ],
)
def test_a_run_of_a_deployment_is_as_green_as_its_verdict_and_the_next_one_gets_its_turn(
    place: Settings, kinds: dict[str, str], ended: tuple[str, str]
) -> None:
    classifiers = {"classifiers": ["block", "chapter"]} if "failed" in kinds.values() else {}
    call = partial(call_deployment, place, "retrain/block")
    run = call(**{"classifiers": ["block"], **classifiers}, reason="drift", evidence=kinds)
    following = call(classifiers=["block"], reason="manual")
    # Prefect gives the free slot to either of the two first.
    wait_for(
        lambda: state_of(place, run) == ended[0] and state_of(place, following) == "COMPLETED",
        seconds=120,
        what="both runs ended",
    )
    [found] = [row for row in flow_runs(place) if row["id"] == run]
    assert (found["state_type"], found["state_name"]) == ended
    assert "block: drift" in found["state"]["message"]


@pytest.mark.usefixtures("runner")
def test_a_watch_that_finds_drift_shows_it_and_calls_the_retraining(
    place: Settings, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCH],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.stdout.split()[-2:] == ["drift", "insufficient"], done.stderr
    [watched] = [run for run in flow_runs(place) if "insufficient" in run["tags"]]
    assert (watched["name"], watched["state_name"]) == (
        "chapter, block: drift, insufficient",
        "Drift",
    )
    assert "chapter: labels moved twice" in watched["state"]["message"]
    wait_for(
        lambda: [run for run in flow_runs(place) if called_for(run, "chapter")],
        seconds=60,
        what="its retraining",
    )
    of_run = {"artifacts": {"flow_run_id": {"any_": [watched["id"]]}}}
    artifacts = httpx.post(
        f"{place.prefect_url}/api/artifacts/filter", json=of_run, trust_env=False
    ).json()
    assert [artifact["key"] for artifact in artifacts] == ["drift-chapter"]


@pytest.mark.usefixtures("runner")
def test_a_watch_that_acts_waits_for_the_cool_down_and_then_retrains(
    place: Settings, environment: dict[str, str], database: DatabaseUrls
) -> None:
    """Half a day after the last retraining it waits, a year after not; both runs show the drift."""
    events = len([run for run in flow_runs(place) if called_for(run, "chapter")])
    done = subprocess.run(
        [sys.executable, "-c", ACT],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("verdict")]
    assert lines == ["verdict wait", "verdict promote"], done.stderr
    with connect(database.perennial).connect() as connection:
        rows = connection.execute(
            sa.select(decision.c.kind)
            .where(decision.c.subject == "retraining")
            .order_by(decision.c.id)
        )
        assert rows.scalars().all()[-2:] == ["wait", "retrain"]
        waiting = sa.select(decision.c.reasons, decision.c.evidence["version"].astext).where(
            decision.c.kind == "wait"
        )
        [(reasons, version)] = connection.execute(waiting).all()
    assert "the next one for drift is due at 2026-04-01 12:00" in reasons[0]
    assert version == "1"  # so the lineage of the champion lists it
    artifacts = httpx.post(
        f"{place.prefect_url}/api/artifacts/filter", json={}, trust_env=False
    ).json()
    [page] = [artifact["data"] for artifact in artifacts if artifact["key"] == "verdict-chapter"]
    assert page.startswith("# chapter: wait") and reasons[0] in page
    acted = [
        run
        for run in flow_runs(place)
        if called_for(run, "chapter") and run["deployment_id"] is None
    ]
    assert {(run["name"], run["state_type"], run["state_name"]) for run in acted} == {
        ("chapter: drift, waiting", "CANCELLED", "Waiting"),
        ("chapter: drift, promoted", "COMPLETED", "Promoted"),
    }
    for run in acted:
        assert run["parameters"]["evidence"] == {"reasons": ["labels moved twice"], "z": 5.5}
    tagged = {"perennial", "chapter", "drift"}
    assert {frozenset(run["tags"]) for run in acted} == {
        frozenset({*tagged, "wait"}),
        frozenset({*tagged, "promote"}),
    }
    assert len(acted) == 2
    assert (
        len([run for run in flow_runs(place) if called_for(run, "chapter")]) == events + 2
    )  # and no event called for another


@pytest.mark.usefixtures("runner")
def test_a_page_that_fails_costs_no_verdict(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PAGES],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.splitlines()[-1:] == ["verdict promote promote"], done.stderr


@pytest.mark.usefixtures("runner")
def test_a_paused_schedule_plans_no_run(place: Settings) -> None:
    deployments = httpx.post(
        f"{place.prefect_url}/api/deployments/filter", json={}, trust_env=False
    ).json()
    assert {
        schedule["active"] for deployment in deployments for schedule in deployment["schedules"]
    } == {False}
    assert not planned_runs(place)


@pytest.mark.usefixtures("runner")
def test_a_schedule_plans_runs(place: Settings) -> None:
    """SQLAlchemy 2.1 breaks the insert of Prefect 3.8.8's scheduler, which only its log tells."""
    deployment = httpx.get(
        f"{place.prefect_url}/api/deployments/name/watch/block", trust_env=False
    ).json()
    schedule = deployment["schedules"][0]["id"]
    url = f"{place.prefect_url}/api/deployments/{deployment['id']}/schedules/{schedule}"
    httpx.patch(url, json={"active": True}, trust_env=False).raise_for_status()
    planned = wait_for(lambda: planned_runs(place), seconds=90, what="planned runs")
    httpx.patch(url, json={"active": False}, trust_env=False).raise_for_status()
    assert {run["deployment_id"] for run in planned} == {deployment["id"]}


def test_without_a_server_a_flow_runs_and_leaves_nothing_behind(tmp_path: Path) -> None:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PERENNIAL_", "PREFECT_"))
    }
    place = {
        "PERENNIAL_HOME": str(tmp_path / "home"),
        "PERENNIAL_PREFECT_PORT": str(free_ports(1)[0]),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        env=kept | place,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "promote"
    assert "Traceback" not in done.stderr
    assert postmaster(tmp_path / "home" / "postgres") is None


def test_the_next_runs_and_the_paused_schedules_are_shown(place: Settings, runner: None) -> None:
    schedules = schedules_of(place, ["block", "nobody"])
    assert [(row.flow, row.paused, row.next_run) for row in schedules["block"]] == [
        ("watch", True, None),
        ("retrain", True, None),
    ]
    assert schedules["nobody"] == []
    with active_schedule(place, "retrain/block"):
        next_run = wait_for(
            lambda: schedules_of(place, ["block"])["block"][1].next_run,
            seconds=150,
            what="the scheduler plans the next run",
        )
        assert next_run is not None and next_run > datetime.now(UTC)
        assert (next_run.weekday(), next_run.hour) == (0, 3)


@contextmanager
def active_schedule(place: Settings, full_name: str) -> Iterator[None]:
    api = f"{place.prefect_url}/api/deployments"
    deployment = httpx.get(f"{api}/name/{full_name}", trust_env=False).json()
    url = f"{api}/{deployment['id']}/schedules/{deployment['schedules'][0]['id']}"
    httpx.patch(url, json={"active": True}, trust_env=False).raise_for_status()
    try:
        yield
    finally:
        httpx.patch(url, json={"active": False}, trust_env=False).raise_for_status()
