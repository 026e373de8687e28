"""Compares the two runtimes of the embedder: speed, memory, cold start, size, quality of heads.

    python -m benchmarks.embedder [--quick] [--json]

Needs the demo's snapshot (`make data`, then `dvc repro`). Each measurement runs in a new process
that loads what the embedder's process of the service loads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.embedder_heads import Quality, compare_heads, quality_table
from benchmarks.harness import (
    Bar,
    Result,
    interleave,
    median,
    options,
    present,
    progress,
    table,
    timed,
)
from benchmarks.installed import installed_size
from bentos.packaging.package import SERVING_LOCKS
from core.builtin_embedder import USE
from pipelines.model.embedder import LITERT, RUNTIMES, TENSORFLOW
from pipelines.model.embedder_building import build_embedder, convert_embedder
from pipelines.stages.files import read_rows

BATCHES = (1, 8, 32, 256)
MEGA = 1e6
PACKAGES = ("tensorflow", "ai-edge-litert", "sentencepiece", "numpy", "scikit-learn")


def main() -> None:
    """Measure and print. With --embed, this is one of the measured processes."""
    parser = options("Compare TensorFlow and LiteRT as the embedder's runtime.")
    parser.add_argument(
        "--embed", nargs=3, metavar=("RUNTIME", "FOLDER", "FILE"), help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--classifiers",
        nargs="*",
        default=["chapter", "block"],
        help="classifiers whose heads are trained on both runtimes (default: chapter block)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="processes per runtime; medians are reported (default 3; 1 with --quick)",
    )
    arguments = parser.parse_args()
    if arguments.embed:
        measure_process(*arguments.embed, quick=arguments.quick)
        return
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(
            Path(scratch),
            arguments.classifiers,
            rounds=1 if arguments.quick else arguments.rounds,
            quick=arguments.quick,
            seed=arguments.seed,
        )
    present(result, title="Embedder", packages=PACKAGES, arguments=arguments)


def measure(
    scratch: Path, classifiers: Sequence[str], *, rounds: int, quick: bool, seed: int
) -> Result:
    """Build both forms, measure each in new processes by turns, then train on their vectors."""
    build_both(scratch)
    phrases = read_rows(Path("build/embeddings/phrases.parquet"))["cleaned"].to_pylist()
    chosen = np.random.default_rng(seed).permutation(len(phrases))[: 4000 if quick else None]
    phrases = [phrases[place] for place in sorted(chosen)]
    (scratch / "phrases.json").write_text(json.dumps(phrases), encoding="utf-8")
    reports: dict[str, list[dict[str, Any]]] = {runtime: [] for runtime in RUNTIMES}

    def turn(runtime: str) -> None:
        reports[runtime].append(run_process(runtime, scratch, quick=quick))

    interleave({runtime: partial(turn, runtime) for runtime in RUNTIMES}, rounds=rounds)
    figures = {
        runtime: {name: median(turn[name] for turn in turns) for name in turns[0]}
        for runtime, turns in reports.items()
    }
    for runtime, runtime_figures in figures.items():
        runtime_figures |= sizes(runtime, scratch / runtime)
    vectors = {runtime: np.load(scratch / f"{runtime}.npy") for runtime in RUNTIMES}
    quality = {}
    if not quick:
        quality = {name: compare_heads(name, phrases, vectors) for name in classifiers}
    cosines = np.einsum("ij,ij->i", vectors[LITERT], vectors[TENSORFLOW])
    similarity = {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min())}
    return build_result(figures, similarity, quality, phrases=len(phrases))


def build_both(scratch: Path) -> None:
    """Build the SavedModel and its LiteRT form, one folder per runtime."""
    progress("building both forms")
    build_embedder(USE, scratch / TENSORFLOW)
    convert_embedder(scratch / TENSORFLOW, scratch / LITERT)


def run_process(runtime: str, scratch: Path, *, quick: bool) -> dict[str, Any]:
    """Measure one runtime in a new process.

    `cold_seconds` is the time from its start to its first embedding.
    """
    argv = [
        sys.executable,
        "-m",
        "benchmarks.embedder",
        "--embed",
        runtime,
        str(scratch / runtime),
        str(scratch / "phrases.json"),
    ]
    started = time.time()
    done = subprocess.run(
        [*argv, *["--quick"] * quick], stdout=subprocess.PIPE, text=True, check=True
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"cold_seconds": report.pop("ready_at") - started, **report}


def measure_process(runtime: str, folder: str, file: str, *, quick: bool) -> None:
    """Run in the measured process: load, embed all phrases, write the vectors beside `file`."""
    import bentos.service  # noqa: F401  the embedder's process imports it too
    from pipelines.model.embedder import load_model

    embed = load_model(Path(folder), runtime=runtime)
    embed(["heart valve"])
    facts: dict[str, Any] = {
        "ready_at": time.time(),
        "cold_cpu_seconds": time.process_time(),
        "loaded_pss_mb": proportional_size(),
    }
    phrases = json.loads(Path(file).read_text(encoding="utf-8"))
    timed_phrases = phrases[: 500 if quick else 2000]
    for size in BATCHES:
        facts[f"cpu_ms_at_{size}"] = cpu_ms_per_phrase(embed, timed_phrases, size)
    facts["used_pss_mb"] = proportional_size()
    facts["without_tensorflow"] = float("tensorflow" not in sys.modules)
    from pipelines.stages.embed import embed_steadily

    with timed() as whole:
        np.save(Path(file).with_name(f"{runtime}.npy"), embed_steadily(phrases, embed=embed))
    print(json.dumps(facts | {"all_seconds": whole.wall, "all_cpu_seconds": whole.cpu}))


def cpu_ms_per_phrase(embed: Any, phrases: Sequence[str], size: int) -> float:
    """CPU milliseconds per phrase of all threads, in batches of `size`."""
    embed(phrases[:size])
    before = time.process_time()
    for start in range(0, len(phrases), size):
        embed(phrases[start : start + size])
    return (time.process_time() - before) * 1000 / len(phrases)


def proportional_size() -> float:
    """Proportional set size (PSS) of this process in megabytes."""
    return float(psutil.Process(os.getpid()).memory_full_info().pss / MEGA)


def sizes(runtime: str, folder: Path) -> dict[str, float]:
    """Megabytes of the model on disk, and of the packages that serve it with this runtime."""
    model = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"model_mb": model / MEGA, "packages_mb": installed_size(SERVING_LOCKS[runtime]) / MEGA}


def build_result(
    figures: Mapping[str, dict[str, Any]],
    similarity: Mapping[str, float],
    quality: Quality,
    *,
    phrases: int,
) -> Result:
    """Put the figures into tables and bars."""
    result = Result(
        figures={**figures, **similarity, "quality": quality},
        input=f"{phrases} distinct phrases of the demo's snapshot",
    )
    result.tables = [
        runtime_table(figures),
        f"Cosine of the two forms: mean {similarity['cosine_mean']:.5f}, "
        f"least {similarity['cosine_min']:.5f}.",
    ]
    litert = figures[LITERT]
    result.bars = [
        Bar(
            "litert: seconds from start of the process to its first embedding",
            litert["cold_seconds"],
            10,
        ),
        Bar("litert: PSS of the embedder's process after use, MB", litert["used_pss_mb"], 700),
        Bar("litert: TensorFlow is not imported", litert["without_tensorflow"], 1, at_least=True),
    ]
    if quality:
        result.tables.append(quality_table(quality))
        drops = {
            name: forms[TENSORFLOW]["weighted_f1"] - forms[LITERT]["weighted_f1"]
            for name, forms in quality.items()
        }
        result.bars += [
            Bar(f"litert: weighted F1 that {name} loses", drop, 0.005)
            for name, drop in drops.items()
        ]
    return result


ROWS = {
    **{f"CPU ms a phrase, batches of {size}": (f"cpu_ms_at_{size}", "{:.3f}") for size in BATCHES},
    "start of process to first embedding, s": ("cold_seconds", "{:.1f}"),
    "the same, CPU s": ("cold_cpu_seconds", "{:.1f}"),
    "PSS once loaded, MB": ("loaded_pss_mb", "{:.0f}"),
    "PSS after use, MB": ("used_pss_mb", "{:.0f}"),
    "all phrases, as stage embed does, CPU s": ("all_cpu_seconds", "{:.1f}"),
    "model on disk, MB": ("model_mb", "{:.0f}"),
    "packages that serve, installed, MB": ("packages_mb", "{:.0f}"),
}


def runtime_table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """One row per figure, with the ratio of TensorFlow to LiteRT."""

    def cells() -> Iterable[Sequence[str]]:
        for title, (name, form) in ROWS.items():
            tensorflow = figures[TENSORFLOW][name]
            litert = figures[LITERT][name]
            yield title, form.format(tensorflow), form.format(litert), f"{tensorflow / litert:.1f}"

    return table(("", TENSORFLOW, LITERT, "ratio"), cells())


if __name__ == "__main__":
    main()
