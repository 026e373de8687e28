import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    not (ROOT / "build/classifiers/block/evaluation/reference.parquet").is_file() or not any((ROOT / "data").glob("*/rows.parquet")),
    reason="needs the demo's snapshot and models: make data, then dvc repro",
)
def test_the_drift_benchmark_measures_every_bar() -> None:
    command = [sys.executable, "-m", "benchmarks.drift", "--quick", "--json", "--repetitions", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    values = {bar["name"]: bar["value"] for bar in told["bars"]}
    assert len(values) == 7
    assert None not in values.values()
    assert {bar["limit"] for bar in told["bars"]} == {5.0, 1.0, 95.0, 85.0, 30.0}
    assert set(told["figures"]) >= {"2000", "500", "report_seconds", "machine", "versions", "input"}
