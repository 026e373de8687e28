"""Every version of a classifier: what the gate said, what people decided, which role it plays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import Rollout, is_plain_name
from core.decisions import rejected_versions
from core.deployments import current_rollouts, history
from core.errors import UnknownVersion
from core.tables.loop import decision
from core.tables.loop import snapshot as snapshot_table
from pipelines.errors.files import PAGE
from pipelines.model_store import ERRORS

ROLES = ("champion", "canary", "shadow")
RUN_TAG = "retrain-"
"""The git tag of a retraining is this and the run's id."""


@dataclass(frozen=True)
class Version:
    """One version. `gate` is the evidence of the gate's verdict, empty for one it never judged.

    `roles` are those it plays now, with their shares; `rejected` says why it must not answer, None
    where nothing forbids it; `retained`: the model store has its files; `snapshot` is the id of
    the snapshot that it learnt from, None where the table does not have it.
    """

    version: str
    made_at: datetime | None = None
    run: str = ""
    verdict: str = ""
    reasons: Sequence[str] = ()
    gate: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, float] = field(default_factory=dict)
    rejected: str | None = None
    retained: bool = False
    snapshot: int | None = None


@dataclass(frozen=True)
class Decision:
    """What was decided about a version after the gate; `by` is a person, "" for a program."""

    decided_at: datetime
    kind: str
    reasons: Sequence[str]
    by: str


def read_versions(
    connection: Connection, classifier: str, *, dataset: str | None, retained: Iterable[str]
) -> list[Version]:
    """Return every version that the gate judged, that was deployed or that is retained.

    Newest first. `dataset` is the one that the classifier reads, None when it has no block.
    """
    judged = _judged(connection, classifier)
    entries = history(connection, classifier)
    kept = set(retained)
    rollout = current_rollouts(connection).get(classifier, Rollout())
    rejected = rejected_versions(connection, classifier)
    snapshots = _snapshots(connection, dataset)
    names = {*judged, *kept, *(entry.model.version for entry in entries)}
    return [
        replace(
            judged.get(name, Version(name)),
            roles=_roles(rollout, name),
            rejected=rejected.get(name),
            retained=name in kept,
            snapshot=snapshots.get(RUN_TAG + judged[name].run) if name in judged else None,
        )
        for name in sorted(names, key=_number, reverse=True)
    ]


def one_version(versions: Sequence[Version], classifier: str, version: str) -> Version:
    """Return the version of a list. Raises `UnknownVersion`."""
    named = next((row for row in versions if row.version == version), None)
    if named is None:
        known = ", ".join(row.version for row in versions[:10])
        raise UnknownVersion(
            f"a version of {classifier}",
            came=repr(version[:40]),
            do=f"name one of {known}" if known else f"run `perennial retrain {classifier}`",
        )
    return named


def decisions_about(connection: Connection, classifier: str, version: str) -> list[Decision]:
    """Return what people and programs decided about a version's roles, newest first."""
    table = decision.c
    by = table.evidence["by"].astext.label("by")
    query = (
        sa.select(table.decided_at, table.kind, table.reasons, by)
        .where(
            table.classifier == classifier,
            table.subject == "rollout",
            table.evidence["version"].astext == version,
        )
        .order_by(table.id.desc())
    )
    return [
        Decision(row.decided_at, row.kind, row.reasons, row.by or "")
        for row in connection.execute(query)
    ]


def evaluation_of(models: Path, classifier: str, version: str) -> Mapping[str, Any]:
    """Return the scores on the version's own test rows; empty without its file."""
    if not (is_plain_name(classifier) and is_plain_name(version)):
        return {}
    try:
        text = (models / classifier / version / "evaluation.json").read_text(encoding="utf-8")
        evaluation: Mapping[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return {}
    return evaluation


def error_page(models: Path, classifier: str, version: str) -> Path | None:
    """Return the page of the version's error report; None for versions of earlier releases."""
    if not (is_plain_name(classifier) and is_plain_name(version)):
        return None
    page = models / classifier / version / ERRORS / PAGE
    return page if page.is_file() else None


def _judged(connection: Connection, classifier: str) -> dict[str, Version]:
    """Return version -> what its newest verdict of the gate says."""
    table = decision.c
    version = table.evidence["version"].astext
    query = (
        sa.select(table.decided_at, table.run, table.kind, table.reasons, table.evidence)
        .distinct(version)
        .where(table.classifier == classifier, table.subject == "gate", version.is_not(None))
        .order_by(version, table.id.desc())
    )
    return {
        row.evidence["version"]: Version(
            row.evidence["version"], row.decided_at, row.run, row.kind, row.reasons, row.evidence
        )
        for row in connection.execute(query)
    }


def roles_now(connection: Connection, classifier: str) -> dict[str, str]:
    """Return role -> the version that plays it now."""
    rollout = current_rollouts(connection).get(classifier, Rollout())
    entries = {role: getattr(rollout, role) for role in ROLES}
    return {role: entry.model.version for role, entry in entries.items() if entry is not None}


def _snapshots(connection: Connection, dataset: str | None) -> dict[str, int]:
    """Return git tag -> id, of the snapshots of a dataset."""
    table = snapshot_table.c
    query = sa.select(table.git_tag, table.id).where(table.dataset == dataset)
    return {tag: number for tag, number in connection.execute(query)}


def _roles(rollout: Rollout, version: str) -> dict[str, float]:
    entries = {role: getattr(rollout, role) for role in ROLES}
    return {
        role: entry.share
        for role, entry in entries.items()
        if entry is not None and entry.model.version == version
    }


def _number(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (0, version)
