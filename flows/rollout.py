"""Changes by hand which version answers, and shows the state of a classifier's rollout."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from core.contracts import ANSWERING, Deployment, ModelVersion, Role
from core.decisions import rejected_versions
from core.deployments import current_rollouts, history
from core.errors import HeadRefused, RejectedVersion
from core.logs import get_logger
from flows.candidates.packaging import package_champions
from flows.context import LoopContext
from flows.retiring import retire_replaced
from machine.processes import restart_service
from machine.user import system_user
from pipelines.model_store import stored_version
from pipelines.promotion import end_role, play, promote, reject, repair_aliases, roll_back

ROLES: tuple[Role, ...] = ("champion", "canary", "shadow")


@dataclass(frozen=True)
class RolloutState:
    """Who plays which role now, every change (newest first) and the versions of the model store."""

    classifier: str
    roles: dict[str, Deployment]
    deployments: list[Deployment]
    retained: list[str]
    aliases_repaired: bool


def rollout_state(context: LoopContext, classifier: str) -> RolloutState:
    """Read the state of a rollout; repairs MLflow's aliases where they differ from it."""
    with context.engine.connect() as connection:
        entries = list(reversed(history(connection, classifier)))
        rollout = current_rollouts(connection).get(classifier)
    roles = {role: getattr(rollout, role, None) for role in ROLES}
    return RolloutState(
        classifier=classifier,
        roles={role: entry for role, entry in roles.items() if entry is not None},
        deployments=entries,
        retained=retained_versions(context, classifier),
        aliases_repaired=repair_aliases(context.engine, context.registry, classifier),
    )


def retained_versions(context: LoopContext, classifier: str) -> list[str]:
    """Versions in the model store, oldest first."""
    folders = (context.settings.models / classifier).glob("[0-9]*")
    return sorted((folder.name for folder in folders), key=int)


def newest_not_rejected(context: LoopContext, classifier: str) -> str:
    """Return the newest retained version that was not rejected, "" without one."""
    with context.engine.connect() as connection:
        rejected = rejected_versions(connection, classifier)
    retained = retained_versions(context, classifier)
    allowed = [version for version in retained if version not in rejected]
    return allowed[-1] if allowed else ""


def promote_by_hand(
    context: LoopContext,
    classifier: str,
    *,
    version: str | None,
    why: str,
    force: bool = False,
    by: str = "",
) -> ModelVersion:
    """Make a retained version the champion, by default the newest that was not rejected.

    `by` is the person who decides, by default the user who runs the program. Raises
    `UnknownVersion`, and `RejectedVersion` without `force`.
    """
    version = version or newest_not_rejected(context, classifier)
    model = stored_version(context.settings.models, classifier=classifier, version=version)
    if not force:
        _refuse_rejected(context, model)
    before = context.champions().get(classifier)
    now = datetime.now(UTC)
    promote(context.engine, context.registry, model, why=why, now=now, by=by or system_user())
    retire_replaced(context, classifier, now=now)
    _follow_embedder(context, model, before=before, now=now)
    return model


def reject_by_hand(
    context: LoopContext, classifier: str, version: str, *, why: str, by: str = ""
) -> ModelVersion:
    """Record that a version must not answer. Raises `UnknownVersion`, also for the champion."""
    model = stored_version(context.settings.models, classifier=classifier, version=version)
    reject(context.engine, model, why=why, now=datetime.now(UTC), by=by or system_user())
    return model


def _refuse_rejected(context: LoopContext, model: ModelVersion) -> None:
    with context.engine.connect() as connection:
        rejected = rejected_versions(connection, model.classifier)
    if model.version in rejected:
        raise RejectedVersion(
            f"a version of {model.classifier} that was not rejected",
            came=f"{model.version}, rejected: {rejected[model.version]}",
            do="name another version, or force it, with a reason: --force and --why",
        )


def roll_back_by_hand(
    context: LoopContext, classifier: str, *, why: str, by: str = ""
) -> ModelVersion:
    """Return to the champion before the present one. Raises `UnknownVersion`."""
    before = context.champions().get(classifier)
    now = datetime.now(UTC)
    person = by or system_user()
    model = roll_back(context.engine, context.registry, classifier, why=why, now=now, by=person)
    _follow_embedder(context, model, before=before, now=now)
    return model


def assign_role(
    context: LoopContext,
    classifier: str,
    version: str,
    *,
    role: Role,
    share: float,
    why: str,
    force: bool = False,
    by: str = "",
) -> ModelVersion:
    """Let a retained version play a role for a share in (0, 1] of the requests.

    Raises `UnknownVersion`, and `RejectedVersion` for a role that answers, without `force`.
    """
    model = stored_version(context.settings.models, classifier=classifier, version=version)
    if role in ANSWERING and not force:
        _refuse_rejected(context, model)
    now = datetime.now(UTC)
    play(context.engine, model, role=role, share=share, why=why, now=now, by=by or system_user())
    return model


def withdraw_role(
    context: LoopContext, classifier: str, *, role: Role, why: str, by: str = ""
) -> ModelVersion | None:
    """End the role; return the version that played it, None when no version did."""
    now = datetime.now(UTC)
    return end_role(context.engine, classifier, role=role, why=why, now=now, by=by or system_user())


def require_same_embedder(context: LoopContext, model: ModelVersion) -> None:
    """Raise `HeadRefused` where the service cannot answer with the version as it runs now."""
    champion = context.champions().get(model.classifier)
    if champion is not None and champion.embedder_id != model.embedder_id:
        raise HeadRefused(
            f"a version for embedder {champion.embedder_id}, which the service runs",
            came=f"version {model.version}, for {model.embedder_id}",
            do=f"`perennial rollout promote {model.classifier} {model.version}` packs a new bento",
        )


def _follow_embedder(
    context: LoopContext, model: ModelVersion, *, before: ModelVersion | None, now: datetime
) -> None:
    """Package and restart the service when the new champion needs another embedder.

    A service holds one embedder. The new bento leaves out the classifiers of the old embedder.
    """
    if before is None or before.embedder_id == model.embedder_id:
        return
    version = f"{now:%Y%m%dt%H%M%S}-{model.classifier}".replace("_", "-")
    package_champions(context, model.embedder_id, version=version)
    # Standard output belongs to the command's answer.
    restart_service(context.settings, report=get_logger().info)
