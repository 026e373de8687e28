"""`perennial loadtest` and `perennial advise`, against real services."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from bentos.inference_log.shipper import insert_into
from operations.sizing.requests_log import read_requests
from tests.support.inferences import row
from tests.support.processes import wait_until
from tests.support.services import House


def perennial(house: House, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PERENNIAL_HOME": str(house.settings.home),
        "PERENNIAL_SERVICE_PORT": str(house.settings.service_port),
    }
    command = [sys.executable, "-m", "cli.app", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_a_load_test_asks_as_often_as_planned_and_tells_warm_from_cold(
    house: House, tmp_path: Path
) -> None:
    phrases = tmp_path / "phrases.txt"
    phrases.write_text("".join(f"loaded heart {number % 7}\n" for number in range(70)))
    options = (
        "--from",
        str(phrases),
        "--rate",
        "20",
        "--peak",
        "60",
        "--seconds",
        "4",
        "--new",
        "0.1",
    )
    done = perennial(house, "loadtest", *options, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    slices = {row["name"]: row for row in report["slices"]}
    assert report["classifier"] == "organ"
    assert (slices["all"]["requests"], slices["all"]["errors"]) == (112, 0)
    assert report["statuses"] == {"200": 112}
    assert slices["cold"]["hit_rate"] == 0, "nobody had asked for these"
    assert slices["warm"]["hit_rate"] > 0.9
    assert slices["all"]["p50"] > 0
    wait_until(
        lambda: (
            sum((row.routing_key or "").startswith("loadtest-") for row in house.logged()) == 112
        ),
        seconds=60,
        what="the rows",
    )
    refused = perennial(
        house, "loadtest", *options[:2], "--rate", "5", "--seconds", "1", "--max-p99", "0.001"
    )
    assert refused.returncode == 3
    assert "hit rate" in refused.stdout


def test_a_load_test_needs_a_service_and_a_classifier_it_knows(house: House) -> None:
    nobody = perennial(house, "loadtest", "--url", "http://127.0.0.1:9", "--seconds", "1")
    assert (nobody.returncode, "perennial up" in nobody.stderr) == (1, True)
    unknown = perennial(house, "loadtest", "--classifier", "liver")
    assert (unknown.returncode, "organ" in unknown.stderr) == (2, True)


@pytest.mark.slow
def test_an_advice_holds_when_it_is_tried(house: House, tmp_path: Path) -> None:
    phrases = tmp_path / "phrases.txt"
    picture = tmp_path / "hits.png"
    phrases.write_text(
        "".join(
            f"tried heart {number}\n" for number in np.random.default_rng(2).zipf(1.4, 500).tolist()
        )
    )
    before = house.settled_ids()
    options = (
        "--from",
        str(phrases),
        "--classifier",
        "organ",
        "--rate",
        "50",
        "--seconds",
        "10",
        "--within",
        "0.05",
        "--png",
        str(picture),
    )
    done = perennial(house, "advise", *options, "--check", "--json")
    assert done.returncode == 0, done.stderr
    advice = json.loads(done.stdout)
    assert (advice["check"]["requests"], advice["check"]["errors"]) == (500, 0)
    assert advice["check"]["hit_rate"] == pytest.approx(
        advice["check"]["predicted_hit_rate"], abs=0.02
    )
    assert advice["check"]["speed_up"] > 1
    assert min(advice["workers"], advice["threads"]) >= 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert house.settled_ids() == before, "what a trial answers is logged nowhere"


def test_the_log_gives_what_clients_asked_in_their_order(engine: Engine) -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        row(1, occurred_at=when + timedelta(seconds=3), cached=True),
        row(2, occurred_at=when + timedelta(seconds=1)),
        row(3, occurred_at=when + timedelta(seconds=2), role="shadow"),
        row(4, occurred_at=when + timedelta(seconds=4), routing_key="loadtest-7"),
        row(
            5, occurred_at=when + timedelta(seconds=5), routing_key="client-7", classifier="tissue"
        ),
    ]
    insert_into(engine)(rows)
    with engine.connect() as connection:
        requests = read_requests(connection, rows=9)
        newest = read_requests(connection, rows=1, classifier="organ")
        assert read_requests(connection, rows=9, classifier="nobody").phrase == []
    assert (requests.cleaned, requests.classifier) == (
        ["phrase 2", "phrase 1", "phrase 5"],
        ["organ", "organ", "tissue"],
    )
    assert (requests.cached.tolist(), newest.phrase) == ([False, True, False], ["Phrase 1"])
