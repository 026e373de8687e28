"""Stage `embedder`: the frozen embedder as a SavedModel, and who it is."""

from __future__ import annotations

import math
import shutil

import numpy as np

from pipelines.model.embedder import USE, Embed, build_use, fetch_embedder, load_embedder, reference_embed
from pipelines.stages.files import EMBEDDER, SPEC, read_json, write_json

PARITY_PHRASES = (
    "chronic kidney disease, stage 3",
    "fracture of the left femur, initial encounter for closed fracture",
    "type 2 diabetes",
    "a",
    "",
    "0.9% nacl 500 ml",
    "influenza a/h1n1",
    "w/o complication (unspecified)",
    "schmerzen im rücken",
    "straße",
    "douleur thoracique aiguë",
    "dolor de cabeza crónico",
    "головная боль",
    "心臓病",
    "급성 신부전",
    "حمى مجهولة السبب",
    "ปวดหัว",
    "how do i activate my new card",
    "what is the exchange rate today",
    "x" * 300,
    "one two three " * 60,
)


def run() -> None:
    """Read build/spec/embedder.json; write build/embedder/saved_model/ and embedder.json.

    `parity` is the largest difference to the numpy reference; null for an embedder that has none.
    """
    handle, folder = read_json(SPEC / "embedder.json")["handle"], EMBEDDER / "saved_model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    identity = build_use(folder) if handle == USE else fetch_embedder(handle, folder)
    embed = load_embedder(folder)
    facts = {"embedder_id": identity, "handle": handle, "dimensions": embed(["a"]).shape[1]}
    write_json(EMBEDDER / "embedder.json", {**facts, "parity": measure_parity(embed) if handle == USE else None})


def measure_parity(embed: Embed) -> float:
    """The largest difference to the reference on fixed phrases, rounded up to two digits."""
    difference = float(np.abs(embed(PARITY_PHRASES) - reference_embed(PARITY_PHRASES)).max())
    step = 10.0 ** (math.floor(math.log10(difference)) - 1) if difference else 1.0
    return float(f"{math.ceil(difference / step) * step:.2g}")
