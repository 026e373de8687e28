"""From a bare clone, `make data` and `dvc repro` end with the committed dvc.lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import ROOT

EXACT = ("resolve", "check", "split@")
"""Stages without floating-point kernels: equal on every machine. The others are equal on machines of one kind."""


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    environment = {**kept, "PATH": path, "PERENNIAL_HOME": str(folder / "var")}
    for command in ([sys.executable, "-m", "cli.app", "snapshot", "--demo"], ["dvc", "repro"]):
        done = subprocess.run(
            command, cwd=clone, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return clone


def stages(folder: Path) -> dict[str, list]:
    lock = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return {
        name: [(out["path"], out["md5"]) for out in stage["outs"]] for name, stage in lock.items()
    }


def test_the_demo_snapshot_is_the_committed_one(reproduced: Path) -> None:
    assert (reproduced / "data.dvc").read_text() == (ROOT / "data.dvc").read_text()
    assert (
        json.loads((reproduced / "data" / "diagnoses" / "snapshot.json").read_text())["rows"]
        >= 200_000
    )


def test_the_default_head_of_block_is_small(reproduced: Path) -> None:
    assert (
        sum(
            file.stat().st_size
            for file in (reproduced / "build" / "classifiers" / "block" / "model").iterdir()
        )
        <= 8_000_000
    )


def test_the_lock_is_the_committed_one(reproduced: Path) -> None:
    found, committed = stages(reproduced), stages(ROOT)
    assert {
        name for name in found if name.startswith(EXACT) and found[name] != committed[name]
    } == set()
    if found != committed:
        assert largest_difference(reproduced, found, committed) < 0.002


def largest_difference(
    reproduced: Path, found: dict[str, list], committed: dict[str, list]
) -> float:
    """On a machine of another kind, floats differ in the last places; the scores may not."""
    differing = [
        name.partition("@")[2]
        for name in found
        if name.startswith("evaluate@") and found[name] != committed[name]
    ]
    scores = [
        json.loads(
            (reproduced / "build" / "classifiers" / key / "evaluation" / "metrics.json").read_text()
        )
        for key in differing
    ]
    expected = json.loads(
        (ROOT / "tests" / "e2e" / "expected_scores.json").read_text(encoding="utf-8")
    )
    return max(
        (
            abs(score["weighted_f1"] - expected[key])
            for key, score in zip(differing, scores, strict=True)
        ),
        default=0.0,
    )


def test_a_finished_checkout_has_nothing_to_do(reproduced: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["dvc", "repro"], cwd=reproduced, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "Running stage" not in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_drift_benchmark_measures_every_bar(reproduced: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.drift", "--quick", "--json", "--repetitions", "2"]
    done = subprocess.run(
        command,
        cwd=reproduced,
        env={**os.environ, "PYTHONPATH": str(reproduced)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    values = {bar["name"]: bar["value"] for bar in told["bars"]}
    assert len(values) == 7
    assert None not in values.values()
    assert {bar["limit"] for bar in told["bars"]} == {5.0, 1.0, 95.0, 85.0, 30.0}
    assert set(told["figures"]) >= {"2000", "500", "report_seconds", "machine", "versions", "input"}
