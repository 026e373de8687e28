"""Who answers, changed: promote, roll back, canary, shadow. Each step is one transaction: a row of `deployment` and one of `decision`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection, Engine

from core.contracts import Deployment, ModelVersion, Role, Verdict
from core.decisions import record_decision
from core.deployments import (
    append_deployment,
    current_champions,
    current_rollouts,
    hold_rollout,
    previous_champion,
)
from core.errors import HeadRefused, UnknownVersion
from pipelines.registry import Registry

BESIDE: tuple[Role, ...] = ("canary", "shadow")


def promote(
    engine: Engine,
    registry: Registry,
    model: ModelVersion,
    *,
    why: str,
    now: datetime,
    run: str = "",
) -> None:
    """Make a version the champion: one `deployment` row and one decision together, then the aliases."""
    with engine.begin() as connection:
        hold_rollout(connection, model.classifier)
        append_promotion(connection, model, why=why, now=now, run=run)
    repair_aliases(engine, registry, model.classifier)


def append_promotion(
    connection: Connection, model: ModelVersion, *, why: str, now: datetime, run: str = ""
) -> None:
    """The rows of a promotion, for a transaction that holds more; the caller then repairs the aliases."""
    _answer_alone(connection, model, why=why, now=now)
    verdict = Verdict("promote", (why,), {"version": model.version})
    record_decision(
        connection, verdict, classifier=model.classifier, subject="rollout", decided_at=now, run=run
    )


def roll_back(
    engine: Engine, registry: Registry, classifier: str, *, why: str, now: datetime
) -> ModelVersion:
    """Return to the champion before the present one, and again to the one before that; raises `UnknownVersion` when there is none."""
    with engine.begin() as connection:
        hold_rollout(connection, classifier)
        before = previous_champion(connection, classifier)
        if before is None:
            raise UnknownVersion(
                f"an earlier champion of {classifier}",
                came="none",
                do="promote a retained version instead",
            )
        _answer_alone(connection, before.model, why=why, now=now)
        verdict = Verdict("roll_back", (why,), {"version": before.model.version})
        record_decision(
            connection, verdict, classifier=classifier, subject="rollout", decided_at=now
        )
    repair_aliases(engine, registry, classifier)
    return before.model


def repair_aliases(engine: Engine, registry: Registry, classifier: str) -> bool:
    """Project `deployment` onto MLflow's aliases; True when they differed."""
    with engine.connect() as connection:
        champion = current_champions(connection).get(classifier)
        before = previous_champion(connection, classifier)
    if champion is None:
        return False
    return registry.project(
        classifier,
        champion=champion.model.version,
        previous=before.model.version if before else None,
    )


def play(
    engine: Engine, model: ModelVersion, *, role: Role, share: float, why: str, now: datetime
) -> None:
    """Let a version score as shadow (share 1), or answer as canary a share in (0, 1] of the requests, beside the champion.

    It takes the place of the version that played the role. Raises `UnknownVersion` without a champion or for the champion itself,
    `HeadRefused` for a head of another embedder.
    """
    with engine.begin() as connection:
        hold_rollout(connection, model.classifier)
        _fits_beside(current_champions(connection).get(model.classifier), model)
        append_deployment(connection, Deployment(model, role, share, now, why))
        told = Verdict(role, (why,), {"version": model.version, "share": share})
        record_decision(
            connection, told, classifier=model.classifier, subject="rollout", decided_at=now
        )


def end_role(
    engine: Engine, classifier: str, *, role: Role, why: str, now: datetime
) -> ModelVersion | None:
    """End the canary or shadow of a classifier; return the version that played it, None when nobody did."""
    with engine.begin() as connection:
        hold_rollout(connection, classifier)
        playing = _playing(connection, classifier, role)
        if playing is None:
            return None
        append_deployment(connection, Deployment(playing.model, role, 0.0, now, why))
        told = Verdict("end", (why,), {"version": playing.model.version, "role": role})
        record_decision(connection, told, classifier=classifier, subject="rollout", decided_at=now)
    return playing.model


def _answer_alone(connection: Connection, model: ModelVersion, *, why: str, now: datetime) -> None:
    """The version is the champion and plays nothing else."""
    append_deployment(connection, Deployment(model, "champion", 1.0, now, why))
    for role in BESIDE:
        playing = _playing(connection, model.classifier, role)
        if playing is not None and playing.model.version == model.version:
            append_deployment(connection, Deployment(playing.model, role, 0.0, now, why))


def _playing(connection: Connection, classifier: str, role: Role) -> Deployment | None:
    rollout = current_rollouts(connection).get(classifier)
    return getattr(rollout, role) if rollout else None


def _fits_beside(champion: Deployment | None, model: ModelVersion) -> None:
    name = model.classifier
    if champion is None:
        raise UnknownVersion(
            f"a champion of {name} to stand beside",
            came="none",
            do=f"`perennial rollout promote {name}` first",
        )
    if champion.model.version == model.version:
        raise UnknownVersion(
            f"another version than the champion of {name}",
            came=repr(model.version),
            do="name another version",
        )
    if champion.model.embedder_id != model.embedder_id:
        wanted, came = (
            f"a head for embedder {champion.model.embedder_id}, the champion's",
            f"one for {model.embedder_id}",
        )
        raise HeadRefused(
            wanted, came=came, do="one service holds one embedder: promote it instead"
        )
