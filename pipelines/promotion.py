"""Who answers: a promotion or a rollback is rows of `deployment` and `decision`, then MLflow's aliases."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection, Engine

from core.contracts import Deployment, ModelVersion, Verdict
from core.decisions import record_decision
from core.deployments import append_deployment, current_champions, hold_rollout, previous_champion
from core.errors import UnknownVersion
from pipelines.registry import Registry


def promote(engine: Engine, registry: Registry, model: ModelVersion, *, why: str, now: datetime, run: str = "") -> None:
    """Make a version the champion: one `deployment` row and one decision together, then the aliases."""
    with engine.begin() as connection:
        hold_rollout(connection, model.classifier)
        append_promotion(connection, model, why=why, now=now, run=run)
    repair_aliases(engine, registry, model.classifier)


def append_promotion(connection: Connection, model: ModelVersion, *, why: str, now: datetime, run: str = "") -> None:
    """The rows of a promotion, for a transaction that holds more; the caller then repairs the aliases."""
    append_deployment(connection, Deployment(model, "champion", 1.0, now, why))
    verdict = Verdict("promote", (why,), {"version": model.version})
    record_decision(connection, verdict, classifier=model.classifier, subject="rollout", decided_at=now, run=run)


def roll_back(engine: Engine, registry: Registry, classifier: str, *, why: str, now: datetime) -> ModelVersion:
    """Return to the champion before the present one; raises `UnknownVersion` when there is none."""
    with engine.begin() as connection:
        hold_rollout(connection, classifier)
        before = previous_champion(connection, classifier)
        if before is None:
            raise UnknownVersion(f"an earlier champion of {classifier}", came="none", do="promote a retained version instead")
        append_deployment(connection, Deployment(before.model, "champion", 1.0, now, why))
        verdict = Verdict("roll_back", (why,), {"version": before.model.version})
        record_decision(connection, verdict, classifier=classifier, subject="rollout", decided_at=now)
    repair_aliases(engine, registry, classifier)
    return before.model


def repair_aliases(engine: Engine, registry: Registry, classifier: str) -> bool:
    """Project `deployment` onto MLflow's aliases; True when they differed."""
    with engine.connect() as connection:
        champion = current_champions(connection).get(classifier)
        before = previous_champion(connection, classifier)
    if champion is None:
        return False
    return registry.project(classifier, champion=champion.model.version, previous=before.model.version if before else None)
