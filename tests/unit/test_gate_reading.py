"""What the gate reads from a build: judged heads, one memory, and the rows since a drift."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.contracts import ModelVersion
from core.files import write_json
from core.params.schema import Params
from pipelines.gate.answers import answer_before_and_after
from pipelines.gate.decide import decide
from pipelines.gate.drifted import UnlearntDrift
from pipelines.gate.reading import GateContext, read_flips, read_gate_rows
from pipelines.gate.recipe import Recipe
from pipelines.model.head_file import load_head, save_head
from pipelines.model.rules import Rule
from pipelines.model.text import clean_phrase
from pipelines.model_store import store_version
from pipelines.stages import evaluate, split, train
from pipelines.stages.files import CHECK, EMBEDDINGS, SPEC
from pipelines.stages.resolve import specs
from pipelines.stages.vectors import store_vectors
from pipelines.workspace import Workspace
from tests.support.training import LAST_DAY, vectors_of, write_snapshot

BLOCK = {
    "source": {"query": "queries/notes.sql", "label": "organ"},
    "head": {"kind": "logistic"},
}
PARAMS = Params.model_validate({"seed": 7, "classifiers": {"organ": BLOCK}})
GATE = PARAMS.classifier("organ").gate


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The stages' outputs for a small snapshot."""
    folder = tmp_path_factory.mktemp("build")
    write_snapshot(folder)
    with chdir(folder):
        for path, content in specs(PARAMS).items():
            write_json(SPEC / path, content)
        write_json(CHECK / "result.json", {"verdict": "pass", "checks": []})
        rows = pq.read_table("data/notes/rows.parquet", columns=["phrase"])
        phrases = sorted({clean_phrase(phrase) for phrase in rows["phrase"].to_pylist()})
        store_vectors(EMBEDDINGS, phrases, vectors_of(phrases), "words")
        for stage in (split, train, evaluate):
            stage.run("organ")
    yield Workspace(folder, "", folder / "cache")


@pytest.fixture(scope="module")
def champion(built: Workspace, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    made = built.folder / "build" / "classifiers" / "organ"
    return store_version(
        tmp_path_factory.mktemp("models"),
        classifier="organ",
        version="1",
        model=made / "model",
        evaluation=made / "evaluation",
    )


def test_a_first_version_has_rows_and_nothing_beside_them(built: Workspace) -> None:
    rows = read_gate_rows(built, "organ", "notes", GateContext(None))
    assert rows.champion is None and rows.drift is None and not rows.same_head
    assert rows.judges.all() and rows.weights.mean() == pytest.approx(1)
    assert decide(rows, GATE, seed=1).kind == "promote"


def test_the_champions_own_build_is_the_same_head_and_flips_nothing(
    built: Workspace, champion: ModelVersion
) -> None:
    rows = read_gate_rows(built, "organ", "notes", GateContext(champion))
    assert rows.champion is not None
    assert rows.same_head and (rows.candidate == rows.champion).all()
    assert decide(rows, GATE, seed=1).kind == "keep"
    assert read_flips(built, "organ", champion).share == 0


def test_the_gain_since_a_drift_is_read_from_all_recent_rows(
    built: Workspace, champion: ModelVersion
) -> None:
    began = LAST_DAY - timedelta(days=30)
    context = GateContext(champion, drift=UnlearntDrift(began, unanswered=True))
    rows = read_gate_rows(built, "organ", "notes", context)
    assert rows.drift is not None
    recent = pq.read_table(built.folder / "build/classifiers/organ/split/recent.parquet")
    since = [moment >= began for moment in recent["occurred_at"].to_pylist()]
    assert len(rows.drift.truth) == sum(since)
    assert {"drift_accuracy_before", "drift_gain_p"} <= decide(rows, GATE, seed=1).evidence.keys()


def test_once_a_drift_was_answered_both_heads_have_the_memory_of_today(built: Workspace) -> None:
    """The champion says one label of everything: its memory alone can be right."""
    made = built.folder / "build" / "classifiers" / "organ"
    head = load_head(made / "model")
    empty = {name: np.zeros_like(head.arrays[name]) for name in ("weights", "bias")}
    champion = replace(head, arrays={**head.arrays, **empty})
    recent = pq.read_table(made / "split" / "recent.parquet")
    truth = np.array(recent["label"].to_pylist(), dtype=str)
    right = []
    for unanswered in (True, False):
        drift = UnlearntDrift(LAST_DAY - timedelta(days=3000), unanswered=unanswered)
        before, after = answer_before_and_after(built, "organ", champion, recent, drift)
        right.append((before == truth).mean())
        assert (after == truth).mean() > 0.9
    assert right[0] < 0.5 < right[1], "before the drift, the memory knew nothing"


def test_a_source_that_stopped_before_the_drift_gains_nothing(
    built: Workspace, champion: ModelVersion
) -> None:
    context = GateContext(
        champion, drift=UnlearntDrift(LAST_DAY + timedelta(days=2), unanswered=True)
    )
    rows = read_gate_rows(built, "organ", "notes", context)
    assert rows.drift is not None and not len(rows.drift.truth)
    verdict = decide(rows, GATE, seed=1)
    assert verdict.kind == "keep" and "drift_rows" not in verdict.evidence


def test_a_refitted_recipe_answers_for_the_champion(
    built: Workspace, champion: ModelVersion
) -> None:
    block = Params.model_validate(
        {"seed": 7, "classifiers": {"organ": {**BLOCK, "head": {"kind": "majority"}}}}
    ).classifier("organ")
    context = GateContext(champion, refit=Recipe(block.head, 7))
    rows = read_gate_rows(built, "organ", "notes", context)
    judged = read_gate_rows(built, "organ", "notes", replace(context, refit=None))
    assert rows.champion is not None and judged.champion is not None
    assert np.mean(rows.champion == rows.truth) < np.mean(judged.champion == judged.truth)


def test_a_refitted_recipe_keeps_the_champions_rules(
    built: Workspace, champion: ModelVersion, tmp_path: Path
) -> None:
    head = load_head(Path(champion.head_location))
    rule = Rule(".", head.labels[0], 0.9)
    digest = save_head(replace(head, rules=(rule,)), tmp_path)
    ruled = ModelVersion("organ", "2", str(tmp_path), digest, champion.embedder_id)
    recipe = Recipe(PARAMS.classifier("organ").head, 7)
    answers = [
        read_gate_rows(built, "organ", "notes", GateContext(version, refit=recipe)).champion
        for version in (champion, ruled)
    ]
    without, with_rule = (np.sum(answer == rule.label) for answer in answers)
    assert with_rule > without
