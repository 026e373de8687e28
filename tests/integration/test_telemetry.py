"""Each dependency that could call home is asked whether it would."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from machine.environment import telemetry_off


@pytest.mark.parametrize(
    ("code", "off"),
    [
        ("from mlflow.telemetry.utils import is_telemetry_disabled as f; print(f())", "True"),
        (
            "from prefect._internal.analytics.enabled import is_telemetry_enabled as f; print(f())",
            "False",
        ),
        (
            "from bentoml._internal.utils.analytics import usage_stats; "
            "print(usage_stats.do_not_track())",
            "True",
        ),
    ],
)
def test_the_dependency_itself_says_that_it_does_not_call_home(code: str, off: str) -> None:
    cleared = {
        key: value
        for key, value in os.environ.items()
        if "TRACK" not in key and "TELEMETRY" not in key and key != "CI"
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=cleared | telemetry_off(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split()[-1:] == [off], done.stderr
