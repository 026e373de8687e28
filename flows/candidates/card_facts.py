"""The facts of a version, read from what its run logged, from the database and from params.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from core.tables.loop import decision
from core.tables.loop import snapshot as snapshot_table
from flows.context import LoopContext
from pipelines.cards.card import Facts
from pipelines.cards.derived import derive
from pipelines.model.rules import ON
from pipelines.registry import CHECKS, RegisteredVersion
from pipelines.stage_times import read_times
from pipelines.workspace import Workspace

RECORDS = "records"
"""Artifact folder of a run: what its cards are written from beside the evaluation."""
TAGS = ("run", "reason", "git_commit", "git_tag", "embedder_id", "data_md5")


def log_records(context: LoopContext, workspace: Workspace, classifier: str, run_id: str) -> None:
    """Log the counts of the split, the bias and the times of the stages as artifacts of the run."""
    built = workspace.folder / "build" / "classifiers" / classifier
    records = {
        "split": json.loads((built / "split" / "report.json").read_text(encoding="utf-8")),
        "bias": json.loads((built / "bias" / "bias.json").read_text(encoding="utf-8")),
        "times": read_times(workspace.folder, classifier),
    }
    with TemporaryDirectory() as temporary:
        for name, content in records.items():
            text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
            (Path(temporary) / f"{name}.json").write_text(text, encoding="utf-8")
        context.registry.log_folder(run_id, Path(temporary), RECORDS)
    kinds: Mapping[str, Any] = records["bias"]["kinds"]
    numbers = {f"bias/{kind}": measured.get("value") for kind, measured in kinds.items()}
    context.registry.log_numbers(run_id, numbers)


def read_facts(context: LoopContext, registered: RegisteredVersion) -> Facts:
    """Return the facts of a version; what an older version has not recorded is left out."""
    classifier = registered.classifier
    block = context.params.classifiers.get(classifier)
    params = block.model_dump(mode="json") if block else {}
    with TemporaryDirectory() as temporary:
        recorded, predictions = _recorded(context, registered, Path(temporary))
    gate = _gate(context, registered)
    dataset = block.source.dataset if block else None
    facts = {
        "classifier": classifier,
        "version": registered.version,
        "params": params,
        "run": {name: registered.tags.get(name) for name in TAGS},
        "gate": gate,
        "snapshot": _snapshot(context, registered, dataset),
        **recorded,
        "derived": derive(
            predictions, costs=params.get("costs"), times=recorded.get("times") or {}
        ),
    }
    return {**facts, **_counts(facts)}


def _recorded(
    context: LoopContext, registered: RegisteredVersion, folder: Path
) -> tuple[dict[str, Any], pa.Table | None]:
    """Return the JSON files of the run by name, and its predictions."""

    def fetched(artifact: str) -> Path | None:
        return context.registry.artifact(registered.run_id, artifact, folder)

    files = {
        "evaluation": "evaluation/evaluation.json",
        "head": "head/head.json",
        "checks": f"{CHECKS}/result.json",
        **{name: f"{RECORDS}/{name}.json" for name in ("split", "bias", "times")},
    }
    paths = {name: fetched(artifact) for name, artifact in files.items()}
    facts = {
        name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path
    }
    rows = fetched("evaluation/predictions.parquet")
    return facts, pq.read_table(rows) if rows else None


def _gate(context: LoopContext, registered: RegisteredVersion) -> dict[str, Any] | None:
    """Return the newest verdict of the gate about the version."""
    table = decision.c
    query = (
        sa.select(table.kind, table.reasons, table.evidence)
        .where(
            table.classifier == registered.classifier,
            table.subject == "gate",
            table.evidence["version"].astext == registered.version,
        )
        .order_by(table.id.desc())
        .limit(1)
    )
    with context.engine.connect() as connection:
        row = connection.execute(query).mappings().one_or_none()
    return dict(row) if row else None


def _snapshot(
    context: LoopContext, registered: RegisteredVersion, dataset: str | None
) -> dict[str, Any] | None:
    """Return the row of the snapshot that the version learnt from."""
    table = snapshot_table.c
    query = (
        sa.select(snapshot_table)
        .where(
            table.git_tag == registered.tags.get("git_tag", ""),
            table.git_tag != "",
            table.dataset == dataset,
        )
        .order_by(table.id.desc())
        .limit(1)
    )
    with context.engine.connect() as connection:
        row = connection.execute(query).mappings().one_or_none()
    return {**row, "as_of": row["as_of"].isoformat()} if row else None


def _counts(facts: Mapping[str, Any]) -> dict[str, int]:
    """Return how many entries the lists and tables of the facts have."""
    checks = (facts.get("checks") or {}).get("checks", [])
    measures = (facts.get("bias") or {}).get("measures", [])
    rules = (facts.get("evaluation") or {}).get("rules", [])
    column = (facts["params"].get("source") or {}).get("label")
    summary = (facts.get("snapshot") or {}).get("summary", {})
    return {
        "labels": len((facts.get("head") or {}).get("labels", ())),
        "rules": sum(rule["state"] == ON for rule in rules),
        "labels_left_out": len((facts.get("split") or {}).get("left_out", ())),
        "groups_not_measured": sum(bool(row["missing"]) for row in measures),
        "snapshot_labels": len(summary.get("labels", {}).get(column, ())),
        "checks_made": len(checks),
        "checks_failed": sum(not check["passed"] for check in checks),
    }
