"""Stage `train`: fits a judged and a served head on the rows and their embeddings."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from core.files import write_json
from core.head_params import Head as HeadParams
from pipelines.model.head_file import JUDGED, Head, save_head
from pipelines.model.heads import Heads, TrainingRows, fit_heads
from pipelines.model.rules import JUDGED_RULES, RuleRows, judge_rules
from pipelines.stages.files import EMBEDDINGS, SPEC, classifier_folder, read_json, read_rows
from pipelines.stages.vectors import read_vectors

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.model.embedder import Embed


def run(key: str) -> None:
    """Train the head of one classifier.

    Reads build/spec/<key>/head.json, the split and build/embeddings; writes
    the served head to build/classifiers/<key>/model/, and the judged one, which has not seen the
    test rows, to its folder judged/.
    """
    spec: dict[str, Any] = read_json(SPEC / key / "head.json")
    seed = spec.pop("seed")
    rules = spec.pop("rules", [])
    params: HeadParams = TypeAdapter(HeadParams).validate_python(spec)
    embedder_id = read_json(EMBEDDINGS / "embedder.json")["embedder_id"]
    rows = training_rows(key)
    heads = fit_heads(params, training=rows, embedder_id=embedder_id, seed=seed)
    folder = classifier_folder(key) / "model"
    if rules:
        judged_rules, kept = judge_rules(rules, heads.judged.labels, rule_rows(heads.judged, rows))
        heads = Heads(replace(heads.judged, rules=kept), replace(heads.served, rules=kept))
        write_json(folder / JUDGED_RULES, {"rules": [asdict(rule) for rule in judged_rules]})
    save_head(heads.served, folder)
    save_head(heads.judged, folder / JUDGED)


def rule_rows(judged: Head, rows: TrainingRows) -> RuleRows:
    """Return the test rows of the training pairs with the judged head's answers."""
    tested = rows.tested()
    codes = judged.probabilities(tested.cleaned.tolist(), tested.vectors).argmax(axis=1)
    return RuleRows(
        cleaned=tested.cleaned,
        truth=tested.labels,
        answered=np.array(judged.labels, dtype=str)[codes],
        rows=tested.weights,
    )


def training_rows(key: str, *, root: Path = Path()) -> TrainingRows:
    """Return the distinct (cleaned, label) of the split with their embeddings.

    `root` is the checkout in which the stages ran.
    """
    table = read_rows(root / classifier_folder(key) / "split" / "train.parquet")
    return rows_of(table, embed=partial(read_vectors, folder=root / EMBEDDINGS))


def rows_of(table: pa.Table, *, embed: Embed) -> TrainingRows:
    """Return the pairs of a `training_table` with their embeddings."""
    cleaned = table["cleaned"].to_pylist()
    return TrainingRows(
        cleaned=np.array(cleaned, dtype=object),
        labels=np.array(table["label"].to_pylist(), dtype=str),
        weights=table["rows"].to_numpy().astype(np.float64),
        vectors=embed(cleaned),
        validation=table["validation"].to_numpy(zero_copy_only=False),
        present=table["present"].to_numpy(zero_copy_only=False),
        test_weights=table["test_rows"].to_numpy().astype(np.float64),
        present_with_test=table["present_with_test"].to_numpy(zero_copy_only=False),
    )
