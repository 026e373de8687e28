"""Stage `suspects`: labels that are probably wrong, and labels to merge or to split.

Nothing is left out of training by it: people look at the suspects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from core.files import replacing, write_json
from core.logs import get_logger
from core.params.costs import CostParams
from pipelines.labels.costs import cost_matrix
from pipelines.labels.merging import simulate_merges
from pipelines.labels.out_of_fold import answer_out_of_fold, judged_phrases
from pipelines.labels.page import labels_page
from pipelines.labels.report import (
    Rows,
    describe_labels,
    list_suspects,
    missing_reports,
    ranked_suspects,
)
from pipelines.labels.splitting import simulate_splits
from pipelines.labels.wrong import judge_pairs
from pipelines.model.training import TrainingRows
from pipelines.not_measured import NotMeasured, measured
from pipelines.stages.files import DATA, SPEC, classifier_folder, read_json, read_rows
from pipelines.stages.training_pairs import training_rows

WEEK = pd.Timedelta(weeks=1)


def run(key: str) -> None:
    """Judge the labels of one classifier.

    Reads build/spec/<key>/{split,costs}.json, the split, build/embeddings and data/<dataset>/;
    writes build/classifiers/<key>/suspects/. What fails is reported as not measured.
    """
    outcome = measured("suspects", lambda: _write(key, *_judge_labels(key)), classifier=key)
    if isinstance(outcome, NotMeasured):
        _write(key, *missing_reports(outcome))


def _write(key: str, suspects: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    folder = classifier_folder(key) / "suspects"
    write_json(folder / "suspects.json", suspects)
    write_json(folder / "labels.json", described)
    with replacing(folder / "table.md") as part:
        part.write_text(labels_page(suspects, described), encoding="utf-8")
    counts = {name: suspects[name] for name in ("judged", "found", "listed")}
    get_logger().info("suspects", classifier=key, **counts)


def _judge_labels(key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the suspects, and the labels to merge or to split."""
    spec = read_json(SPEC / key / "split.json")
    costs = CostParams.model_validate(read_json(SPEC / key / "costs.json"))
    rows = training_rows(key)
    phrases = judged_phrases(rows, seed=spec["seed"])
    answers = answer_out_of_fold(phrases, seed=spec["seed"])
    pairs = judge_pairs(rows, phrases, answers)

    labels = read_rows(classifier_folder(key) / "split" / "labels.parquet").to_pandas()
    weeks = max((labels["occurred_at"].max() - labels["occurred_at"].min()) / WEEK, 1.0)
    ranked, number = ranked_suspects(
        pairs, confirmed=_given_by_people(labels), rows=rows, weeks=weeks
    )
    listed = list_suspects(
        pairs,
        ranked,
        rows=rows,
        phrases=phrases,
        source_rows=_source_rows(spec["dataset"], labels, _pairs(rows, pairs.places[ranked])),
        weeks=weeks,
    )
    matrix = cost_matrix(costs, phrases.labels)
    merges = simulate_merges(phrases, answers, matrix)
    splits = simulate_splits(phrases, answers, matrix, seed=spec["seed"])

    counts = {"judged": len(pairs.places), "found": number, "listed": len(listed)}
    described = describe_labels(phrases, answers, merges, splits)
    return {**counts, "suspects": listed}, described


def _pairs(rows: TrainingRows, places: np.ndarray) -> set[tuple[str, str]]:
    return set(zip(rows.cleaned[places].tolist(), rows.labels[places].tolist(), strict=True))


def _given_by_people(labels: pd.DataFrame) -> set[tuple[str, str]]:
    """Return (cleaned, label) of the rows that come from feedback: somebody has looked at them."""
    given = labels[~labels["from_source"]]
    return set(zip(given["cleaned"], given["label"], strict=True))


def _source_rows(dataset: str, labels: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> Rows:
    """Return the rows of each pair, as the snapshot holds them, oldest first."""
    wanted = pd.DataFrame(sorted(pairs), columns=["cleaned", "label"])
    chosen = labels.merge(wanted, on=["cleaned", "label"]).sort_values(["occurred_at", "id"])
    facts = _facts(DATA / dataset / "rows.parquet", chosen["id"].tolist())
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in chosen.itertuples():
        fact = facts[row.id]
        rows.setdefault((row.cleaned, row.label), []).append(
            {"id": row.id, "occurred_at": row.occurred_at.isoformat(), **fact}
        )
    return rows


def _facts(path: Path, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Return id -> phrase and region."""
    table = read_rows(path, columns=["id", "phrase", "region"])
    value_set = pa.array(ids, table.schema.field("id").type)
    table = table.filter(pc.is_in(table["id"], value_set=value_set))
    return {
        row["id"]: {"phrase": row["phrase"], "region": row["region"]} for row in table.to_pylist()
    }
