"""Which version answers: SQL on the append-only `deployment` table, shared by serving and flows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from core.contracts import RETIRED, Deployment, ModelVersion, Rollout
from core.locks import AdvisoryLock
from core.tables.loop import deployment

PLAYED = ("champion", "canary", "shadow")

# One look into an index per classifier and role: `distinct on` would read every row ever appended,
# at each poll of each service.
_NEWEST_OF_EACH_ROLE = sa.text("""
    with recursive newest as (
        (select * from deployment order by classifier desc, role desc, id desc limit 1)
        union all
        select following.* from newest cross join lateral (
            select * from deployment
            where (deployment.classifier, deployment.role) < (newest.classifier, newest.role)
            order by deployment.classifier desc, deployment.role desc, deployment.id desc
            limit 1
        ) as following
    )
    select * from newest order by classifier, role
""").columns(*deployment.c)


def hold_rollout(connection: Connection, classifier: str) -> None:
    """Hold the rollout lock of the classifier until the transaction ends."""
    key = sa.func.hashtextextended(classifier, AdvisoryLock.ROLLOUT.value)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


def append_deployment(connection: Connection, entry: Deployment) -> None:
    """Append one row; the newest row of a role says which version plays it. The caller commits."""
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
    """Return classifier -> its champion: the row appended last, whatever its `since`.

    A retired champion does not count.
    """
    newest = (
        sa.select(deployment)
        .distinct(deployment.c.classifier)
        .where(deployment.c.role == "champion")
        .order_by(deployment.c.classifier, deployment.c.id.desc())
    )
    rows = connection.execute(newest)
    return {row.classifier: _entry(row) for row in rows if row.share > 0}


def current_rollouts(connection: Connection) -> dict[str, Rollout]:
    """Return classifier -> which version plays which role, as of one moment (one statement).

    The newest row of a role counts; a share of 0 ends the role. A classifier whose champion's role
    ended has retired: its rollout is `RETIRED`.
    """
    playing: dict[str, dict[str, Deployment]] = {}
    retired: dict[str, Rollout] = {}
    for row in connection.execute(_NEWEST_OF_EACH_ROLE):
        if row.share > 0 and row.role in PLAYED:
            playing.setdefault(row.classifier, {})[row.role] = _entry(row)
        elif row.role == "champion":
            retired[row.classifier] = RETIRED
    return {classifier: Rollout(**roles) for classifier, roles in playing.items()} | retired


def history(connection: Connection, classifier: str) -> list[Deployment]:
    """Return every row of a classifier, oldest first."""
    rows = connection.execute(
        sa.select(deployment).where(deployment.c.classifier == classifier).order_by(deployment.c.id)
    )
    return [_entry(row) for row in rows]


def previous_champion(connection: Connection, classifier: str) -> Deployment | None:
    """Return the champion that a rollback returns to, None when there is none.

    This is the champion that the present one followed when it was first promoted.
    A version that was rolled back is skipped, so that each rollback goes one step further back.
    """
    stack: list[Deployment] = []
    for entry in history(connection, classifier):
        if entry.role == "champion":
            stack = [*_below(stack, entry.model.version), entry]
    return stack[-2] if len(stack) > 1 else None


def _below(stack: list[Deployment], version: str) -> list[Deployment]:
    """Return the champions below a version that comes back; all of them for a new version."""
    versions = [entry.model.version for entry in stack]
    return stack[: versions.index(version)] if version in versions else stack


def _entry(row: Row[Any]) -> Deployment:
    model = ModelVersion(
        row.classifier, row.version, row.head_location, row.head_digest, row.embedder_id
    )
    return Deployment(model=model, role=row.role, share=row.share, since=row.since, why=row.why)
