"""Stages that run at once, and what becomes of those that ended when another cannot be saved."""

from __future__ import annotations

import pytest

from pipelines.reproducing import STAGE_MB, count_processes


@pytest.mark.parametrize(
    ("cores", "available", "processes"),
    [
        (2, 100 * STAGE_MB, 2),
        (64, 100 * STAGE_MB, 64),
        (64, 3 * STAGE_MB, 3),
        (64, 4 * STAGE_MB - 1, 3),
        (4, 0, 1),
    ],
)
def test_processes_are_bound_by_cores_and_by_memory(
    cores: int, available: int, processes: int
) -> None:
    assert count_processes(cores=cores, available_mb=available) == processes
