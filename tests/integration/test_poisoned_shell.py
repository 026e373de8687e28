"""A command in a shell and a folder that are set up for other projects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import port_settings
from tests.support.repositories import ROOT

NOWHERE = "http://127.0.0.1:9/api"
VARIABLES = {
    "PREFECT_API_URL": NOWHERE,
    "PREFECT_API_AUTH_STRING": "other:project",
    "PREFECT_SERVER_API_BASE_PATH": "/elsewhere",
    "PREFECT_PROFILE": "other",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "maybe",
    "MLFLOW_TRACKING_URI": NOWHERE,
    "MLFLOW_EXPERIMENT_ID": "other",
    "PGPORT": "1",
    "PGHOSTADDR": "192.0.2.1",
    "PGSERVICE": "other",
    "PGOPTIONS": "-c search_path=other",
    "PGTARGETSESSIONATTRS": "standby",
    "OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE,
    "LANG": "xx_YY.UTF-8",
    "LC_ALL": "xx_YY.UTF-8",
}
FILES = {
    ".env": f"PREFECT_API_URL={NOWHERE}\nPREFECT_SERVER_API_BASE_PATH=/elsewhere\n",
    "prefect.toml": f'[api]\nurl = "{NOWHERE}"\n[server.api]\nbase_path = "/elsewhere"\n',
    "pyproject.toml": f'[tool.prefect.api]\nurl = "{NOWHERE}"\n',
}


@pytest.mark.timeout(600)
def test_a_flow_runs_on_our_databases_whatever_the_shell_and_the_folder_name(
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for name, text in FILES.items():
        (work / name).write_text(text)
    others = f"sqlite+aiosqlite:///{tmp_path}/other.db"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "PERENNIAL_HOME": "../var",
        **port_settings(),
        **VARIABLES,
        "PREFECT_HOME": str(tmp_path / "other"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": others,
        "PREFECT_API_DATABASE_CONNECTION_URL": others,
    }
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", "--json", "watch", "block"],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    verdict = json.loads(done.stdout)["verdicts"]["block"]
    assert verdict["kind"] == "insufficient"
    assert "retrain" in verdict["reasons"][0]
    assert {entry.name for entry in tmp_path.iterdir()} & {"other", "other.db"} == set()
    assert {"postgres", "prefect"} <= {entry.name for entry in (tmp_path / "var").iterdir()}
    assert [*(tmp_path / "var").rglob("var")] == [], "one home, although Prefect works elsewhere"
    assert sorted(entry.name for entry in work.iterdir()) == sorted(FILES)
