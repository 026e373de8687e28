"""Who answers: SQL on the append-only `deployment` table, shared by serving and flows."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from core.contracts import Deployment, ModelVersion, Rollout
from core.tables import deployment

PLAYED = ("champion", "canary", "shadow")


def hold_rollout(connection: Connection, classifier: str) -> None:
    """Until the transaction ends, nobody else who asks decides who answers for the classifier."""
    connection.execute(
        sa.text("select pg_advisory_xact_lock(hashtextextended(:name, 5064))"), {"name": classifier}
    )


def append_deployment(connection: Connection, entry: Deployment) -> None:
    """Add one row; the newest row of a role says who plays it. The caller commits."""
    model = entry.model
    connection.execute(
        deployment.insert().values(
            classifier=model.classifier,
            version=model.version,
            head_location=model.head_location,
            head_digest=model.head_digest,
            embedder_id=model.embedder_id,
            role=entry.role,
            share=entry.share,
            since=entry.since,
            why=entry.why,
        )
    )


def current_champions(connection: Connection) -> dict[str, Deployment]:
    """Return the champion of every classifier that has one. The order is that of appending, not of `since`."""
    newest = (
        sa.select(deployment)
        .distinct(deployment.c.classifier)
        .where(deployment.c.role == "champion")
        .order_by(deployment.c.classifier, deployment.c.id.desc())
    )
    return {row.classifier: _entry(row) for row in connection.execute(newest)}


def current_rollouts(connection: Connection) -> dict[str, Rollout]:
    """Return who plays which role, by classifier: of every role the newest row, unless its share is 0. One statement, so one moment."""
    by_role = (deployment.c.classifier, deployment.c.role)
    newest = sa.select(deployment).distinct(*by_role).order_by(*by_role, deployment.c.id.desc())
    playing: dict[str, dict[str, Deployment]] = {}
    for row in connection.execute(newest):
        if row.share > 0 and row.role in PLAYED:
            playing.setdefault(row.classifier, {})[row.role] = _entry(row)
    return {classifier: Rollout(**roles) for classifier, roles in playing.items()}


def history(connection: Connection, classifier: str) -> list[Deployment]:
    """Return every row of a classifier, oldest first."""
    rows = connection.execute(
        sa.select(deployment).where(deployment.c.classifier == classifier).order_by(deployment.c.id)
    )
    return [_entry(row) for row in rows]


def previous_champion(connection: Connection, classifier: str) -> Deployment | None:
    """Return what a rollback returns to: the champion that the present one followed when it first came; None when there is none.

    A version that was left for one before it is not returned to, so that each rollback goes one further back.
    """
    standing: dict[str, Deployment] = {}
    for entry in history(connection, classifier):
        if entry.role == "champion":
            standing = _standing_with(standing, entry)
    return list(standing.values())[-2] if len(standing) > 1 else None


def _standing_with(standing: dict[str, Deployment], entry: Deployment) -> dict[str, Deployment]:
    """The champions that a champion stands on, oldest first, and itself: one that comes back leaves all that came after it."""
    below = (
        list(standing).index(entry.model.version)
        if entry.model.version in standing
        else len(standing)
    )
    return dict(list(standing.items())[:below]) | {entry.model.version: entry}


def _entry(row: Row) -> Deployment:
    model = ModelVersion(
        row.classifier, row.version, row.head_location, row.head_digest, row.embedder_id
    )
    return Deployment(model=model, role=row.role, share=row.share, since=row.since, why=row.why)
