from __future__ import annotations

import json

from pipelines.subprocesses import failed

COMMAND = ["/usr/bin/python", "-m", "dvc", "repro", "split@one"]
NAMED = {
    "code": "training_impossible",
    "wanted": "at least two labels",
    "came": "only same",
    "do": "widen history_days",
    "retryable": False,
}


def test_a_stage_that_names_its_error_is_heard() -> None:
    lines = ['{"event": "stage split"}', json.dumps(NAMED), "ERROR: failed to reproduce"]
    error = failed(COMMAND, lines)
    assert error.wanted.startswith("at least two labels (`") and "split@one" in error.wanted
    assert (error.came, error.do, error.code) == ("only same", "widen history_days", "stage_failed")


def test_a_stage_that_names_none_shows_its_last_lines() -> None:
    error = failed(COMMAND, ["[1]", '{"event": "stage split"}', "ERROR: killed"])
    assert error.came == '[1] | {"event": "stage split"} | ERROR: killed'
    assert error.wanted.endswith("to succeed")
