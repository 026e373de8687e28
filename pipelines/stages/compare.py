"""Stage `compare`: trains and scores the heads under `compare` beside the chosen one.

All are trained and tested on the same split, without the block's rules. Only reports read the
result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from core.files import replacing, write_json
from core.logs import get_logger, timed
from pipelines.stages.files import SPEC, classifier_folder, read_json, read_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.model.head_file import Head
    from pipelines.model.memory import Memory

WITH_RULES = " with rules"
COLUMNS = {
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "calibration_error": "calibration error",
    "unseen_weighted_f1": "unseen: weighted F1",
    "unseen_macro_f1": "macro F1",
    "unseen_accuracy": "accuracy",
    "unseen_calibration_error": "calibration error",
}


def run(key: str) -> None:
    """Compare the heads of one classifier.

    Reads build/spec/<key>/compare.json; writes build/classifiers/<key>/comparison/, which is empty
    of heads when none is listed.
    """
    spec = read_json(SPEC / key / "compare.json")
    folder = classifier_folder(key) / "comparison"
    heads: dict[str, dict[str, float]] = {}
    if spec["heads"]:
        heads = {**chosen_scores(key, spec["chosen"]), **score_heads(key, spec)}
    write_json(folder / "scores.json", {"chosen": spec["chosen"], "heads": heads})
    with replacing(folder / "table.md") as part:
        part.write_text(comparison_page(heads, chosen=spec["chosen"]), encoding="utf-8")


def chosen_scores(key: str, name: str) -> dict[str, dict[str, float]]:
    """Return name -> metrics and bytes of the chosen head.

    One with rules has two entries: without them, as the other heads are scored, and as it answers,
    which is what `evaluate` has written.
    """
    from pipelines.model.head_file import judged_folder, load_head
    from pipelines.stages.evaluation import tested_rows
    from pipelines.stages.memories import training_memory

    folder = classifier_folder(key)
    size = _size(folder / "model")
    as_answered = {**read_json(folder / "evaluation" / "metrics.json"), "bytes": size}
    judged = load_head(judged_folder(folder / "model"))
    if not judged.rules:
        return {name: as_answered}
    labels = read_rows(folder / "split" / "labels.parquet")
    memory = training_memory(labels, classifier=key)
    alone = score_head(key, replace(judged, rules=()), tested_rows(key), memory)
    return {name: {**alone, "bytes": size}, f"{name}{WITH_RULES}": as_answered}


def score_heads(key: str, spec: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return name -> metrics and bytes of each head of compare.json.

    Heavy libraries are imported here, because most blocks list no head.
    """
    from pydantic import TypeAdapter

    from core.params.heads import Head as HeadParams
    from pipelines.model.heads import fit_head
    from pipelines.stages.evaluation import tested_rows
    from pipelines.stages.memories import training_memory
    from pipelines.stages.training_pairs import training_rows

    rows = training_rows(key)
    tested = tested_rows(key)
    labels = read_rows(classifier_folder(key) / "split" / "labels.parquet")
    memory = training_memory(labels, classifier=key)
    scores = {}
    for name, block in spec["heads"].items():
        params: HeadParams = TypeAdapter(HeadParams).validate_python(block)
        with timed("head", classifier=key, head=name):
            head = fit_head(
                params,
                training=rows,
                embedder_id="compared",
                seed=spec["seed"],
                favour=spec.get("favour", "weighted"),
            )
            scores[name] = score_head(key, head, tested, memory)
        get_logger().info("head compared", classifier=key, head=name, **scores[name])
    return scores


def score_head(key: str, head: Head, tested: pa.Table, memory: Memory) -> dict[str, float]:
    """Return metrics and bytes of a head, as loaded from its file, beside the memory."""
    from pipelines.model.head_file import load_head, save_head
    from pipelines.stages.evaluation import answer_rows, evaluate, flat_metrics

    with TemporaryDirectory() as folder:
        save_head(head, Path(folder))
        answered = answer_rows(load_head(Path(folder)), tested, memory=memory)
        return {**flat_metrics(evaluate(key, answered)), "bytes": _size(Path(folder))}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("head.*"))


def comparison_page(heads: Mapping[str, Mapping[str, float]], *, chosen: str) -> str:
    """Return a Markdown table, the best weighted F1 first; empty for no heads."""
    if not heads:
        return ""
    ranked = sorted(heads.items(), key=lambda head: (-head[1]["weighted_f1"], head[0]))
    lines = [("head", *COLUMNS.values(), "MB"), ("---",) * (len(COLUMNS) + 2)]
    for name, scores in ranked:
        title = f"**{name}** (chosen)" if name == chosen else name
        lines.append((title, *cells(scores)))
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    note = "\n\nAll are scored without rules; one row has the chosen head as it answers, with them."
    with_rules = f"{chosen}{WITH_RULES}" in heads
    return f"## Heads trained and tested on the same rows{note if with_rules else ''}\n\n{table}"


def cells(scores: Mapping[str, float]) -> list[str]:
    """Return the numbers under COLUMNS, a dash where no test row was unseen, and the size in MB."""
    return [
        *(f"{scores[name]:.4f}" if name in scores else "–" for name in COLUMNS),
        f"{scores['bytes'] / 1e6:.2f}",
    ]


def logged_metrics(folder: Path) -> dict[str, float]:
    """Return `compare/<head>/<metric>` -> value; empty when no head was compared.

    A space stands for `=`, which MLflow does not accept in a name.
    """
    heads = read_json(folder / "scores.json")["heads"].items()
    return {
        f"compare/{name.replace('=', ' ')}/{metric}": value
        for name, scores in heads
        for metric, value in scores.items()
    }
