"""Self-training from the block to the report, through the real stages on a small snapshot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.model.self_training import NO_PHRASES, ON
from pipelines.stages import evaluate, resolve, split, train
from pipelines.stages.embed import distinct_phrases
from pipelines.stages.files import CHECK, DATA, EMBEDDINGS
from pipelines.stages.vectors import store_vectors
from pipelines.unlabelled import (
    NOT_DRAWN,
    Drawn,
    UnlabelledPhrases,
    read_unlabelled,
    write_unlabelled,
)
from tests.support.training import WORDS, phrases_of, vectors_of, write_snapshot

NOTES = DATA / "notes"
BUILT = Path("build/classifiers/organ")
AWAY = "the log could not be read: connection refused"


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_snapshot(tmp_path)
    CHECK.mkdir(parents=True)
    (CHECK / "result.json").write_text(json.dumps({"verdict": "pass", "checks": []}))
    return tmp_path


def run(**block: Any) -> dict[str, Any]:
    """Run the stages that a block changes; return the evaluation."""
    source = {"query": "queries/notes.sql", "label": "organ"}
    given = {"source": source, "head": {"kind": "logistic"}, "min_rows_per_label": 2, **block}
    Path("params.yaml").write_text(json.dumps({"classifiers": {"organ": given}}))
    resolve.run()
    phrases = distinct_phrases(DATA)
    store_vectors(EMBEDDINGS, phrases, vectors_of(phrases), "words")
    for stage in (split, train, evaluate):
        stage.run("organ")
    evaluation: dict[str, Any] = json.loads((BUILT / "evaluation/evaluation.json").read_text())
    return evaluation


def heads() -> list[bytes]:
    return [(BUILT / "model" / name).read_bytes() for name in ("head.npz", "judged/head.npz")]


def draw(problem: str = "") -> set[str]:
    """Take every phrase that the source could bring, also the labelled ones, as asked."""
    phrases = [] if problem else [phrase for label in WORDS for phrase in phrases_of(label)]
    unlabelled = UnlabelledPhrases(tuple(phrases), (1,) * len(phrases), problem)
    write_unlabelled(NOTES, {"organ": Drawn(unlabelled, label="organ", most=1000)})
    return set(read_unlabelled(NOTES, "organ").cleaned)


def test_phrases_join_without_a_label_and_the_evaluation_has_the_gain(snapshot: Path) -> None:
    assert "self_training" not in run()
    without = heads()
    left = draw()
    report = run(self_training={"min_confidence": 0.5})["self_training"]
    assert 0 < report["joined"] <= report["phrases"] == len(left)
    labelled = pq.read_table(BUILT / "split/labels.parquet")["cleaned"].to_pylist()
    assert not left & set(labelled)
    metrics = json.loads((BUILT / "evaluation/metrics.json").read_text())
    assert metrics["self_training_gain"] == report["gain"]
    assert report["gain_low"] <= report["gain"] <= report["gain_high"]
    assert (heads() != without) == (report["state"] == ON)
    taught = heads()
    again = run(self_training={"min_confidence": 0.5})["self_training"]
    assert (heads(), again) == (taught, report)


@pytest.mark.parametrize("problem", [NOT_DRAWN, AWAY])
def test_without_phrases_the_training_goes_on_and_says_why(snapshot: Path, problem: str) -> None:
    run()
    without = heads()
    if problem == AWAY:
        draw(AWAY)
    report = run(self_training={})["self_training"]
    assert (report["state"], report["problem"]) == (NO_PHRASES, problem)
    assert heads() == without


def test_phrases_that_were_drawn_change_nothing_when_the_block_is_gone(snapshot: Path) -> None:
    run()
    without = heads()
    draw()
    assert "self_training" not in run()
    assert heads() == without
    assert not (BUILT / "model/self_training.json").exists()
