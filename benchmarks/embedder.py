"""The two runtimes of the embedder side by side: speed, memory, cold start, size, and the quality of heads trained on each.

    python -m benchmarks.embedder [--quick] [--json]

Needs the demo's snapshot (`make data`, then `dvc repro`). Each measurement is a process of its own, in the service's shape.
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

from benchmarks.harness import Bar, Result, interleave, median, options, present, table, tell, timed
from benchmarks.installed import installed_size
from bentos.packaging.package import SERVING_LOCKS
from core.builtin_embedder import USE
from core.params import load_params
from pipelines.model.embedder import LITERT, RUNTIMES, TENSORFLOW
from pipelines.model.embedder_building import build_embedder, convert_embedder
from pipelines.model.heads import fit_head
from pipelines.model.training import TrainingRows
from pipelines.stages.files import classifier_folder, read_rows
from pipelines.stages.scores import ScoredAnswers, score

BATCHES = (1, 8, 32, 256)
MEGA = 1e6
Quality = Mapping[str, Mapping[str, Mapping[str, float]]]  # classifier, runtime, score
PACKAGES = ("tensorflow", "ai-edge-litert", "sentencepiece", "numpy", "scikit-learn")


def main() -> None:
    """Measure and print; with --embed, be one of the processes measured."""
    parser = options("TensorFlow and LiteRT as the embedder's runtime")
    parser.add_argument(
        "--embed", nargs=3, metavar=("RUNTIME", "FOLDER", "FILE"), help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--classifiers",
        nargs="*",
        default=["chapter", "block"],
        help="whose heads are trained on both (default chapter, block)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="processes a runtime, of which medians are told (default 3; 1 with --quick)",
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
    """Build both forms, run each in processes of its own, taking turns, then train on the vectors that they left."""
    build_both(scratch)
    phrases = read_rows(Path("build/embeddings/phrases.parquet"))["cleaned"].to_pylist()
    chosen = np.random.default_rng(seed).permutation(len(phrases))[: 4000 if quick else None]
    phrases = [phrases[place] for place in sorted(chosen)]
    (scratch / "phrases.json").write_text(json.dumps(phrases), encoding="utf-8")
    said: dict[str, list[dict[str, Any]]] = {runtime: [] for runtime in RUNTIMES}

    def turn(runtime: str) -> None:
        said[runtime].append(run_process(runtime, scratch, quick=quick))

    interleave({runtime: partial(turn, runtime) for runtime in RUNTIMES}, rounds=rounds)
    figures = {
        runtime: {name: median(one[name] for one in turns) for name in turns[0]}
        for runtime, turns in said.items()
    }
    for runtime, facts in figures.items():
        facts |= sizes(runtime, scratch / runtime)
    vectors = {runtime: np.load(scratch / f"{runtime}.npy") for runtime in RUNTIMES}
    quality = {} if quick else {name: compare_heads(name, phrases, vectors) for name in classifiers}
    cosines = np.einsum("ij,ij->i", vectors[LITERT], vectors[TENSORFLOW])
    near = {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min())}
    return tell_result(figures, near, quality, phrases=len(phrases))


def build_both(scratch: Path) -> None:
    """The SavedModel and its LiteRT form, one folder a runtime."""
    tell("building both forms")
    build_embedder(USE, scratch / TENSORFLOW)
    convert_embedder(scratch / TENSORFLOW, scratch / LITERT)


def run_process(runtime: str, scratch: Path, *, quick: bool) -> dict[str, Any]:
    """A fresh process of the service's shape; it prints what it measured, with the moment at which it had its first embedding."""
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
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"cold_seconds": said.pop("ready_at") - started, **said}


def measure_process(runtime: str, folder: str, file: str, *, quick: bool) -> None:
    """In the process measured: load as the service does, embed everything, and leave the vectors beside `file`."""
    import bentos.service  # noqa: F401  what the embedder's process imports too
    from pipelines.model.embedder import load_model

    embed = load_model(Path(folder), runtime=runtime)
    embed(["heart valve"])
    facts: dict[str, Any] = {
        "ready_at": time.time(),
        "cold_cpu_seconds": time.process_time(),
        "loaded_pss_mb": proportional_size(),
    }
    phrases = json.loads(Path(file).read_text(encoding="utf-8"))
    for size in BATCHES:
        facts[f"cpu_ms_at_{size}"] = cpu_ms_per_phrase(
            embed, phrases[: min(len(phrases), 500 if quick else 2000)], size
        )
    facts["used_pss_mb"] = proportional_size()
    facts["without_tensorflow"] = float("tensorflow" not in sys.modules)
    from pipelines.stages.embed import embed_steadily

    with timed() as whole:
        np.save(Path(file).with_name(f"{runtime}.npy"), embed_steadily(phrases, embed=embed))
    print(json.dumps(facts | {"all_seconds": whole.wall, "all_cpu_seconds": whole.cpu}))


def cpu_ms_per_phrase(embed: Any, phrases: Sequence[str], size: int) -> float:
    """CPU milliseconds a phrase in batches of `size`, all threads counted."""
    embed(phrases[:size])
    before = time.process_time()
    for start in range(0, len(phrases), size):
        embed(phrases[start : start + size])
    return (time.process_time() - before) * 1000 / len(phrases)


def proportional_size() -> float:
    """Megabytes of this process, shared pages counted in parts (PSS)."""
    return psutil.Process(os.getpid()).memory_full_info().pss / MEGA


def sizes(runtime: str, folder: Path) -> dict[str, float]:
    """Megabytes of the model on disk, and of every package that serving with this runtime installs."""
    model = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"model_mb": model / MEGA, "packages_mb": installed_size(SERVING_LOCKS[runtime]) / MEGA}


def compare_heads(
    name: str, phrases: Sequence[str], vectors: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """The classifier's own head and split, trained and tested on the vectors of each runtime."""
    folder, params = classifier_folder(name) / "split", load_params(Path("params.yaml"))
    training, recent = (
        read_rows(folder / "train.parquet").to_pydict(),
        read_rows(folder / "recent.parquet").to_pylist(),
    )
    tested = [row for row in recent if row["part"] == "test"]
    place = {phrase: number for number, phrase in enumerate(phrases)}
    scores = {}
    for runtime, all_ in vectors.items():
        tell(f"training {name} on {runtime}")
        rows = TrainingRows(
            cleaned=np.array(training["cleaned"], dtype=object),
            labels=np.array(training["label"], dtype=str),
            weights=np.array(training["rows"], np.float64),
            vectors=all_[[place[phrase] for phrase in training["cleaned"]]],
            validation=np.array(training["validation"]),
        )
        head = fit_head(
            params.classifier(name).head, training=rows, embedder_id=runtime, seed=params.seed
        )
        scores[runtime] = test_head(head, tested, all_, place)
    return scores


def test_head(
    head: Any, tested: Sequence[Mapping[str, Any]], vectors: np.ndarray, place: Mapping[str, int]
) -> dict[str, float]:
    """Weighted and macro F1 and calibration on all test rows, and on those whose phrase was never trained on."""
    distinct = list(dict.fromkeys(row["cleaned"] for row in tested))
    shares = head.probabilities(distinct, vectors[[place[phrase] for phrase in distinct]])
    best = {
        phrase: (head.labels[share.argmax()], share.max())
        for phrase, share in zip(distinct, shares, strict=True)
    }
    truth = np.array([row["label"] for row in tested], dtype=str)
    predicted = np.array([best[row["cleaned"]][0] for row in tested], dtype=str)
    answers = ScoredAnswers(truth, predicted, np.array([best[row["cleaned"]][1] for row in tested]))
    unseen = score(answers.only(np.array([not row["seen"] for row in tested])))
    return {**score(answers), **{f"unseen_{key}": value for key, value in unseen.items()}}


def tell_result(
    figures: Mapping[str, dict[str, Any]],
    near: Mapping[str, float],
    quality: Quality,
    *,
    phrases: int,
) -> Result:
    """Tables and bars."""
    result = Result(
        figures={**figures, **near, "quality": quality},
        input=f"{phrases} distinct phrases of the demo's snapshot",
    )
    result.tables = [
        runtime_table(figures),
        f"Cosine of the two forms: mean {near['cosine_mean']:.5f}, least {near['cosine_min']:.5f}.",
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
    """One row a figure, with TensorFlow divided by LiteRT."""

    def cells() -> Iterable[Sequence[str]]:
        for title, (name, form) in ROWS.items():
            tensorflow, litert = figures[TENSORFLOW][name], figures[LITERT][name]
            yield title, form.format(tensorflow), form.format(litert), f"{tensorflow / litert:.1f}"

    return table(("", TENSORFLOW, LITERT, "ratio"), cells())


def quality_table(quality: Quality) -> str:
    """One row a head and runtime."""
    names = (
        "weighted_f1",
        "macro_f1",
        "unseen_weighted_f1",
        "unseen_macro_f1",
        "calibration_error",
    )
    rows = [
        (name, runtime, *(f"{forms[runtime][key]:.4f}" for key in names))
        for name, forms in quality.items()
        for runtime in forms
    ]
    return table(
        ("head", "trained and tested on", *(name.replace("_", " ") for name in names)), rows
    )


if __name__ == "__main__":
    main()
