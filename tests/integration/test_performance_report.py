"""The weekly report: a file that needs no network, a page in Prefect, and a command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.database import DatabaseUrls, connect
from core.feedback import record_feedback
from core.params.schema import load_params
from core.settings import Settings
from core.tables.answers import answers_counted
from core.tables.loop import inference as table
from flows.context import LoopContext
from flows.performance import performance_markdown, report_performance
from flows.watch import count_log
from machine.environment import child_settings
from tests.support.inferences import inference
from tests.support.places import clean_environment, own_place

ROOT = Path(__file__).parents[2]
NOW = datetime.now(UTC)
SCRIPT = "<script>alert(1)</script>|`x`"


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """60 answers of the last two weeks; 30 of them were drawn at random, 27 of these are right."""
    rows = [answer(number, occurred_at=NOW - timedelta(days=number % 14)) for number in range(60)]
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)
    with engine.connect() as connection:
        for number in range(30):
            record_feedback(
                connection,
                request_id=f"request-{number}",
                label="lung" if number < 3 else "heart",
                author="ada",
                received_at=NOW,
                kind="sample",
                probability=0.5,
            )
        connection.commit()
        yield connection


@pytest.fixture
def context(engine: Engine, database: DatabaseUrls, tmp_path: Path) -> LoopContext:
    params = load_params(ROOT / "params.yaml")
    return LoopContext(own_place(tmp_path / "home"), database, engine, params)


def answer(number: int, **changes: Any) -> dict[str, Any]:
    return asdict(inference(number, **{"classifier": "block", "region": SCRIPT, **changes}))


@pytest.mark.usefixtures("connection")
def test_the_file_is_whole_without_a_network(context: LoopContext) -> None:
    report, file = report_performance(context, "block", now=NOW)
    page = file.read_text(encoding="utf-8")
    assert file == context.settings.reports / "performance" / "block" / f"{NOW:%Y-%m-%d}.html"
    assert report.whole.accuracy is not None and report.whole.accuracy.value == 0.9
    assert "accuracy 0.900 (0." in page and "30 labels of a random sample" in page
    assert all(f"<h2>By {name}</h2>" in page for name in ("week", "version", "region", "label"))
    assert "data:image/png;base64," in page
    assert re.findall(r"""(?:src|href)=['"](?!data:)""", page) == []
    assert "<script" not in page and "&lt;script&gt;" in page


@pytest.mark.usefixtures("connection")
def test_the_page_in_prefect_holds_the_same_tables(context: LoopContext) -> None:
    report, file = report_performance(context, "block", now=NOW)
    text = performance_markdown(report, file)
    assert "accuracy 0.900 (0." in text and "## By label" in text
    assert f"`{SCRIPT.replace('|', '/').replace('`', chr(39))}`" in text


def test_a_classifier_without_answers_has_an_empty_report(context: LoopContext) -> None:
    report, file = report_performance(context, "block", now=NOW)
    assert report.whole.answers == 0
    assert "no answers in this period" in file.read_text(encoding="utf-8")


def test_a_watch_counts_the_answers_that_arrived(
    connection: Connection, context: LoopContext
) -> None:
    count_log(context, ["block", "chapter"], NOW)
    query = sa.select(answers_counted.c.classifier).order_by(answers_counted.c.classifier)
    assert list(connection.scalars(query)) == ["block", "chapter"]


@pytest.mark.usefixtures("connection")
def test_the_command_runs_the_flow(database: DatabaseUrls, session_settings: Settings) -> None:
    environment = clean_environment() | child_settings(session_settings, database)
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", "--json", "performance", "block"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout.splitlines()[-1])["performance"]
    assert verdict["kind"] == "reported"
    assert verdict["evidence"]["whole"]["accuracy"] == pytest.approx(0.9)
    assert sum(week["answers"] for week in verdict["evidence"]["weeks"]) == 60
    assert Path(verdict["evidence"]["page"]).is_file()
    with connect(database.prefect).connect() as prefect:
        artifact = sa.text("select data from artifact where key = 'performance-block'")
        assert "## By region" in str(prefect.execute(artifact).scalar_one())


def test_an_unknown_classifier_is_misuse() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", "performance", "nowhere"],
        cwd=ROOT,
        env=clean_environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "block" in done.stderr
