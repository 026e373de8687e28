"""The table of heads compared: what it shows, and its cost when no head is listed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.stages import compare

METRICS = dict.fromkeys(compare.COLUMNS, 0.5)
HEADS = {
    "hybrid_svm": {**METRICS, "weighted_f1": 0.97, "bytes": 2_400_000},
    "logistic C=3.0": {**METRICS, "weighted_f1": 0.9, "bytes": 5_000},
    "mlp": {
        "weighted_f1": 0.98,
        "macro_f1": 0.9,
        "accuracy": 0.9,
        "calibration_error": 0.01,
        "bytes": 1_000_000,
    },
}


def test_the_best_head_comes_first_and_the_chosen_one_is_marked() -> None:
    lines = compare.comparison_page(HEADS, chosen="hybrid_svm").splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "head",
        "---",
        "mlp",
        "**hybrid_svm** (chosen)",
        "logistic C=3.0",
    ]
    assert lines[4] == "| mlp | 0.9800 | 0.9000 | 0.9000 | 0.0100 | – | – | – | – | 1.00 |"
    assert {line.count("|") for line in lines[2:]} == {11}


def test_no_head_is_no_table() -> None:
    assert compare.comparison_page({}, chosen="logistic") == ""


def test_without_a_head_listed_nothing_is_read_and_no_heavy_library_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = Path("build/spec/organ/compare.json")
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"chosen": "logistic", "heads": {}, "seed": 7}))
    heavy = "{'scipy', 'sklearn', 'pandas', 'tensorflow', 'pydantic'}"
    code = (
        "import sys; from pipelines.stages import compare; compare.run('organ'); "
        f"assert not {heavy} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(Path("build/classifiers/organ/comparison/scores.json").read_text()) == {
        "chosen": "logistic",
        "heads": {},
    }
    assert Path("build/classifiers/organ/comparison/table.md").read_bytes() == b""
