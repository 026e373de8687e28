"""Stage `train`: fits a judged and a served head on the rows and their embeddings."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from core.head_params import Head as HeadParams
from pipelines.model.head_file import JUDGED, save_head
from pipelines.model.heads import fit_heads
from pipelines.stages.files import EMBEDDINGS, SPEC, classifier_folder, read_json
from pipelines.stages.training_pairs import rows_of, training_rows

__all__ = ["rows_of", "run", "training_rows"]


def run(key: str) -> None:
    """Train the head of one classifier.

    Reads build/spec/<key>/head.json, the split and build/embeddings; writes
    the served head to build/classifiers/<key>/model/, and the judged one, which has not seen the
    test rows, to its folder judged/.
    """
    spec: dict[str, Any] = read_json(SPEC / key / "head.json")
    seed = spec.pop("seed")
    params: HeadParams = TypeAdapter(HeadParams).validate_python(spec)
    embedder_id = read_json(EMBEDDINGS / "embedder.json")["embedder_id"]
    heads = fit_heads(params, training=training_rows(key), embedder_id=embedder_id, seed=seed)
    folder = classifier_folder(key) / "model"
    save_head(heads.served, folder)
    save_head(heads.judged, folder / JUDGED)
