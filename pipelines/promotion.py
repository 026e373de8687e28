"""Changes which version answers: promote, roll back, canary, shadow.

Each step is one transaction with a row of `deployment` and a row of `decision`.
"""

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
    by: str = "",
) -> None:
    """Make a version the champion in one transaction, then repair MLflow's aliases.

    `by` is the person who decided.
    """
    with engine.begin() as connection:
        hold_rollout(connection, model.classifier)
        append_promotion(connection, model, why=why, now=now, by=by)
    repair_aliases(engine, registry, model.classifier)


def append_promotion(
    connection: Connection,
    model: ModelVersion,
    *,
    why: str,
    now: datetime,
    run: str = "",
    by: str = "",
) -> None:
    """Append the rows of a promotion. The caller commits, and then repairs the aliases."""
    _answer_alone(connection, model, why=why, now=now)
    verdict = Verdict("promote", (why,), _evidence(model.version, by))
    record_decision(
        connection, verdict, classifier=model.classifier, subject="rollout", decided_at=now, run=run
    )


def reject(engine: Engine, model: ModelVersion, *, why: str, now: datetime, by: str = "") -> None:
    """Record that a person rejects a version, and end its canary or shadow.

    Raises `UnknownVersion` for the champion.
    """
    name = model.classifier
    with engine.begin() as connection:
        hold_rollout(connection, name)
        champion = current_champions(connection).get(name)
        if champion is not None and champion.model.version == model.version:
            raise UnknownVersion(
                f"a version of {name} that does not answer",
                came=f"{model.version}, the champion",
                do=f"`perennial rollout rollback {name}` first",
            )
        _end_beside(connection, model, why=why, now=now)
        verdict = Verdict("reject", (why,), _evidence(model.version, by))
        record_decision(connection, verdict, classifier=name, subject="rollout", decided_at=now)


def roll_back(
    engine: Engine,
    registry: Registry,
    classifier: str,
    *,
    why: str,
    now: datetime,
    by: str = "",
) -> ModelVersion:
    """Return to the champion before the present one; return it.

    Another call goes one champion further back. Raises `UnknownVersion` when there is none.
    """
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
        verdict = Verdict("roll_back", (why,), _evidence(before.model.version, by))
        record_decision(
            connection, verdict, classifier=classifier, subject="rollout", decided_at=now
        )
    repair_aliases(engine, registry, classifier)
    return before.model


def repair_aliases(engine: Engine, registry: Registry, classifier: str) -> bool:
    """Make MLflow's aliases repeat `deployment`; return True when they differed."""
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
    engine: Engine,
    model: ModelVersion,
    *,
    role: Role,
    share: float,
    why: str,
    now: datetime,
    by: str = "",
) -> None:
    """Run a version beside the champion, in place of the one that played the role.

    Parameters
    ----------
    role : Role
        "canary" answers a share of the requests; "shadow" scores all of them and answers none.
    share : float
        In (0, 1] for a canary, 1 for a shadow.

    Raises
    ------
    UnknownVersion
        There is no champion, or the version is the champion.
    HeadRefused
        The head belongs to another embedder than the champion's.
    """
    with engine.begin() as connection:
        hold_rollout(connection, model.classifier)
        _require_beside(current_champions(connection).get(model.classifier), model)
        append_deployment(connection, Deployment(model, role, share, now, why))
        verdict = Verdict(role, (why,), {**_evidence(model.version, by), "share": share})
        record_decision(
            connection, verdict, classifier=model.classifier, subject="rollout", decided_at=now
        )


def end_role(
    engine: Engine, classifier: str, *, role: Role, why: str, now: datetime, by: str = ""
) -> ModelVersion | None:
    """End the canary or shadow of a classifier; return its version, None when there was none."""
    with engine.begin() as connection:
        hold_rollout(connection, classifier)
        playing = _playing(connection, classifier, role)
        if playing is None:
            return None
        append_deployment(connection, Deployment(playing.model, role, 0.0, now, why))
        verdict = Verdict("end", (why,), {**_evidence(playing.model.version, by), "role": role})
        record_decision(
            connection, verdict, classifier=classifier, subject="rollout", decided_at=now
        )
    return playing.model


def retire(engine: Engine, classifier: str, *, why: str, now: datetime) -> ModelVersion | None:
    """End every role of a classifier: nothing answers its phrases any more.

    Its versions stay: `promote` brings one back. Returns the champion, None when there was none.
    """
    with engine.begin() as connection:
        hold_rollout(connection, classifier)
        rollout = current_rollouts(connection).get(classifier)
        champion = rollout.champion if rollout else None
        if rollout is None or champion is None:
            return None

        for entry in (rollout.canary, rollout.shadow, champion):
            if entry is not None:
                ended = Deployment(entry.model, entry.role, 0.0, now, why)
                append_deployment(connection, ended)

        verdict = Verdict("retire", (why,), {"version": champion.model.version})
        record_decision(
            connection, verdict, classifier=classifier, subject="rollout", decided_at=now
        )
    return champion.model


def _answer_alone(connection: Connection, model: ModelVersion, *, why: str, now: datetime) -> None:
    """Make the version the champion, and end its other roles."""
    append_deployment(connection, Deployment(model, "champion", 1.0, now, why))
    _end_beside(connection, model, why=why, now=now)


def _end_beside(connection: Connection, model: ModelVersion, *, why: str, now: datetime) -> None:
    for role in BESIDE:
        playing = _playing(connection, model.classifier, role)
        if playing is not None and playing.model.version == model.version:
            append_deployment(connection, Deployment(playing.model, role, 0.0, now, why))


def _evidence(version: str, by: str) -> dict[str, str]:
    return {"version": version, "by": by} if by else {"version": version}


def _playing(connection: Connection, classifier: str, role: Role) -> Deployment | None:
    rollout = current_rollouts(connection).get(classifier)
    deployment: Deployment | None = getattr(rollout, role) if rollout else None
    return deployment


def _require_beside(champion: Deployment | None, model: ModelVersion) -> None:
    """Raise when the version cannot run beside the champion."""
    name = model.classifier
    if champion is None:
        raise UnknownVersion(
            f"a champion of {name} to run beside",
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
        raise HeadRefused(
            f"a head for embedder {champion.model.embedder_id}, the champion's",
            came=f"one for {model.embedder_id}",
            do="promote it instead: a service has one embedder",
        )
