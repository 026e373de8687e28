"""Text to vector: a frozen model in one of two runtimes behind one interface.

A head is served by the runtime that it was trained with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import EmbedderUnusable
from pipelines.model.arrays import Float32
from pipelines.model.litert import open_litert
from pipelines.model.saved_model import open_saved_model

Embed = Callable[[Sequence[str]], Float32]
"""Cleaned phrases -> float32 (n, d)."""

TENSORFLOW = "tensorflow"
LITERT = "litert"


@dataclass(frozen=True)
class Runtime:
    """How to open a model, its place below the embedder's folder, and the limits of one call.

    The limits bound memory (a token needs about 30 kB in the graph) and keep the work in the
    processor's cache; docs/benchmarks.md has the figures.
    """

    open: Callable[[str], Embed]
    place: str
    phrases: int
    characters: int


RUNTIMES: Mapping[str, Runtime] = {
    TENSORFLOW: Runtime(open_saved_model, "saved_model", phrases=256, characters=32_768),
    LITERT: Runtime(open_litert, ".", phrases=32, characters=4_096),
}


def read_embedder(folder: Path) -> dict[str, Any]:
    """Return embedder.json: `embedder_id`, `runtime`, `handle`, `dimensions`, and its parity.

    Raises `EmbedderUnusable` when the file cannot be read.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / "embedder.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise EmbedderUnusable(
            f"embedder.json in {folder}",
            came=str(error.strerror),
            do="run `dvc repro`, or set PERENNIAL_EMBEDDER",
        ) from None
    return {"runtime": TENSORFLOW, **facts}  # older files do not name their runtime


def load_embedder(folder: Path) -> Embed:
    """Load the embedder in `folder` with the runtime that its embedder.json names.

    The returned function works on one thread, in batches, and returns (0, d) for no phrases.
    Raises `EmbedderUnusable` when the model cannot be loaded or does not map to float32 (n, d).
    """
    return load_model(folder, runtime=str(read_embedder(folder)["runtime"]))


def load_model(folder: Path, *, runtime: str) -> Embed:
    """Do what `load_embedder` does, without an embedder.json."""
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

    def embed(cleaned: Sequence[str]) -> Float32:
        batches = _batches(cleaned, phrases=chosen.phrases, characters=chosen.characters)
        parts = [encode(batch) for batch in batches]
        return np.concatenate(parts) if parts else np.empty((0, width), np.float32)

    return embed


def _probe(encode: Embed, location: Path) -> int:
    """Return d. The call also traces the graph, before the first request needs it."""
    try:
        out = encode(["a", "b"])
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise EmbedderUnusable(
            "a model that takes strings",
            came=f"{location}: {line}",
            do="correct embedder.handle in params.yaml, or run `dvc repro embedder`",
        ) from error
    if out.ndim != 2 or out.shape[0] != 2 or out.dtype != np.float32:
        raise EmbedderUnusable(
            "one float32 vector per phrase",
            came=f"{out.dtype}{list(out.shape)} for 2 phrases from {location}",
            do="choose another handle",
        )
    return int(out.shape[1])


def _batches(cleaned: Sequence[str], *, phrases: int, characters: int) -> Iterator[Sequence[str]]:
    """Cut into runs within both limits; a phrase over `characters` is a batch of its own."""
    start = 0
    held = 0
    for place, phrase in enumerate(cleaned):
        full = place - start == phrases or held + len(phrase) > characters
        if place > start and full:
            yield cleaned[start:place]
            start = place
            held = 0
        held += len(phrase)
    if start < len(cleaned):
        yield cleaned[start:]
