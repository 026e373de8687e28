"""The times of the stages that ran for a classifier."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.stage_times import read_times, write_times


def test_a_classifier_has_the_times_of_its_stages_and_of_those_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_times(tmp_path, "organ") == {}
    write_times("embed", None)
    write_times("train", "organ")
    write_times("train", "organ_2")
    times = read_times(tmp_path, "organ")
    assert sorted(times) == ["embed", "train"]
    assert all(stage["cpu_seconds"] > 0 and stage["seconds"] > 0 for stage in times.values())
    assert times["train"]["cpu_seconds"] <= read_times(tmp_path, "organ_2")["train"]["cpu_seconds"]
