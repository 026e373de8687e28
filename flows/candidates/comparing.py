"""The step of a retraining that compares candidate and champion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ModelVersion, Verdict
from core.deployments import current_champions
from core.errors import HeadRefused, ParamsError, UnknownVersion
from core.snapshots import published_summary
from core.tables.loop import decision
from flows.candidates.bias_changes import bias_changes
from flows.candidates.error_report import complete_report
from flows.candidates.promoting import COMPARED
from flows.candidates.refusals import read_refusals
from flows.context import LoopContext
from flows.run import Run, embedder_id
from monitoring.drift.outlook import drift_outlook, with_outlook
from monitoring.drift.reviewed import read_reviewed
from monitoring.drift.unanswered import drift_to_learn
from monitoring.labels.unselected import unselected_requests
from monitoring.windows.learnt import trained_as_of
from monitoring.windows.pending import learnt_drift
from monitoring.windows.scoring import read_reference
from pipelines.gate.decide import CHANCE_ROUTES, decide
from pipelines.gate.flips import hold_large_changes
from pipelines.gate.holds import gone_labels, hold_biased, hold_by_hand, hold_gone_labels
from pipelines.gate.reading import GateContext, read_flips, read_gate_rows
from pipelines.gate.recipe import Recipe, changed_recipe
from pipelines.gate.refusals import hold_moved_refusals
from pipelines.model.head_file import load_head
from pipelines.model.promise import promise_sentence
from pipelines.model.rules import describe_rule
from pipelines.model.self_training import describe_self_training
from pipelines.model_store import has_judged_head, stored_version
from pipelines.provenance import params_at
from pipelines.stages.served import served_problem
from pipelines.workspace import Workspace

SECONDS_PER_DAY = 86_400.0


def compare_with_champion(
    context: LoopContext, workspace: Workspace, classifier: str, run: Run
) -> Verdict:
    """Score candidate and champion on the candidate's test rows and apply the gate.

    The evidence names the version that the candidate was compared with, "" for none.
    """
    champion = context.champions().get(classifier)
    compared: dict[str, Any] = {COMPARED: champion.version if champion else ""}
    if champion and champion.embedder_id != embedder_id(workspace):
        reason = (
            "the champion uses another embedder, so both cannot be scored on the same vectors; "
            "promote the candidate with --force if the change is intended"
        )
        return Verdict("reject", (reason,), {"champion_embedder": champion.embedder_id, **compared})

    built = workspace.folder / "build" / "classifiers" / classifier
    evaluation = json.loads((built / "evaluation" / "evaluation.json").read_text())
    compared |= _described_outcomes(evaluation)
    if problem := served_problem(evaluation["served"]):
        return Verdict("reject", (problem,), {"served": evaluation["served"], **compared})

    block = context.params.classifier(classifier)
    gate_context = _gate_context(context, champion, classifier, run)
    rows = read_gate_rows(workspace, classifier, block.source.dataset, gate_context)
    complete_report(built, rows.champion, champion=compared[COMPARED])
    verdict = decide(rows, block.gate, seed=context.params.seed, favour=block.favour)
    if champion is not None:
        compared["champion_head"] = champion_head(champion, gate_context.refit)
        verdict = _hold_changes(context, workspace, champion, verdict)
    bias = json.loads((built / "bias" / "bias.json").read_text())
    verdict = hold_biased(verdict, bias, bias_changes(built, bias, rows.champion))
    verdict = hold_by_hand(verdict, block.gate)
    reference = read_reference(built / "evaluation" / "reference.parquet")
    began = _learnt_drift(context, classifier, fitted_at=run.now)
    outlook = drift_outlook(reference, drift=block.drift, began=began)
    verdict = with_outlook(verdict, outlook)
    return Verdict(verdict.kind, verdict.reasons, {**verdict.evidence, **compared})


def _described_outcomes(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was found of rules and self-training, and what the version promises."""
    described: dict[str, Any] = {}
    if "rules" in evaluation:
        described["rules"] = [describe_rule(rule) for rule in evaluation["rules"]]
    if "self_training" in evaluation:
        described["self_training"] = describe_self_training(evaluation["self_training"])
    if promise := promise_sentence(evaluation["abstention"]):
        described["promise"] = promise
    return described


def _hold_changes(
    context: LoopContext, workspace: Workspace, champion: ModelVersion, verdict: Verdict
) -> Verdict:
    """Let a person decide where the candidate changes much of what clients get."""
    gate = context.params.classifier(champion.classifier).gate
    flips = read_flips(workspace, champion.classifier, champion)
    verdict = hold_large_changes(verdict, flips, gate)
    verdict = hold_gone_labels(verdict, _gone_labels(context, workspace, champion))
    return hold_moved_refusals(verdict, read_refusals(context, workspace, champion), gate)


def champion_head(champion: ModelVersion, refit: Recipe | None) -> str:
    """Say which of the champion's heads was compared with the candidate's judged head."""
    if refit is not None:
        return "its recipe, fitted again on this split: the seed or test_days have changed"
    if has_judged_head(champion):
        return "judged: it has not seen the test rows"
    return "its only head: the version was made before versions had a judged one"


def _gone_labels(
    context: LoopContext, workspace: Workspace, champion: ModelVersion
) -> dict[str, float]:
    """Return the labels that the candidate lost, with their share of the champion's snapshot."""
    classifier = champion.classifier
    source = context.params.classifier(classifier).source
    before = load_head(Path(champion.head_location)).labels
    after = load_head(workspace.folder / "build" / "classifiers" / classifier / "model").labels
    tag = _published_tag(context, champion)
    with context.engine.connect() as connection:
        summary = published_summary(connection, source.dataset, git_tag=tag)
    counts = summary["labels"].get(source.label, {}) if summary else {}
    return gone_labels(before, after, counts=counts)


def _published_tag(context: LoopContext, champion: ModelVersion) -> str:
    """Return the tag of the champion's training, "" when MLflow no longer has it."""
    try:
        tags = context.registry.version(champion.classifier, champion.version).tags
    except UnknownVersion:
        return ""
    return tags.get("git_tag", "")


def _gate_context(
    context: LoopContext, champion: ModelVersion | None, classifier: str, run: Run
) -> GateContext:
    if champion is None:
        return GateContext(None)
    with context.engine.connect() as connection:
        deployed = current_champions(connection)[classifier]
        unselected = unselected_requests(connection, classifier)
        proved = last_proved_version(connection, classifier)
        fitted_at = trained_as_of(connection, classifier=classifier, version=champion.version)
        fitted_at = fitted_at or deployed.since
        drift = drift_to_learn(connection, classifier, since=fitted_at, now=run.now)
    refit = _changed_recipe(context, champion)
    age = (run.now - fitted_at).total_seconds() / SECONDS_PER_DAY
    return GateContext(
        champion=champion,
        unselected=unselected,
        drift=drift,
        fitted_at=fitted_at,
        champion_days=max(age, 0.0),
        proved=None if refit else _retained(context, champion, proved),
        refit=refit,
    )


def _learnt_drift(context: LoopContext, classifier: str, *, fitted_at: datetime) -> datetime | None:
    """Return the start of the newest drift, which a candidate has learnt."""
    with context.engine.connect() as connection:
        reviewed = read_reviewed(connection, classifier)
        return learnt_drift(connection, reviewed, classifier, version="", fitted_at=fitted_at)


def _changed_recipe(context: LoopContext, champion: ModelVersion) -> Recipe | None:
    """Return the champion's recipe when the seed or `test_days` have changed since its training.

    A champion whose commit or params can no longer be read is compared as it is.
    """
    try:
        before = params_at(context.settings.repository, _published_tag(context, champion))
    except ParamsError:
        return None
    return changed_recipe(before, context.params, champion.classifier) if before else None


def _retained(context: LoopContext, champion: ModelVersion, version: str) -> ModelVersion | None:
    """The version, where it is another than the champion, still there, and of the same embedder."""
    if version in ("", champion.version):
        return None
    models = context.settings.models
    try:
        proved = stored_version(models, classifier=champion.classifier, version=version)
    except (UnknownVersion, HeadRefused):
        return None
    return proved if proved.embedder_id == champion.embedder_id else None


def last_proved_version(connection: Connection, classifier: str) -> str:
    """Return the newest version promoted for a proved gain, "" without one; decisions of older
    releases name no ways of being better.
    """
    query = sa.select(decision.c.evidence).where(
        decision.c.classifier == classifier,
        decision.c.subject == "gate",
        decision.c.kind == "promote",
    )
    for evidence in connection.scalars(query.order_by(decision.c.id.desc())):
        if CHANCE_ROUTES & set(evidence.get("better", CHANCE_ROUTES)):
            return str(evidence.get("version", ""))
    return ""
