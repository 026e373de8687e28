"""Stage `compare`: the heads listed under `compare`, trained and scored beside the chosen one on the same split. Only reports read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from core.files import replacing, write_json
from core.logs import get_logger, timed
from pipelines.stages.files import SPEC, classifier_folder, read_json

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.model.head_file import Head

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
    """Read build/spec/<key>/compare.json; write build/classifiers/<key>/comparison/: empty when no head is listed."""
    spec, folder = read_json(SPEC / key / "compare.json"), classifier_folder(key) / "comparison"
    heads = (
        {spec["chosen"]: chosen_scores(key), **score_heads(key, spec["heads"], seed=spec["seed"])}
        if spec["heads"]
        else {}
    )
    write_json(folder / "scores.json", {"chosen": spec["chosen"], "heads": heads})
    with replacing(folder / "table.md") as part:
        part.write_text(comparison_page(heads, chosen=spec["chosen"]), encoding="utf-8")


def chosen_scores(key: str) -> dict[str, float]:
    """What the stages before have found: the metrics of the evaluation, and the size of the head."""
    folder = classifier_folder(key)
    return {**read_json(folder / "evaluation" / "metrics.json"), "bytes": _size(folder / "model")}


def score_heads(
    key: str, heads: Mapping[str, Mapping[str, Any]], *, seed: int
) -> dict[str, dict[str, float]]:
    """Name -> metrics and bytes of each head. Heavy libraries are imported here: most blocks list no head."""
    from pydantic import TypeAdapter

    from core.head_params import Head as HeadParams
    from pipelines.model.heads import fit_head
    from pipelines.stages.evaluation import tested_rows
    from pipelines.stages.train import training_rows

    rows, tested, scores = training_rows(key), tested_rows(key), {}
    for name, said in heads.items():
        params: HeadParams = TypeAdapter(HeadParams).validate_python(said)
        with timed("head", classifier=key, head=name):
            scores[name] = score_head(
                key, fit_head(params, training=rows, embedder_id="compared", seed=seed), tested
            )
        get_logger().info("head compared", classifier=key, head=name, **scores[name])
    return scores


def score_head(key: str, head: Head, tested: pa.Table) -> dict[str, float]:
    """Metrics and bytes of a head as it would be loaded from its file."""
    from pipelines.model.head_file import load_head, save_head
    from pipelines.stages.evaluation import answer_rows, evaluate, flat_metrics

    with TemporaryDirectory() as folder:
        save_head(head, Path(folder))
        answered = answer_rows(load_head(Path(folder)), tested)
        return {**flat_metrics(evaluate(key, answered)), "bytes": _size(Path(folder))}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def comparison_page(heads: Mapping[str, Mapping[str, float]], *, chosen: str) -> str:
    """A Markdown table, the best weighted F1 first; empty for no head."""
    if not heads:
        return ""
    ranked = sorted(heads.items(), key=lambda head: (-head[1]["weighted_f1"], head[0]))
    lines = [("head", *COLUMNS.values(), "MB"), ("---",) * (len(COLUMNS) + 2)]
    lines += [
        (f"**{name}** (chosen)" if name == chosen else name, *cells(scores))
        for name, scores in ranked
    ]
    return "## Heads trained and tested on the same rows\n\n" + "".join(
        f"| {' | '.join(line)} |\n" for line in lines
    )


def cells(scores: Mapping[str, float]) -> list[str]:
    """The numbers under COLUMNS, a dash where no test row was unseen, and the size."""
    return [
        *(f"{scores[name]:.4f}" if name in scores else "–" for name in COLUMNS),
        f"{scores['bytes'] / 1e6:.2f}",
    ]


def logged_metrics(folder: Path) -> dict[str, float]:
    """`compare/<head>/<metric>` -> value, for MLflow, which takes no `=` in a name; empty when no head was compared."""
    heads = read_json(folder / "scores.json")["heads"].items()
    return {
        f"compare/{name.replace('=', ' ')}/{metric}": value
        for name, scores in heads
        for metric, value in scores.items()
    }
