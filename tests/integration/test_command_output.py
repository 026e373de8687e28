"""What a person sees of a real retraining and a real watch: stages, the result, nothing else."""

from __future__ import annotations

import re

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
LINE = re.compile(r"[A-Z].* +[0-9]+\.[0-9] s")
pytestmark = pytest.mark.timeout(1200)


def test_a_retraining_is_a_line_a_stage_and_a_result_of_ten_lines(
    place_with_champion: Place,
) -> None:
    done = place_with_champion.run("cli.app", "retrain", "organ")
    assert done.returncode in (0, 3), done.stderr
    assert [stage for stage in stages(done.stderr) if stage in STAGES] == STAGES
    result = done.stdout.splitlines()
    assert result[0].startswith("organ: ")
    assert 5 <= len(result) <= 10
    log = place_with_champion.settings.home / "logs" / "retrain.log"
    assert '"event": "snapshot"' in log.read_text(encoding="utf-8")


def test_a_watch_without_a_prefect_server_is_quiet_to_its_end(place_with_champion: Place) -> None:
    alone = {"PERENNIAL_PREFECT_PORT": str(free_port())}
    done = place_with_champion.run("cli.app", "watch", "organ", **alone)
    assert done.returncode == 0, done.stderr
    assert stages(done.stderr) == ["Watch one (organ)", "Show watch", "Count log", "Tidy log"]


def stages(screen: str) -> list[str]:
    """The titles of the stages; every line is one of a stage and ends with its seconds."""
    lines = screen.splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    return [line.split("  ")[0] for line in lines]
