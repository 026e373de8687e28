"""Stage `embedder`: builds the frozen embedder in the runtime that will serve it.

Records its identity, and how close it is to the model that it was built from.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.builtin_embedder import USE
from core.files import write_json
from pipelines.model.embedder import LITERT, TENSORFLOW, Embed, load_model
from pipelines.model.embedder_building import build_embedder, convert_embedder
from pipelines.stages.files import EMBEDDER, SPEC, read_json
from pipelines.stages.parity import measure_loss, measure_parity


def run() -> None:
    """Read build/spec/embedder.json; write build/embedder/: the model, and embedder.json.

    `parity` is the largest difference to the numpy reference, null for an embedder without one.
    LiteRT records its loss against the float form instead; see `measure_loss`.
    """
    spec = read_json(SPEC / "embedder.json")
    shutil.rmtree(EMBEDDER, ignore_errors=True)
    made = _make_litert() if spec["runtime"] == LITERT else _make_tensorflow(spec["handle"])
    write_json(EMBEDDER / "embedder.json", {**spec, **made})


def _make_tensorflow(handle: str) -> Mapping[str, Any]:
    identity = build_embedder(handle, EMBEDDER)
    embed = load_model(EMBEDDER, runtime=TENSORFLOW)
    return {
        "embedder_id": identity,
        "dimensions": _width(embed),
        "parity": measure_parity(embed) if handle == USE else None,
    }


def _make_litert() -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        build_embedder(USE, Path(scratch))
        identity = convert_embedder(Path(scratch), EMBEDDER)
        embed = load_model(EMBEDDER, runtime=LITERT)
        loss = measure_loss(embed, of=load_model(Path(scratch), runtime=TENSORFLOW))
    return {"embedder_id": identity, "dimensions": _width(embed), **loss}


def _width(embed: Embed) -> int:
    return int(embed(["a"]).shape[1])
