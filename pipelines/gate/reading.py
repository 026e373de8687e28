"""Reads what the gate judges from a retraining's workspace: test rows, answers of both versions,
recent traffic.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.contracts import ModelVersion
from pipelines.gate.answers import (
    answer_before_and_after,
    judging_respondent,
    majority_label,
    read_labels,
    serving_respondent,
)
from pipelines.gate.assembly import ChampionAnswers, assemble_rows
from pipelines.gate.drifted import UnlearntDrift
from pipelines.gate.flips import Flips, count_flips
from pipelines.gate.recipe import Recipe, fit_recipe
from pipelines.gate.rows import GateRows
from pipelines.model.head_file import Head, head_digest, load_checked, load_head
from pipelines.model_store import judged_head
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class GateContext:
    """What the gate knows beside the files.

    `unselected` are the ids of feedback rows that were not chosen because an answer was wrong;
    `drift` is the newest one since the champion's fit, which is at `fitted_at`; `champion_days` is
    its age; `proved` is the last version with a proved gain, None where that is the champion;
    `refit` is the champion's recipe where its own heads may have learnt the test rows.
    """

    champion: ModelVersion | None
    unselected: Collection[str] = ()
    drift: UnlearntDrift | None = None
    fitted_at: datetime | None = None
    champion_days: float = 0.0
    proved: ModelVersion | None = None
    refit: Recipe | None = None


def read_gate_rows(
    workspace: Workspace, classifier: str, dataset: str, context: GateContext
) -> GateRows:
    """Return the candidate's test rows with everything that the gate asks of them."""
    folder = workspace.folder / "build" / "classifiers" / classifier
    answers = pq.read_table(folder / "evaluation" / "predictions.parquet")
    return assemble_rows(
        pq.read_table(folder / "split" / "recent.parquet"),
        read_labels(workspace, classifier),
        truth=_strings(answers, "label"),
        candidate=_strings(answers, "predicted"),
        floor=majority_label(folder),
        selected=_selected(workspace, dataset, context),
        champion=_champion_answers(workspace, classifier, context),
    )


def _champion_answers(
    workspace: Workspace, classifier: str, context: GateContext
) -> ChampionAnswers | None:
    champion = context.champion
    head = _comparable_head(workspace, classifier, context)
    if champion is None or head is None:
        return None
    respondent = judging_respondent(workspace, classifier)
    drift = context.drift
    model = workspace.folder / "build" / "classifiers" / classifier / "model"
    return ChampionAnswers(
        judged=partial(respondent.answer_rows, head),
        labels=head.labels,
        fitted_at=context.fitted_at,
        days=context.champion_days,
        drift=drift,
        around_drift=partial(answer_before_and_after, workspace, classifier, head, drift=drift)
        if drift
        else None,
        proved=partial(respondent.answer_rows, judged_head(context.proved))
        if context.proved
        else None,
        same_head=champion.head_digest == head_digest(model),
    )


def _comparable_head(workspace: Workspace, classifier: str, context: GateContext) -> Head | None:
    """Return the champion's head that has not seen the test rows, with the champion's rules."""
    champion = context.champion
    if champion is None:
        return None
    if context.refit is None:
        return judged_head(champion)
    head = fit_recipe(workspace, classifier, context.refit, champion.embedder_id)
    served = load_checked(Path(champion.head_location), digest=champion.head_digest)
    rules = tuple(rule for rule in served.rules if rule.label in head.labels)
    return replace(head, rules=rules)


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


def _selected(workspace: Workspace, dataset: str, context: GateContext) -> set[str]:
    """Return the ids of the feedback rows that were chosen because an answer was wrong."""
    stored = pq.read_table(
        workspace.folder / "data" / dataset / "rows.parquet", columns=["id", "origin"]
    )
    late = stored.filter(pc.equal(stored["origin"], "feedback"))["id"].to_pylist()
    return set(late) - set(context.unselected)


def _strings(rows: pa.Table, column: str) -> np.ndarray:
    return np.array(rows[column].to_pylist(), dtype=str)
