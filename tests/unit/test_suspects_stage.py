"""Stage `suspects` on a small snapshot with planted wrong labels, after the real `split`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import TrainingImpossible
from core.label_reports import Suspect
from pipelines.stages import resolve, split, suspects
from pipelines.stages.embed import distinct_phrases
from pipelines.stages.files import CHECK, DATA, EMBEDDINGS
from pipelines.stages.vectors import store_vectors
from tests.support.training import vectors_of, write_snapshot

ROWS = Path("data/notes/rows.parquet")
OTHER = {"heart": "lung", "lung": "bone", "bone": "heart"}
PLANTED = (40, 400, 800, 1100, 1400)
"""Places of the rows that get a wrong label."""


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch, **block: Any) -> pa.Table:
    """Write params, snapshot, checks and embeddings; return the rows as they should be."""
    monkeypatch.chdir(folder)
    source = {"query": "queries/notes.sql", "label": "organ"}
    params = {"classifiers": {"organ": {"source": source, **block}}}
    Path("params.yaml").write_text(json.dumps(params))
    resolve.run()
    write_snapshot(folder)
    right = pq.read_table(ROWS)
    labels = right["organ"].to_pylist()
    for place in PLANTED:
        labels[place] = OTHER[labels[place]]
    place = right.column_names.index("organ")
    pq.write_table(right.set_column(place, "organ", pa.array(labels)), ROWS)
    CHECK.mkdir(parents=True)
    (CHECK / "result.json").write_text(json.dumps({"verdict": "pass", "checks": []}))
    phrases = distinct_phrases(DATA)
    store_vectors(EMBEDDINGS, phrases, vectors_of(phrases), "words")
    return right


def written(name: str) -> Any:
    return json.loads(Path(f"build/classifiers/organ/suspects/{name}.json").read_text())


def test_planted_rows_are_named_by_their_ids_and_with_the_right_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = prepare(tmp_path, monkeypatch)
    split.run("organ")
    suspects.run("organ")
    found = [Suspect.of_json(fields) for fields in written("suspects")["suspects"]]
    truth = dict(zip(right["id"].to_pylist(), right["organ"].to_pylist(), strict=True))
    named = {row.id: suspect for suspect in found for row in suspect.rows}
    planted = {right["id"][place].as_py() for place in PLANTED}
    assert len(planted & set(named)) >= 0.7 * len(planted)
    assert len(planted & set(named)) >= 0.5 * len(named)
    for row in planted & set(named):
        assert named[row].proposed == truth[row]
    phrases = dict(zip(right["id"].to_pylist(), right["phrase"].to_pylist(), strict=True))
    assert all(row.phrase == phrases[row.id] for suspect in found for row in suspect.rows)

    labels = written("labels")
    assert (labels["labels"], set(labels)) == (
        3,
        {"phrases", "labels", "accuracy", "merges", "splits"},
    )
    assert "Labels that are probably wrong" in Path(
        "build/classifiers/organ/suspects/table.md"
    ).read_text(encoding="utf-8")


def test_costs_of_a_label_that_the_snapshot_lacks_stop_the_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, monkeypatch, costs={"labels": {"heart": 2.0, "spleen": 5.0}})
    with pytest.raises(TrainingImpossible, match="spleen"):
        split.run("organ")
