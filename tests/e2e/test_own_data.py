"""A new user's own database: in a fresh clone, a block and a query are all that is added."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from core.database import connect, open_database
from core.settings import load_settings
from tests.support import own_data
from tests.support.installations import Place, new_place
from tests.support.processes import wait_until

FIRST = 3000
SECOND = 600
LABELS = 1000
CLASSIFIERS = ("fachbereich", "befristet")
BLOCKS = """
  fachbereich:
    source: {query: queries/bewerbungen.sql, label: bereich}
  befristet:
    source: {query: queries/bewerbungen.sql, label: befristet}
    head: {kind: logistic}
    compare: [tfidf_svm, majority]
"""
TICKET = """
  ticket_queue:
    source: {query: queries/tickets.sql, label: queue}
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A clone with two blocks added under the demo's, and one query."""
    folder = tmp_path_factory.mktemp("own")
    rows = own_data.applications(FIRST, titles=own_data.TITLES, begin=own_data.BEGIN, seed=1)
    own_data.write_applications(folder / "jobs.db", rows)
    user = new_place(folder, PERENNIAL_SOURCE_URL=f"sqlite:///{folder}/jobs.db")
    add(user, BLOCKS, bewerbungen=own_data.BEWERBUNGEN)
    yield user
    user.perennial("down")


def add(user: Place, blocks: str, **queries: str) -> None:
    with (user.clone / "params.yaml").open("a", encoding="utf-8") as params:
        params.write(blocks)
    for name, query in queries.items():
        (user.clone / "queries" / f"{name}.sql").write_text(query, encoding="utf-8")
    user.commit(f"Classify by {', '.join(queries)}")


def retrain(user: Place, *classifiers: str) -> dict[str, Any]:
    done = user.perennial("--json", "retrain", *classifiers)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1])["verdicts"]


@pytest.fixture(scope="module")
def first(user: Place) -> dict[str, Any]:
    return retrain(user, *CLASSIFIERS)


@pytest.fixture(scope="module")
def engine(user: Place, first: dict[str, Any]) -> Iterator[sa.Engine]:
    """Perennial's own database, which the first retraining made."""
    with open_database(
        load_settings(home=Path(user.environment["PERENNIAL_HOME"]), database_url=None)
    ) as urls:
        engine = connect(urls.perennial)
        yield engine
        engine.dispose()


def rows_of(engine: sa.Engine, query: str) -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


@pytest.fixture(scope="module")
def service(user: Place, engine: sa.Engine) -> Iterator[httpx.Client]:
    with running(user, "serve", name="service", ready="/readyz") as client:
        yield client


@pytest.fixture(scope="module")
def console(user: Place, engine: sa.Engine) -> Iterator[httpx.Client]:
    with running(user, "console", name="console", ready="/", ends=-signal.SIGTERM) as client:
        yield client


@contextmanager
def running(
    user: Place, command: str, *, name: str, ready: str, ends: int = 0
) -> Iterator[httpx.Client]:
    """Run a program; SIGTERM ends it with this exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.app", command], cwd=user.clone, env=user.environment
    )
    with httpx.Client(base_url=user.url(name), trust_env=False, timeout=60) as client:
        wait_until(lambda: answers(client, ready), seconds=180, what=f"the {name} is ready")
        yield client
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == ends


def answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def ask(service: httpx.Client, phrase: str) -> dict[str, Any]:
    return (
        service.post("/v1/fachbereich/predict", json={"phrase": phrase}).raise_for_status().json()
    )


def test_the_first_retraining_promotes_and_needs_nothing_of_the_demo(
    user: Place, first: dict[str, Any], engine: sa.Engine
) -> None:
    assert {name: verdict["kind"] for name, verdict in first.items()} == {
        "fachbereich": "promote",
        "befristet": "promote",
    }
    assert all(verdict["evidence"]["candidate_weighted_f1"] > 0.9 for verdict in first.values())
    assert rows_of(engine, "select dataset, rows from snapshot") == [("bewerbungen", FIRST)]
    assert "diagnoses" not in user.run("git", "show", f"{tags(user)[0]}:params.yaml")
    assert (
        user.run("git", "status", "--porcelain") == ""
        and not (user.clone / "data" / "diagnoses").exists()
    )


def tags(user: Place) -> list[str]:
    return user.run("git", "tag", "--list", "retrain-*", "--sort=creatordate").split()


@pytest.mark.parametrize(("classifier", "phrase", "label"), [
    ("fachbereich", "KÖCHIN gesucht", "Küche"),
    ("befristet", "Koch befristet bis Jahresende", "1"),
])  # fmt: skip
def test_classify_answers_in_the_users_language(
    user: Place, first: dict[str, Any], classifier: str, phrase: str, label: str
) -> None:
    done = user.perennial("--json", "classify", classifier, phrase)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"] == label


def test_heads_asked_for_stand_in_the_report_of_the_retraining_and_in_mlflow(
    first: dict[str, Any], engine: sa.Engine
) -> None:
    pages = dict(
        rows_beside(
            engine, "prefect", "select key, data #>> '{}' from artifact where key like 'verdict-%'"
        )
    )
    assert "Heads trained" not in pages["verdict-fachbereich"]
    table = [
        line.split(" | ")[0]
        for line in pages["verdict-befristet"]
        .partition("## Heads trained and tested on the same rows")[2]
        .splitlines()
    ]
    assert {"| **logistic** (chosen)", "| tfidf_svm", "| majority"} <= set(table)
    scores = dict(
        rows_beside(
            engine,
            "mlflow",
            "select key, value from metrics where key like 'compare/%/weighted_f1'",
        )
    )
    assert set(scores) == {
        f"compare/{head}/weighted_f1" for head in ("logistic", "tfidf_svm", "majority")
    }
    assert (
        scores["compare/logistic/weighted_f1"]
        == first["befristet"]["evidence"]["candidate_weighted_f1"]
        > scores["compare/majority/weighted_f1"]
    )


def test_new_rows_and_a_fix_on_a_page_are_learnt_and_answered_without_a_restart(
    user: Place, service: httpx.Client, console: httpx.Client, engine: sa.Engine
) -> None:
    unknown = "Meeresbiologin für Algenzucht"
    answer = ask(service, unknown)
    listed = service.get("/v1/classifiers").json()["classifiers"]
    assert answer["version"] == "1"
    assert {row["classifier"] for row in listed} == set(CLASSIFIERS)
    another = "Büro" if answer["label"] != "Büro" else "Pflege"
    fix(console, engine, answer["request_id"], right=another)
    assert fate_of(console, answer["request_id"]).count("not yet") == 3
    later = own_data.applications(
        SECOND,
        titles=own_data.TITLES | own_data.LATER,
        begin=own_data.BEGIN + timedelta(days=30),
        seed=2,
    )
    own_data.write_applications(user.clone.parent / "jobs.db", later)
    assert retrain(user, "fachbereich")["fachbereich"]["kind"] == "promote"
    assert rows_of(engine, "select rows from snapshot order by id")[-1] == (FIRST + SECOND + 1,)
    wait_until(
        lambda: ask(service, "Floristin in Teilzeit")["version"] == "2",
        seconds=60,
        what="version 2 answers",
    )
    assert ask(service, "Floristin in Teilzeit")["label"] == "Gärtnerei"
    assert ask(service, unknown)["label"] == another
    assert "version 2 answers with it since" in fate_of(console, answer["request_id"])


def fix(console: httpx.Client, engine: sa.Engine, request_id: str, *, right: str) -> None:
    logged = f"select 1 from inference where request_id = '{request_id}'"
    wait_until(lambda: rows_of(engine, logged) != [], seconds=60, what="the answer is logged")
    page = f"/c/fachbereich/answers/{request_id}/fix"
    console.post(page, data={"label": right}, follow_redirects=True).raise_for_status()


def fate_of(console: httpx.Client, request_id: str) -> str:
    """The row of the fix on the page of fixes."""
    page = console.get("/c/fachbereich/fixes").raise_for_status().text
    [row] = [part for part in page.split("<tr ") if request_id in part]
    return " ".join(row.split())


def test_a_retraining_that_fails_changes_nothing(user: Place, engine: sa.Engine) -> None:
    add(user, "", bewerbungen=own_data.BEWERBUNGEN.replace("bereich,", "''  as bereich,"))
    before = standing(user, engine)
    done = user.perennial("retrain", "fachbereich")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "Error: expected data that passes every critical check" in done.stderr
    assert (
        "usable on bewerbungen.bereich (observed 1.0, limit 0.01" in done.stderr
        and "where ... is not null" in done.stderr
    )
    assert standing(user, engine) == before
    add(user, "", bewerbungen=own_data.BEWERBUNGEN)


def standing(user: Place, engine: sa.Engine) -> dict[str, Any]:
    """Who answers, what is registered, what is recorded, and every branch and tag."""
    queries = (
        "classifier, version, role from deployment",
        "id, git_tag from snapshot",
        "id from decision where subject = 'gate'",
    )
    home = Path(user.environment["PERENNIAL_HOME"])
    return {
        "rows": [rows_of(engine, f"select {query}") for query in queries],
        "models": sorted(str(path.relative_to(home)) for path in (home / "models").rglob("*")),
        "git": user.run("git", "for-each-ref") + user.run("git", "status", "--porcelain"),
        "mlflow": rows_beside(
            engine, "mlflow", "select name, version from model_versions order by 1, 2"
        ),
    }


def rows_beside(engine: sa.Engine, database: str, query: str) -> list[tuple]:
    beside = sa.create_engine(engine.url.set(database=database))
    found = rows_of(beside, query)
    beside.dispose()
    return found


def test_another_source_with_a_thousand_labels_beside_the_first(
    user: Place, engine: sa.Engine
) -> None:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text("create database office"))
    url = engine.url.set(database="office").render_as_string(hide_password=False)
    own_data.write_tickets(url, labels=LABELS, rows_a_label=20)
    add(user, TICKET, tickets=own_data.TICKETS)
    verdict = retrain(
        replace(user, environment={**user.environment, "PERENNIAL_SOURCE_URL": url}), "ticket_queue"
    )["ticket_queue"]
    assert verdict["kind"] == "promote"
    [(location,)] = rows_of(
        engine, "select head_location from deployment where classifier = 'ticket_queue'"
    )
    assert (
        len(json.loads((Path(location) / "head.json").read_text(encoding="utf-8"))["labels"])
        == LABELS
    )
    assert rows_of(engine, "select dataset, rows from snapshot order by id desc limit 1") == [
        ("tickets", LABELS * 20)
    ]
