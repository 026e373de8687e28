"""Where a version or an answer came from: gathered from git, the tables, MLflow and the model store. Each fact from its one home."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import yaml

from core.contracts import Inference, is_plain_name
from core.deployments import history
from core.errors import PerennialError, UnknownVersion
from core.tables import decision, drift_report, feedback
from core.tables import snapshot as snapshot_table
from flows.context import LoopContext
from monitoring.feedback import CORRECTED, answered, newest_feedback
from operations.lineage.replay import logged_rows
from pipelines.checks import RESULT
from pipelines.dvc_repository import tracked_rows
from pipelines.git_repository import commit_facts, commit_of, file_at
from pipelines.model_store import problem_of
from pipelines.registry import RegisteredVersion
from pipelines.snapshots import query_hash

Facts = dict[str, Any]


def version_lineage(loop: LoopContext, classifier: str, version: str | None = None) -> Facts:
    """Everything that made a version, and what became of it; the champion's by default.

    Sections: source, snapshot, code, params, embedder, head, checks, verdicts, deployments, drift, feedback, mlflow, surroundings.
    Raises `UnknownVersion`.
    """
    known = loop.registry.version(classifier, version or _champion(loop, classifier))
    params, snapshot = _params(loop, known), _snapshot(loop, known)
    return {
        "classifier": classifier,
        "version": known.version,
        "run": known.tags.get("run", ""),
        "reason": known.tags.get("reason", ""),
        "source": _source(loop, known, params, snapshot),
        "snapshot": snapshot,
        "code": _code(loop, known),
        "params": params,
        "embedder": _embedder(loop, known),
        "head": _head(loop, known),
        "checks": _checks(loop, known),
        "verdicts": _verdicts(loop, known),
        "deployments": _deployments(loop, known),
        "drift": _drift(loop, known),
        "feedback": {"rows": _feedback_rows(loop, classifier, snapshot)},
        "mlflow": {"run_id": known.run_id, "metrics": loop.registry.metrics(known.run_id)},
        "surroundings": json.loads(known.tags.get("surroundings", "{}")),
    }


def request_lineage(loop: LoopContext, request_id: str) -> Facts:
    """The answer, the version that gave it, the feedback it received, and the first version that learnt from that.

    Raises `UnknownRequest`, `UnknownVersion`.
    """
    rows = logged_rows(loop, request_id)
    answer, received = rows[0], _received(loop, request_id)
    return {
        "request_id": request_id,
        "answers": [asdict(row) for row in rows],
        "feedback": received,
        "learnt": _learnt(loop, answer, received[0]["received_at"]) if received else None,
        "version": version_lineage(loop, answer.classifier, answer.version),
    }


def _champion(loop: LoopContext, classifier: str) -> str:
    champion = loop.champions().get(classifier)
    if champion is None:
        loop.params.classifier(classifier)
        raise UnknownVersion(
            f"a champion of {classifier}",
            came="none yet",
            do="name a version, or call `perennial retrain`",
        )
    return champion.version


def _params(loop: LoopContext, known: RegisteredVersion) -> Facts:
    """The classifier's block as that commit has it, with the keys that all classifiers share; empty without the commit."""
    text = file_at(loop.settings.repository, known.tags.get("git_commit", ""), "params.yaml")
    params = yaml.safe_load(text) if text else {}
    shared = {key: value for key, value in params.items() if key != "classifiers"}
    return {**shared, **params["classifiers"].get(known.classifier, {})} if params else {}


def _snapshot(loop: LoopContext, known: RegisteredVersion) -> Facts:
    """The row of `snapshot` that the run recorded, of the data set whose hash the version's tag names."""
    hashes = [part.rpartition(":")[2] for part in known.tags.get("snapshot", "").split(",")]
    table = snapshot_table.c
    query = sa.select(snapshot_table).where(
        table.git_tag == known.tags.get("git_tag", ""), table.logical_hash.in_(hashes)
    )
    with loop.engine.connect() as connection:
        rows = list(connection.execute(query.order_by(table.id)).mappings())
    wanted = ("dataset", "as_of", "rows", "logical_hash", "query_hash", "git_tag")
    found = next((row for row in rows if _asks_for(loop, known, row["dataset"])), None)
    facts = (
        {key: found[key] for key in wanted} | {"label_columns": sorted(found["summary"]["labels"])}
        if found
        else {}
    )
    return {**facts, "data_md5": known.tags.get("data_md5", "")}


def _asks_for(loop: LoopContext, known: RegisteredVersion, dataset: str) -> bool:
    """True when the classifier's block of that commit reads this data set."""
    from core.params import SourceParams

    source = _params(loop, known).get("source")
    return source is None or SourceParams.model_validate(source).dataset == dataset


def _source(loop: LoopContext, known: RegisteredVersion, params: Facts, snapshot: Facts) -> Facts:
    """The query as it was asked; `verified`: its text at that commit has the hash that the snapshot recorded."""
    source = params.get("source", {})
    text = (
        file_at(loop.settings.repository, known.tags.get("git_commit", ""), source["query"])
        if source
        else None
    )
    verified = False
    if text is not None and "query_hash" in snapshot:
        asked = query_hash(
            text, parameters=source.get("parameters", {}), label_columns=snapshot["label_columns"]
        )
        verified = asked == snapshot["query_hash"]
    return {**source, "text": text, "query_hash": snapshot.get("query_hash"), "verified": verified}


def _code(loop: LoopContext, known: RegisteredVersion) -> Facts:
    """The commit that the run published, the one it stands on, and whether its tag still names it."""
    commit, tag = known.tags.get("git_commit", ""), known.tags.get("git_tag", "")
    return {
        "commit": commit,
        "tag": tag,
        "tag_holds": commit_of(loop.settings.repository, f"refs/tags/{tag}") == commit,
    } | commit_facts(loop.settings.repository, commit)


def _embedder(loop: LoopContext, known: RegisteredVersion) -> Facts:
    identity = known.tags.get("embedder_id", "")
    kept = loop.settings.kept_embedder(identity)
    described = kept and kept / "embedder.json"
    facts = json.loads(described.read_text()) if described and described.is_file() else {}
    return {"embedder_id": identity, "handle": facts.get("handle"), "kept": bool(facts)}


def _head(loop: LoopContext, known: RegisteredVersion) -> Facts:
    """The digest recorded at training against what lies in the model store."""
    folder, digest = (
        loop.settings.models / known.classifier / known.version,
        known.tags.get("head_digest", ""),
    )
    problem = problem_of(folder, digest=digest)
    return {
        "digest": digest,
        "location": str(folder),
        "verified": not problem,
        "problem": problem or None,
    }


def _checks(loop: LoopContext, known: RegisteredVersion) -> Facts | None:
    """What the data checks of the run said; None when their page is not kept here."""
    run = known.tags.get("run", "")
    file = loop.settings.reports / "checks" / run / RESULT
    if not (is_plain_name(run) and file.is_file()):
        return None
    result = json.loads(file.read_text(encoding="utf-8"))
    failed = [check["name"] for check in result["checks"] if not check["passed"]]
    return {
        "verdict": result["verdict"],
        "checks": len(result["checks"]),
        "failed": failed,
        "page": str(file.with_name("report.html")),
    }


def _verdicts(loop: LoopContext, known: RegisteredVersion) -> list[Facts]:
    """Decisions of the version's own run, and later ones that name it."""
    table, run = decision.c, known.tags.get("run", "")
    mine = sa.or_(
        sa.and_(table.run != "", table.run == run),
        table.evidence["version"].astext == known.version,
    )
    columns = (table.decided_at, table.subject, table.kind, table.reasons, table.run)
    query = sa.select(*columns).where(table.classifier == known.classifier, mine).order_by(table.id)
    with loop.engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def _deployments(loop: LoopContext, known: RegisteredVersion) -> list[Facts]:
    """When it answered: a row of a role ends where the next row of that role begins."""
    with loop.engine.connect() as connection:
        entries = history(connection, known.classifier)
    told = []
    for place, entry in enumerate(entries):
        if entry.model.version == known.version and entry.share > 0:
            until = next(
                (later.since for later in entries[place + 1 :] if later.role == entry.role), None
            )
            digest_holds = entry.model.head_digest == known.tags.get("head_digest", "")
            span = {
                "role": entry.role,
                "share": entry.share,
                "since": entry.since,
                "until": until,
                "why": entry.why,
            }
            told.append({**span, "digest_holds": digest_holds})
    return told


def _drift(loop: LoopContext, known: RegisteredVersion) -> dict[str, int]:
    """Windows of its answers by what the watch said of them."""
    table = drift_report.c
    query = sa.select(table.verdict, sa.func.count()).where(
        table.classifier == known.classifier, table.version == known.version
    )
    with loop.engine.connect() as connection:
        return {
            verdict: count
            for verdict, count in connection.execute(
                query.group_by(table.verdict).order_by(table.verdict)
            )
        }


def _feedback_rows(loop: LoopContext, classifier: str, snapshot: Mapping[str, Any]) -> int | None:
    """Corrected or confirmed answers of this classifier that were in the snapshot."""
    if "as_of" not in snapshot:
        return None
    told, answer = newest_feedback(received_by=snapshot["as_of"]), answered(CORRECTED)
    query = sa.select(sa.func.count()).select_from(
        told.join(answer, answer.c.request_id == told.c.request_id)
    )
    with loop.engine.connect() as connection:
        return connection.scalar(query.where(told.c.classifier == classifier))


def _received(loop: LoopContext, request_id: str) -> list[Facts]:
    query = sa.select(feedback.c.received_at, feedback.c.label, feedback.c.author).where(
        feedback.c.request_id == request_id
    )
    with loop.engine.connect() as connection:
        return [
            dict(row)
            for row in connection.execute(
                query.order_by(feedback.c.received_at, feedback.c.id)
            ).mappings()
        ]


def _learnt(loop: LoopContext, answer: Inference, received_at: datetime) -> Facts | None:
    """The first version of the classifier whose snapshot was taken after the feedback came, and what the row did there."""
    made = {
        known.tags.get("git_tag", ""): known for known in loop.registry.versions(answer.classifier)
    }
    table = snapshot_table.c
    query = (
        sa.select(table.git_tag)
        .where(table.git_tag.in_(list(made)), table.as_of >= received_at)
        .order_by(table.as_of, table.id)
    )
    with loop.engine.connect() as connection:
        tag = connection.scalar(query.limit(1))
    if tag is None:
        return None
    first = made[tag]
    return {
        "version": first.version,
        "snapshot": _snapshot(loop, first),
        "row": _row_there(loop, first, answer.request_id),
        "verdicts": _verdicts(loop, first),
        "deployments": _deployments(loop, first),
    }


def _row_there(loop: LoopContext, known: RegisteredVersion, request_id: str) -> Facts | None:
    """The row as that snapshot holds it, and its part in the split; None when the DVC cache no longer holds the files."""
    dataset, tag = _snapshot(loop, known).get("dataset", ""), known.tags["git_tag"]
    try:
        [row] = tracked_rows(
            loop.settings.repository, tag, f"data/{dataset}/rows.parquet", key=request_id
        )
        recent = tracked_rows(
            loop.settings.repository,
            tag,
            f"build/classifiers/{known.classifier}/split/recent.parquet",
            key=request_id,
        )
    except (PerennialError, ValueError):
        return None
    return {**row, "part": recent[0]["part"] if recent else "before the test days"}
