"""Faults that take minutes: ten calls at once, a dying Prefect server, a rotting cache, Ctrl-C."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.database import DatabaseUrls
from machine.environment import flow_environment
from machine.health import runner_polls
from tests.support.dvc_repositories import is_sound, rot
from tests.support.prefect_servers import flow_runs
from tests.support.processes import Started, interrupt, wait_for
from tests.support.repositories import ROOT
from tests.support.retrainings import Place, build_place, prefect_server, verdict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
QUICK_TURNS = {
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5"
}  # 30 by default: nine runs wait for their turn
DECISIONS = """
select kind from decision where subject = 'retraining' and evidence ->> 'reason' = 'drift'
"""
EMIT = """
import sys
from datetime import UTC, datetime
from core.contracts import Verdict
from flows.events import emit_drift
for number in range(10):
    now = datetime(2026, 1, 2, 0, 0, number, tzinfo=UTC)
    emit_drift("organ", Verdict("drift", (f"call {number}",), {}), now=now)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slowfaults")


@pytest.fixture(scope="module")
def place(folder: Path, database: DatabaseUrls) -> Iterator[Place]:
    place = build_place(folder, database)
    with prefect_server(place):
        assert verdict(place.retrain("first")) == "promote"
    yield place
    place.engine.dispose()


def test_a_corrupt_dvc_cache_is_named_and_computed_anew(place: Place) -> None:
    """The content of every file of the cache is damaged.

    The champion has its own copy, and the next retraining trusts none of the files.
    """
    before = place.champion()
    cache = place.settings.repository / ".dvc" / "cache" / "files"
    damaged = [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size]
    assert len(damaged) > 10
    for path in damaged:
        rot(path)
    with prefect_server(place):
        answer = place.run("cli.app", "--json", "classify", "organ", "heart acute left")
        assert answer.returncode == 0, answer.stderr[-4000:]
        assert json.loads(answer.stdout)["version"] == before
        done = place.retrain()
    assert verdict(done) == "promote"
    warnings = [
        json.loads(line)
        for line in done.stderr.splitlines()
        if line.startswith("{") and "corrupt files moved aside" in line
    ]
    assert [len(line["files"]) for line in warnings] == [len(damaged)]
    assert [path for path in cache.rglob("*") if path.is_file() and not is_sound(path)] == []


def test_an_interrupted_classify_says_so_in_one_line(place: Place, tmp_path: Path) -> None:
    """Its phrases come without end, so that it is at work whenever the interrupt comes."""
    os.mkfifo(tmp_path / "phrases")
    writer = os.open(tmp_path / "phrases", os.O_RDWR)
    process = place.start("cli.app", "classify", "organ", "--file", str(tmp_path / "phrases"))
    assert process.stderr is not None
    assert process.stderr.readline().startswith("loading the champion")
    interrupt(process, seconds=60)
    os.close(writer)


def test_a_prefect_server_that_dies_meanwhile_costs_one_message(place: Place) -> None:
    for name in ("held", "let-go"):
        (place.settings.home / name).unlink(missing_ok=True)
    with prefect_server(place) as server:
        process = place.start(
            "tests.support.dying",
            "hold",
            "flows.retrain:publish_lock",
            PREFECT_CLIENT_MAX_RETRIES="2",
        )  # 5: four minutes
        wait_for(
            lambda: (place.settings.home / "held").exists() or process.poll() is not None,
            seconds=300,
            what="it waits",
        )
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        for one in family:
            one.kill()
        psutil.wait_procs(family, timeout=30)
        (place.settings.home / "let-go").touch()
        _, err = process.communicate(timeout=600)
    assert (process.returncode, "Traceback" in err) == (1, False), err[-6000:]
    [line] = [line for line in err.splitlines() if line.startswith('{"error"')]
    assert json.loads(line)["error"]["code"] == "flow_server_unreachable"
    with prefect_server(place):
        assert verdict(place.retrain()) == "promote"


def test_ten_drift_events_in_a_minute_are_one_retraining(place: Place) -> None:
    environment = {
        **place.environment,
        **flow_environment(place.settings, place.urls, server=True),
        "PERENNIAL_SCHEDULES": "false",
    }
    [[gates]] = place.rows("select count(*) from decision where subject = 'gate'")
    with prefect_server(place, **QUICK_TURNS), Started(environment, "flows.deployments"):
        wait_for(
            lambda: runner_polls(place.settings),
            seconds=300,
            what="the runner polls its deployments",
        )
        subprocess.run(
            [sys.executable, "-c", EMIT], env=environment, cwd=ROOT, check=True, timeout=120
        )
        runs = wait_for(lambda: ten(answered(place)), seconds=1500, what="ten calls answered")
    assert sorted(run["state_type"] for run in runs) == ["CANCELLED"] * 9 + ["COMPLETED"]
    kinds = [row.kind for row in place.rows(DECISIONS)]
    assert sorted(kinds) == ["retrain"] + ["wait"] * 9
    assert place.rows("select count(*) from decision where subject = 'gate'") == [(gates + 1,)]


def ten(runs: list[dict]) -> list[dict]:
    return runs if len(runs) == 10 else []


def answered(place: Place) -> list[dict]:
    ended = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
    return [
        run
        for run in flow_runs(place.settings)
        if run["parameters"].get("reason") == "drift" and run["state_type"] in ended
    ]
