"""Applies the gate's verdict: the decision and the promotion in one transaction."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from core.contracts import ModelVersion, Verdict
from core.decisions import record_decision, recorded_decision
from core.deployments import current_champions, hold_rollout
from flows.context import LoopContext
from flows.retiring import retire_replaced
from flows.run import Run
from monitoring.drift.outlook import ANSWERING_KINDS
from pipelines.promotion import append_promotion, repair_aliases

COMPARED = "champion_version"


def decide_and_promote(
    context: LoopContext, candidate: ModelVersion, verdict: Verdict, run: Run
) -> Verdict:
    """Record the gate's verdict and promote the candidate if it says so: both or neither.

    Returns the verdict that holds: "wait" when the champion has changed since the comparison.
    A second call for the same run only repairs the aliases.
    """
    classifier = candidate.classifier
    with context.engine.begin() as connection:
        hold_rollout(connection, classifier)
        recorded = recorded_decision(connection, classifier=classifier, subject="gate", run=run.id)
        verdict = recorded or _record_verdict(connection, candidate, verdict, run)
    context.registry.tag(classifier, candidate.version, "verdict", verdict.kind)
    repair_aliases(context.engine, context.registry, classifier)
    if verdict.kind == "promote":
        retire_replaced(context, classifier, now=run.now)
    return verdict


def _record_verdict(
    connection: Connection, candidate: ModelVersion, verdict: Verdict, run: Run
) -> Verdict:
    deployment = current_champions(connection).get(candidate.classifier)
    champion = deployment.model.version if deployment else ""
    final = respect_newer_champion(verdict, candidate, champion=champion)

    evidence = {**final.evidence, "version": candidate.version, "reason": run.reason}
    final = Verdict(final.kind, final.reasons, evidence)
    record_decision(
        connection,
        final,
        classifier=candidate.classifier,
        subject="gate",
        decided_at=run.now,
        run=run.id,
    )
    if final.kind == "promote":
        append_promotion(connection, candidate, why=final.reasons[0], now=run.now, run=run.id)
    return final


def respect_newer_champion(verdict: Verdict, candidate: ModelVersion, *, champion: str) -> Verdict:
    """Return "wait" for a version that may answer, when a person has changed the champion during
    the retraining.
    """
    compared = verdict.evidence[COMPARED]
    if verdict.kind not in ANSWERING_KINDS or champion == compared:
        return verdict
    reason = (
        f"version {champion} became champion during this run, but version {candidate.version} "
        f"was compared with {compared or 'none'}: retrain, or promote it by hand"
    )
    return Verdict("wait", (reason,), verdict.evidence)
