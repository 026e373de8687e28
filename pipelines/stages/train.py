"""Stage `train`: fits a judged and a served head on the rows and their embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from core.files import write_json
from core.params.heads import Head as HeadParams
from pipelines.model.head_file import JUDGED, Head, Line, save_head
from pipelines.model.heads import Heads, TrainingRows, head_fits
from pipelines.model.rules import JUDGED_RULES, RuleRows, judge_rules
from pipelines.model.self_training import REPORT
from pipelines.model.training_phrases import choose_training_phrases, save_training_phrases
from pipelines.stages.files import EMBEDDINGS, SPEC, classifier_folder, read_json
from pipelines.stages.self_training import Fits, fit_self_trained
from pipelines.stages.training_pairs import rows_of, training_rows
from pipelines.stages.unlabelled import read_unlabelled_part
from pipelines.stages.vectors import read_vectors

__all__ = ["rows_of", "rule_rows", "run", "training_rows"]


def run(key: str) -> None:
    """Train the head of one classifier.

    Reads head.json and self_training.json of build/spec/<key>/, the split and build/embeddings;
    writes the served head to build/classifiers/<key>/model/, beside it the phrases that it was
    trained on, and the judged head, which has not seen the test rows, to its folder judged/.
    """
    spec: dict[str, Any] = read_json(SPEC / key / "head.json")
    seed = spec.pop("seed")
    rules = spec.pop("rules", [])
    line = Line(**spec.pop("line")) if "line" in spec else None
    favour = spec.pop("favour", "weighted")  # older files have no such key
    params: HeadParams = TypeAdapter(HeadParams).validate_python(spec)
    embedder_id = read_json(EMBEDDINGS / "embedder.json")["embedder_id"]

    rows = training_rows(key)
    fits = partial(head_fits, params, embedder_id=embedder_id, seed=seed, favour=favour)
    folder = classifier_folder(key) / "model"
    heads = _fitted(key, rows, fits, folder)
    heads = Heads(replace(heads.judged, line=line), replace(heads.served, line=line))

    if rules:
        judged_rules, kept = judge_rules(rules, heads.judged.labels, rule_rows(heads.judged, rows))
        heads = Heads(replace(heads.judged, rules=kept), replace(heads.served, rules=kept))
        write_json(folder / JUDGED_RULES, {"rules": [asdict(rule) for rule in judged_rules]})

    save_head(heads.served, folder)
    save_head(heads.judged, folder / JUDGED)
    save_training_phrases(choose_training_phrases(rows.with_test()), folder)


def _fitted(key: str, rows: TrainingRows, fits: Fits, folder: Path) -> Heads:
    """Fit both heads; a block that trains itself also gets a report of that."""
    spec: Mapping[str, Any] = read_json(SPEC / key / "self_training.json")
    if not spec:
        return Heads(*fits(rows))
    unlabelled = read_unlabelled_part(key)
    heads, report = fit_self_trained(rows, unlabelled, spec, fits=fits, embed=read_vectors)
    write_json(folder / REPORT, report)
    return heads


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
