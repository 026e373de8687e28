"""The largest sources: two labels with 100,000 rows each, a thousand labels with 100 rows each.

    python -m pytest -m slow -s tests/e2e/test_large_own_data.py

prints seconds and peak memory: the table of docs/bring-your-own-data.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.database import create_database, open_database
from core.settings import load_settings
from tests.support import own_data
from tests.support.installations import Place, new_place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
PARAMS = """
seed: 7
classifiers:
  queue:
    source: {query: queries/tickets.sql, label: queue}
"""
PEAK_MB = 4096


@pytest.mark.parametrize(
    ("labels", "rows_a_label", "buildings"), [(2, 100_000, 100_000), (1_000, 100, 30)]
)
def test_a_large_source_is_learnt_as_a_small_one_is(
    tmp_path: Path, labels: int, rows_a_label: int, buildings: int
) -> None:
    user = new_place(tmp_path)
    user.clone.joinpath("params.yaml").write_text(PARAMS, encoding="utf-8")
    user.clone.joinpath("queries", "tickets.sql").write_text(own_data.TICKETS, encoding="utf-8")
    user.commit("One classifier")
    with open_database(
        load_settings(home=Path(user.environment["PERENNIAL_HOME"]), database_url=None)
    ) as urls:
        create_database(urls.perennial, "office")
        own_data.write_tickets(
            urls.sibling("office"), labels=labels, rows_a_label=rows_a_label, buildings=buildings
        )
        first, second = (retrain(user, urls.sibling("office")) for _ in range(2))
    user.perennial("down")
    print(f"\n{labels} labels, {rows_a_label} rows each: {json.dumps(first)}")
    print(f"again, nothing new, against the champion: {json.dumps(second)}")
    assert (first["kind"], second["kind"]) == ("promote", "keep")
    assert first["weighted_f1"] > 0.9
    assert max(first["peak_mb"], second["peak_mb"]) < PEAK_MB, "a notebook of 8 GB must do"


def retrain(user: Place, source_url: str) -> dict[str, Any]:
    """Run `perennial retrain`; return its verdict, seconds and peak memory.

    The seconds are wall, CPU and those of the longest steps; the peak is the largest process's.
    """
    environment = {
        **user.environment,
        "PERENNIAL_SOURCE_URL": source_url,
        "PERENNIAL_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "cli.app", "--json", "retrain", "--verbose"]
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, cwd=user.clone, env=environment, stdout=output, stderr=log
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        output.seek(0)
        log.seek(0)
        lines = log.read().splitlines()
        assert process.returncode == 0, "\n".join(lines[-40:])
        [verdict] = json.loads(output.read().splitlines()[-1])["verdicts"].values()
    events = map(as_event, lines)
    return {
        "kind": verdict["kind"],
        "weighted_f1": verdict["evidence"]["candidate_weighted_f1"],
        "wall": round(wall, 1),
        "cpu": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
        "steps": {step["event"]: step["seconds"] for step in events if step.get("seconds", 0) >= 1},
    }


def as_event(line: str) -> Mapping[str, Any]:
    try:
        return json.loads(line) if line.startswith("{") else {}
    except ValueError:
        return {}
