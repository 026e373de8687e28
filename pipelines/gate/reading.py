"""Reads what the gate judges from a retraining's workspace: test rows, answers of both versions,
recent traffic.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.contracts import ModelVersion
from pipelines.gate.answers import (
    Respondent,
    answer_before_and_after,
    judging_respondent,
    majority_label,
    read_labels,
    serving_respondent,
)
from pipelines.gate.drifted import DriftRows
from pipelines.gate.flips import Flips, count_flips
from pipelines.gate.recipe import Recipe, fit_recipe
from pipelines.gate.rows import GateRows
from pipelines.gate.rules import new_rule_rows
from pipelines.gate.traffic import post_stratify
from pipelines.model.head_file import Head, head_digest, load_checked, load_head
from pipelines.model_store import judged_head
from pipelines.workspace import Workspace

FREQUENT_ROWS = 20
"""From so many recent rows on, a phrase is frequent."""


@dataclass(frozen=True)
class Surroundings:
    """What the gate knows beside the files.

    `unselected` are the ids of feedback rows that were not chosen because an answer was wrong;
    `drift_began` is None without a drift; `fitted_at` is when the champion was fitted, and
    `champion_days` its age; `proved` is the
    last version with a proved gain, None where that is the champion; `refit` is the champion's
    recipe where its own heads may have learnt the test rows.
    """

    champion: ModelVersion | None
    unselected: Collection[str] = ()
    drift_began: datetime | None = None
    fitted_at: datetime | None = None
    champion_days: float = 0.0
    proved: ModelVersion | None = None
    refit: Recipe | None = None


def read_gate_rows(
    workspace: Workspace, classifier: str, dataset: str, around: Surroundings
) -> GateRows:
    """Return the candidate's test rows with everything that the gate asks of them."""
    folder = workspace.folder / "build" / "classifiers" / classifier
    recent = pq.read_table(folder / "split" / "recent.parquet")
    tested = np.array(recent["part"].to_pylist()) == "test"
    rows = recent.filter(pa.array(tested))
    answers = pq.read_table(folder / "evaluation" / "predictions.parquet")
    fresh = ~recent["seen_before"].to_numpy(zero_copy_only=False)
    codes = _codes(recent)
    strata = post_stratify(codes, fresh, tested)
    frequency = np.bincount(codes)[codes][tested]
    champion = around.champion
    head = _comparable_head(workspace, classifier, around)
    respondent = judging_respondent(workspace, classifier)
    return GateRows(
        truth=_strings(answers, "label"),
        phrases=codes[tested],
        candidate=_strings(answers, "predicted"),
        champion=None if head is None else respondent.answer_rows(head, rows),
        floor=majority_label(folder),
        weights=strata.weights[tested],
        judges=_judging(workspace, dataset, rows, around),
        drift=_drift_rows(workspace, classifier, dataset, head, recent, around),
        slices=_slices(rows, fresh[tested], frequency),
        new_rules=_new_rules(workspace, classifier, rows, around.fitted_at),
        champion_labels=frozenset() if head is None else frozenset(head.labels),
        champion_days=around.champion_days,
        proved=_proved_answers(respondent, rows, around.proved),
        uncovered=strata.uncovered,
        same_head=champion is not None and champion.head_digest == head_digest(folder / "model"),
    )


def _new_rules(
    workspace: Workspace, classifier: str, rows: pa.Table, fitted_at: datetime | None
) -> np.ndarray | None:
    if fitted_at is None:
        return None
    return new_rule_rows(read_labels(workspace, classifier), rows, fitted_at)


def _drift_rows(
    workspace: Workspace,
    classifier: str,
    dataset: str,
    head: Head | None,
    recent: pa.Table,
    around: Surroundings,
) -> DriftRows | None:
    if head is None or around.drift_began is None:
        return None
    rows = recent.filter(pa.array(_since(recent, around.drift_began)))
    rows = rows.filter(pa.array(_judging(workspace, dataset, rows, around)))
    before, after = answer_before_and_after(workspace, classifier, head, rows, around.drift_began)
    codes = _codes(rows)
    tested = np.array(rows["part"].to_pylist()) == "test"
    counted = np.bincount(codes)[codes] > 1
    return DriftRows(_strings(rows, "label"), codes, before, after, tested | counted)


def _comparable_head(workspace: Workspace, classifier: str, around: Surroundings) -> Head | None:
    """Return the champion's head that has not seen the test rows."""
    champion = around.champion
    if champion is None:
        return None
    if around.refit is None:
        return judged_head(champion)
    return fit_recipe(workspace, classifier, around.refit, champion.embedder_id)


def read_flips(workspace: Workspace, classifier: str, champion: ModelVersion) -> Flips:
    """Compare the answers of champion and candidate to all recent phrases, by their frequency.

    Served head against served head, each beside the memory of every row.
    """
    folder = workspace.folder / "build" / "classifiers" / classifier
    recent = pq.read_table(folder / "split" / "recent.parquet", columns=["cleaned"])
    counted = recent.group_by("cleaned").aggregate([("cleaned", "count")])
    phrases = counted["cleaned"].to_pylist()
    respondent = serving_respondent(workspace, classifier)
    before = load_checked(Path(champion.head_location), digest=champion.head_digest)
    after = load_head(folder / "model")
    return count_flips(
        respondent.answer(before, phrases),
        respondent.answer(after, phrases),
        counted["cleaned_count"].to_numpy(),
    )


def _proved_answers(
    respondent: Respondent, rows: pa.Table, proved: ModelVersion | None
) -> np.ndarray | None:
    return None if proved is None else respondent.answer_rows(judged_head(proved), rows)


def _judging(
    workspace: Workspace, dataset: str, rows: pa.Table, around: Surroundings
) -> np.ndarray:
    """bool (n,): rows of the source and unselected feedback; before the first champion, every
    row.
    """
    if around.champion is None:
        return np.ones(len(rows), dtype=bool)
    stored = pq.read_table(
        workspace.folder / "data" / dataset / "rows.parquet", columns=["id", "origin"]
    )
    late = set(stored.filter(pc.equal(stored["origin"], "feedback"))["id"].to_pylist())
    selected = late - set(around.unselected)
    return np.array([name not in selected for name in rows["id"].to_pylist()], dtype=bool)


def _since(rows: pa.Table, began: datetime) -> np.ndarray:
    moment = pa.scalar(began, rows["occurred_at"].type)
    return np.asarray(pc.greater_equal(rows["occurred_at"], moment).to_numpy())


def _slices(rows: pa.Table, fresh: np.ndarray, frequency: np.ndarray) -> dict[str, np.ndarray]:
    regions = np.array([region or "" for region in rows["region"].to_pylist()], dtype=str)
    by_region = {f"region {name}": regions == name for name in np.unique(regions) if name}
    return by_region | {
        "new phrases": fresh,
        "known phrases": ~fresh,
        "frequent phrases": frequency >= FREQUENT_ROWS,
        "rare phrases": frequency < FREQUENT_ROWS,
    }


def _codes(rows: pa.Table) -> np.ndarray:
    encoded = rows["cleaned"].combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.to_numpy())


def _strings(rows: pa.Table, column: str) -> np.ndarray:
    return np.array(rows[column].to_pylist(), dtype=str)
