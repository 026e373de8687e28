"""From a bare clone, `make data` and `dvc repro` end with the committed dvc.lock."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.installations import Place, new_place

EXACT = ("resolve", "check", "split@")
"""Stages without floating-point kernels: equal on every machine.

The others are equal on machines of one kind.
"""
FIGURES = {"2000", "500", "report_seconds", "machine", "versions", "input"}
EXPECTED_SCORES = Path(__file__).with_name("expected_scores.json")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return new_place(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def reproduced(bare: Place) -> Path:
    bare.run(sys.executable, "-m", "cli.app", "snapshot", "--demo", timeout=900)
    bare.run("dvc", "repro", timeout=900)
    return bare.clone


def outputs_of(lock: str) -> dict[str, list[tuple[str, str]]]:
    """Path and hash of every output, by stage, from the text of a dvc.lock."""
    stages = yaml.safe_load(lock)["stages"]
    return {
        name: [(out["path"], out["md5"]) for out in stage["outs"]] for name, stage in stages.items()
    }


def test_the_demo_snapshot_is_the_committed_one(bare: Place, reproduced: Path) -> None:
    assert (reproduced / "data.dvc").read_text() == bare.run("git", "show", "HEAD:data.dvc")
    snapshot = json.loads((reproduced / "data" / "diagnoses" / "snapshot.json").read_text())
    assert snapshot["rows"] >= 200_000


def test_the_default_head_of_block_is_small(reproduced: Path) -> None:
    model = reproduced / "build" / "classifiers" / "block" / "model"
    assert sum(file.stat().st_size for file in model.iterdir()) <= 8_000_000


def test_the_lock_is_the_committed_one(bare: Place, reproduced: Path) -> None:
    computed = outputs_of((reproduced / "dvc.lock").read_text(encoding="utf-8"))
    committed = outputs_of(bare.run("git", "show", "HEAD:dvc.lock"))
    exact = {name for name in computed if name.startswith(EXACT)}
    assert {name for name in exact if computed[name] != committed[name]} == set()
    if computed != committed:
        assert largest_difference(reproduced, computed, committed) < 0.002


def largest_difference(
    reproduced: Path,
    computed: dict[str, list[tuple[str, str]]],
    committed: dict[str, list[tuple[str, str]]],
) -> float:
    """On a machine of another kind, floats differ in the last places; the scores may not."""
    expected = json.loads(EXPECTED_SCORES.read_text(encoding="utf-8"))
    classifiers = reproduced / "build" / "classifiers"
    differences = [0.0]
    for name, outputs in computed.items():
        stage, _, key = name.partition("@")
        if stage == "evaluate" and outputs != committed[name]:
            metrics = json.loads((classifiers / key / "evaluation" / "metrics.json").read_text())
            differences.append(abs(metrics["weighted_f1"] - expected[key]))
    return max(differences)


def test_a_finished_checkout_has_nothing_to_do(bare: Place, reproduced: Path) -> None:
    assert "Running stage" not in bare.run("dvc", "repro")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_drift_benchmark_measures_every_bar(bare: Place, reproduced: Path) -> None:
    arguments = ["--quick", "--json", "--repetitions", "2"]
    printed = bare.run(sys.executable, "-m", "benchmarks.drift", *arguments, timeout=1800)
    result = json.loads(printed)
    values = {bar["name"]: bar["value"] for bar in result["bars"]}
    assert len(values) == 7
    assert None not in values.values()
    assert {bar["limit"] for bar in result["bars"]} == {5.0, 1.0, 95.0, 85.0, 30.0}
    assert set(result["figures"]) >= FIGURES
