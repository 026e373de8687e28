"""Gathers the facts of a version's training, from git, the snapshot table and the model store."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
import yaml

from core.contracts import is_plain_name
from core.params.schema import SourceParams
from core.tables.loop import snapshot as snapshot_table
from flows.context import LoopContext
from pipelines.checks import RESULT
from pipelines.git_repository import commit_facts, commit_of, file_at
from pipelines.model_store import problem_of
from pipelines.registry import RegisteredVersion
from pipelines.snapshots import query_hash

Facts = dict[str, Any]
SNAPSHOT_FIELDS = ("dataset", "as_of", "rows", "logical_hash", "query_hash", "git_tag")


def params(context: LoopContext, registered: RegisteredVersion) -> Facts:
    """The classifier's block in the version's commit, with the keys that all classifiers share.

    Empty when the commit is missing.
    """
    text = _committed_text(context, registered, "params.yaml")
    if not text:
        return {}
    content = yaml.safe_load(text)
    shared = {key: value for key, value in content.items() if key != "classifiers"}
    return {**shared, **content["classifiers"].get(registered.classifier, {})}


def snapshot(context: LoopContext, registered: RegisteredVersion) -> Facts:
    """The snapshot that the run recorded, of the data set that the classifier reads."""
    hashes = [part.rpartition(":")[2] for part in registered.tags.get("snapshot", "").split(",")]
    table = snapshot_table.c
    query = sa.select(snapshot_table).where(
        table.git_tag == registered.tags.get("git_tag", ""), table.logical_hash.in_(hashes)
    )
    with context.engine.connect() as connection:
        rows = list(connection.execute(query.order_by(table.id)).mappings())

    facts: Facts = {}
    row = next((row for row in rows if _reads(context, registered, row["dataset"])), None)
    if row is not None:
        facts = {field: row[field] for field in SNAPSHOT_FIELDS}
        facts["label_columns"] = sorted(row["summary"]["labels"])
    return {**facts, "data_md5": registered.tags.get("data_md5", "")}


def _reads(context: LoopContext, registered: RegisteredVersion, dataset: str) -> bool:
    """Whether the classifier's block in the version's commit reads this data set."""
    block = params(context, registered).get("source")
    return block is None or SourceParams.model_validate(block).dataset == dataset


def source(
    context: LoopContext, registered: RegisteredVersion, params: Facts, snapshot: Facts
) -> Facts:
    """The query of the snapshot.

    `verified` says whether the committed text has the hash that the snapshot recorded.
    """
    block = params.get("source", {})
    text = _committed_text(context, registered, block["query"]) if block else None
    verified = False
    if text is not None and "query_hash" in snapshot:
        committed_hash = query_hash(
            text,
            parameters=block.get("parameters", {}),
            label_columns=snapshot["label_columns"],
        )
        verified = committed_hash == snapshot["query_hash"]
    return {**block, "text": text, "query_hash": snapshot.get("query_hash"), "verified": verified}


def code(context: LoopContext, registered: RegisteredVersion) -> Facts:
    """The commit that the run published, its parent, and whether its tag still points to it."""
    repository = context.settings.repository
    commit = registered.tags.get("git_commit", "")
    tag = registered.tags.get("git_tag", "")
    tag_holds = commit_of(repository, f"refs/tags/{tag}") == commit
    facts = {"commit": commit, "tag": tag, "tag_holds": tag_holds}
    return facts | commit_facts(repository, commit)


def embedder(context: LoopContext, registered: RegisteredVersion) -> Facts:
    """The embedder, and whether the embedder store still holds it."""
    embedder_id = registered.tags.get("embedder_id", "")
    folder = context.settings.kept_embedder(embedder_id)
    facts: Facts = {}
    if folder and (folder / "embedder.json").is_file():
        facts = json.loads((folder / "embedder.json").read_text())
    return {"embedder_id": embedder_id, "handle": facts.get("handle"), "kept": bool(facts)}


def head(context: LoopContext, registered: RegisteredVersion) -> Facts:
    """The digest recorded at training, checked against the files in the model store."""
    folder = context.settings.models / registered.classifier / registered.version
    digest = registered.tags.get("head_digest", "")
    problem = problem_of(folder, digest=digest)
    return {
        "digest": digest,
        "location": str(folder),
        "verified": not problem,
        "problem": problem or None,
    }


def checks(context: LoopContext, registered: RegisteredVersion) -> Facts | None:
    """The results of the run's data checks; None when this home does not hold them."""
    run = registered.tags.get("run", "")
    file = context.settings.reports / "checks" / run / RESULT
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


def _committed_text(context: LoopContext, registered: RegisteredVersion, path: str) -> str | None:
    return file_at(context.settings.repository, registered.tags.get("git_commit", ""), path)
