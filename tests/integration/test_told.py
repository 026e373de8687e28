"""What a person sees of a real retraining and a real watch: stages, the result, nothing else."""

from __future__ import annotations

import pytest

from tests.support.places import free_port
from tests.support.retrainings import Place

STAGES = [
    "Take snapshot",
    "Check snapshot",
    "Show checks",
    "Train classifiers",
    "Publish lock",
    "Compare with champion (organ)",
    "Register candidate (organ)",
    "Decide and promote (organ)",
    "Remember retraining (organ)",
    "Show verdict (organ)",
]
pytestmark = pytest.mark.timeout(1200)


def test_a_retraining_is_a_line_a_stage_and_a_result_of_ten_lines(
    place_with_champion: Place,
) -> None:
    done = place_with_champion.run("cli.app", "retrain", "organ")
    assert done.returncode in (0, 3), done.stderr
    stages = [line.split("  ")[0] for line in done.stderr.splitlines()]
    assert stages[:10] == STAGES
    assert stages[10:] in ([], ["Package"])
    result = done.stdout.splitlines()
    assert result[0].startswith("organ: ")
    assert 5 <= len(result) <= 10
    log = place_with_champion.settings.home / "logs" / "retrain.log"
    assert '"event": "stage train"' in log.read_text(encoding="utf-8")


def test_a_watch_without_a_prefect_server_is_quiet_to_its_end(place_with_champion: Place) -> None:
    alone = {"PERENNIAL_PREFECT_PORT": str(free_port())}
    done = place_with_champion.run("cli.app", "watch", "organ", **alone)
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stderr.splitlines()] == [
        "Watch one (organ)",
        "Show watch",
        "Tidy log",
    ]
