"""`perennial simulate` on the small demo's snapshot, with a real PostgreSQL of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy.engine import Engine
from typer.testing import CliRunner, Result

from cli import app as cli
from core.database import DatabaseUrls, create_database
from core.tables.loop import inference as log
from operations.simulation.own_snapshot import logged_a_day
from pipelines.snapshots import write_snapshot
from pipelines.source.demo import build_demo_source
from pipelines.source.practice import EPOCH
from tests.support.embedders import build_tiny_embedder
from tests.support.inferences import inference
from tests.support.repositories import ROOT

pytestmark = pytest.mark.filterwarnings("default")  # Evidently's own dependencies warn
PARAMS = """
classifiers:
  chapter:
    source: {query: queries/diagnoses.sql, label: chapter}
    head: {kind: logistic}
    schedule: "0 3 * * 1,4"
  phase:
    source: {query: queries/phases.sql, label: encounter_phase}
    head: {kind: logistic}
"""
ASKED = ("simulate", "chapter", "--days", "16", "--answers-a-day", "30", "--labels-a-week", "20")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, database: DatabaseUrls) -> Path:
    """A checkout's params.yaml, its snapshot of 20,000 rows, and an embedder that costs little."""
    folder = tmp_path_factory.mktemp("simulated")
    source = database.sibling("simulated")
    create_database(database.perennial, "simulated")
    build_demo_source(source, scale="small", seed=7)
    write_snapshot(
        folder / "data" / "diagnoses",
        dataset="diagnoses",
        query_file=ROOT / "queries" / "diagnoses.sql",
        label_columns=["chapter"],
        parameters={},
        source_url=source,
        as_of=EPOCH,
        feedback=None,
        previous=None,
    )
    (folder / "params.yaml").write_text(PARAMS)
    build_tiny_embedder(folder / "embedder")
    return folder


@pytest.fixture(autouse=True)
def place(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    monkeypatch.setenv("PERENNIAL_REPOSITORY", str(repository))
    monkeypatch.setenv("PERENNIAL_HOME", str(repository / "var"))
    monkeypatch.setenv("PERENNIAL_EMBEDDER", str(repository / "embedder"))
    yield repository


def perennial(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def test_a_simulation_plays_its_policies_and_goes_on_where_it_ended(place: Path) -> None:
    rows = (place / "data" / "diagnoses" / "rows.parquet").read_bytes()
    asked = (*ASKED, "--events", "names, topic", "--seed", "2", "--json")
    played = perennial(*asked, "--policies", "default")
    assert played.exit_code == 0, played.output
    simulation = json.loads(played.stdout)
    own = simulation["policies"]["default"]
    assert (simulation["traffic"], simulation["answers_a_day"]) == ("asked", 30)
    assert {event["kind"]: event["size"] for event in simulation["events"]} == {
        "names": 0.2,
        "topic": 0.05,
    }
    assert 0.5 < own["weighted_f1"][0] < 1
    assert own["fits"]["retrainings"] >= 4  # twice a week, as the block says
    assert 5 <= own["labels"][0] <= 60
    assert Path(simulation["picture"]).stat().st_size > 10_000
    assert not (place / "var" / "postgres").exists()
    assert (place / "data" / "diagnoses" / "rows.parquet").read_bytes() == rows

    again = perennial(*asked, "--policies", "default never")
    both = json.loads(again.stdout)
    assert both["folder"] == simulation["folder"]
    assert both["policies"]["default"] == own
    assert "default, day" not in again.stderr
    assert "never, day 0 of 16" in again.stderr
    assert own["weighted_f1"][0] > both["policies"]["never"]["weighted_f1"][0]


def test_the_table_is_followed_by_what_to_set() -> None:
    shown = perennial(*ASKED, "--calm", "--policies", "never")
    assert shown.exit_code == 0, shown.output
    assert "weighted F1" in shown.stdout
    assert "16 days of 30 answers (asked), 20 labels a week, seed 1" in shown.stderr
    assert "events: none" in shown.stderr
    assert "not called within" in shown.stderr or "window_days" in shown.stderr
    assert "picture: " in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("heart",), 2, "one of chapter, phase"),
        (("phase",), 1, "run `perennial snapshot phase`"),
        (("chapter", "--policies", "default sometimes"), 2, "sometimes; known are never, weekly"),
        (("chapter", "--events", "names flood"), 2, "flood; known are rule, names"),
        (("chapter", "--events", ""), 2, "none; known are rule"),
        (("chapter", "--events", "rule", "--calm"), 2, "choose --events or --calm"),
        (("chapter", "--days", "5000"), 2, "less than or equal to 1096"),
    ],
)
def test_what_cannot_be_played_is_refused(arguments: tuple[str, ...], code: int, says: str) -> None:
    refused = perennial("simulate", *arguments)
    assert refused.exit_code == code
    assert says in " ".join(refused.stderr.replace("│", " ").split())


def test_too_few_rows_are_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data" / "diagnoses"
    data.mkdir(parents=True)
    rows = pq.read_table(place / "data" / "diagnoses" / "rows.parquet")
    pq.write_table(rows.slice(0, 90), data / "rows.parquet")
    (data / "snapshot.json").write_text('{"logical_hash": "few"}')
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.setenv("PERENNIAL_REPOSITORY", str(tmp_path))
    refused = perennial("simulate", "chapter")
    assert refused.exit_code == 1
    assert "100 rows of the source in the newest third" in refused.stderr


def test_the_traffic_of_the_log_is_that_of_clients(engine: Engine) -> None:
    newest = datetime(2026, 3, 1, tzinfo=UTC)

    def answer(number: int, **changes: Any) -> dict[str, Any]:
        moment = newest - timedelta(hours=number)
        return asdict(inference(number, occurred_at=moment, **changes))

    rows = [answer(number) for number in range(0, 241, 2)]
    rows += [answer(number, role="shadow") for number in range(300, 340)]
    rows += [answer(400, classifier="chapter"), answer(24 * 100)]
    with engine.begin() as connection:
        connection.execute(log.insert(), rows)
        assert logged_a_day(connection, "organ") == pytest.approx(12, abs=0.2)
        assert logged_a_day(connection, "block") is None
