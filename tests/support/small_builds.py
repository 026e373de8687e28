"""The build/ of one small classifier, made by the real stages in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from core.files import write_json
from core.params.schema import load_params
from pipelines.model.text import clean_learnable
from pipelines.stages import evaluate, split, train
from pipelines.stages.files import CHECK, EMBEDDINGS, SPEC
from pipelines.stages.resolve import specs
from pipelines.stages.vectors import store_vectors
from tests.support.training import vectors_of, write_snapshot

KEY = "organ"
ROWS = Path("data/notes/rows.parquet")
LABELS = Path("build/classifiers/organ/split/labels.parquet")


def build_small(*, change: Callable[[pa.Table], pa.Table] | None = None, **block: Any) -> Path:
    """Snapshot, split, train and evaluate in the current folder; return build/classifiers/organ.

    `change` alters the rows of the snapshot; `block` adds to the classifier's block.
    """
    write_snapshot(Path.cwd())
    if change is not None:
        pq.write_table(change(pq.read_table(ROWS)), ROWS)
    resolve_small(**block)
    write_json(CHECK / "result.json", {"verdict": "pass", "checks": []})
    embed_small(pq.read_table(ROWS)["phrase"].to_pylist())
    for stage in (split, train, evaluate):
        stage.run(KEY)
    return Path("build/classifiers") / KEY


def resolve_small(**block: Any) -> None:
    """Write params.yaml and build/spec/ of one classifier with a logistic head."""
    source = {"query": "queries/notes.sql", "label": KEY}
    classifier = {"source": source, "head": {"kind": "logistic"}, **block}
    params = Path("params.yaml")
    params.write_text(yaml.safe_dump({"seed": 7, "classifiers": {KEY: classifier}}))
    for path, content in specs(load_params(params)).items():
        write_json(SPEC / path, content)


def embed_small(phrases: Iterable[str]) -> None:
    """Store the vectors of tests/support/training.py for the phrases."""
    cleaned = sorted({clean_learnable(phrase) for phrase in phrases})
    store_vectors(EMBEDDINGS, cleaned, vectors_of(cleaned), "words")
