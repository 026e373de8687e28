"""A quarter of a simulated year with the real embedder and a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.year.bars import make_bars
from benchmarks.year.plan import Setting, machinery_of
from benchmarks.year.report import tables_of
from core.params.heads import LogisticHead
from core.params.schema import load_params
from core.settings import REPOSITORY
from operations.simulation.figures import summarise
from operations.simulation.loop import play
from operations.simulation.picture import draw_year
from operations.simulation.policies import POLICIES
from operations.simulation.runs import open_place
from operations.simulation.vectors import Vectors
from pipelines.model.embedder import Embed

pytestmark = pytest.mark.filterwarnings("default")  # Evidently's own dependencies warn
QUARTER = Setting(scale="small", days=91, label="chapter")


@pytest.fixture(scope="module")
def notes(
    embed: Embed, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[int, dict[str, Any]]]:
    block = load_params(REPOSITORY / "params.yaml").classifier("chapter")
    block = block.model_copy(update={"head": LogisticHead(kind="logistic")})
    machinery = machinery_of(block, Vectors(embed, embedder_id="use"))
    year = QUARTER.draw(1)
    played = {}
    for name in ("never", "default"):
        with open_place(tmp_path_factory.mktemp(name), name, machinery) as place:
            played[name] = {1: play(year, POLICIES[name], place)}
    return played


def test_the_default_keeps_up_better_than_no_retraining(
    notes: dict[str, dict[int, dict[str, Any]]],
) -> None:
    figures = summarise(notes)
    assert figures["default"]["weighted_f1"][0] > figures["never"]["weighted_f1"][0] + 0.02
    assert figures["default"]["fits"]["retrainings"] >= 12


def test_corrections_are_right_after_a_day(notes: dict[str, dict[int, dict[str, Any]]]) -> None:
    right, asked = notes["default"][1]["probes"]["corrections_fresh"]
    assert asked >= 10
    assert right / asked >= 0.9
    assert notes["never"][1]["probes"]["corrections_day"][0] == 0


def test_the_report_can_be_printed(
    notes: dict[str, dict[int, dict[str, Any]]], tmp_path: Path
) -> None:
    figures = summarise(notes)
    assert all(table.startswith("| ") for table in tables_of(figures))
    assert len(make_bars(figures, notes)) == 15
    assert draw_year(notes, file=tmp_path / "year.png").stat().st_size > 10_000
