"""What champion and candidate refuse of the phrases that clients asked lately."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy.engine import Engine

from core.tables.loop import inference as table
from flows.candidates.refusals import read_refusals
from pipelines.model.abstention import Abstention, save_abstention
from pipelines.model.head_file import save_head
from tests.support.embedders import build_tiny_embedder
from tests.support.heads import make_head, store_head
from tests.support.inferences import inference

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERYTHING = Abstention(threshold=100.0, novelty_limit=0.0, novelty_weight=0.0)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The build of a candidate; its rows label the phrase `known`."""
    folder = tmp_path_factory.mktemp("workspace")
    build_tiny_embedder(folder / "build" / "embedder")
    built = folder / "build" / "classifiers" / "organ"
    save_head(make_head("2"), built / "model")
    labels = pa.table(
        {
            "id": ["1"],
            "cleaned": ["known"],
            "label": ["heart"],
            "occurred_at": pa.array([NOW], pa.timestamp("us", "UTC")),
            "from_source": [True],
            "test": [False],
        }
    )
    (built / "split").mkdir()
    pq.write_table(labels, built / "split" / "labels.parquet")
    return SimpleNamespace(folder=folder)


def test_both_versions_are_asked_beside_the_newest_memory(
    workspace: Any, engine: Engine, tmp_path: Path
) -> None:
    champion = store_head(tmp_path, "organ", "1")
    context: Any = SimpleNamespace(engine=engine)
    evaluation = workspace.folder / "build" / "classifiers" / "organ" / "evaluation"
    save_abstention(None, evaluation)
    assert read_refusals(context, workspace, champion) is None, "neither refuses anything"
    save_abstention(EVERYTHING, evaluation)
    assert read_refusals(context, workspace, champion) is None, "nobody has asked anything"

    names = ["known"] * 50 + [f"new {number}" for number in range(150)]
    rows = [asdict(inference(number, cleaned=name)) for number, name in enumerate(names)]
    with engine.begin() as connection:
        connection.execute(table.insert(), [{**row, "flags": []} for row in rows])
    refusals = read_refusals(context, workspace, champion)
    assert refusals is not None
    assert (refusals.answers, refusals.before, refusals.after) == (200, 0.0, 0.75)
    assert refusals.chance < 1e-9
    save_abstention(EVERYTHING, Path(champion.head_location))
    after = read_refusals(context, workspace, champion)
    assert after is not None and after.before == after.after == 0.75
