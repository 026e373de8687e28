"""A folder in which a search can run: rows, embeddings and the settings of one small head."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pyarrow as pa
import yaml

from pipelines.stages.files import EMBEDDINGS, classifier_folder, write_rows
from pipelines.stages.vectors import store_vectors
from pipelines.tuning.__main__ import DATABASE
from tests.support.repositories import ROOT
from tests.support.training import training_rows

HEAD = {"kind": "hybrid_svm", "C": 1.0, "ngram_weight": 0.7, "buckets": 256, "keep": 1.0}


def write_problem(folder: Path, *, head: dict | None = None, copies: int = 1) -> Path:
    """Write what `split`, `resolve` and `embed` leave of the classifier `organ`.

    More `copies` of the phrases, each with a word of its own, make a fit take longer.
    """
    rows = training_rows()
    numbers = np.repeat(np.arange(copies), len(rows.labels))
    suffixes = [f" {number}" if number else "" for number in numbers.tolist()]
    cleaned = [
        phrase + suffix
        for phrase, suffix in zip(np.tile(rows.cleaned, copies), suffixes, strict=True)
    ]
    count = len(cleaned)
    table = pa.table(
        {
            "cleaned": cleaned,
            "label": np.tile(rows.labels, copies).tolist(),
            "rows": pa.array(np.ones(count, int)),
            "test_rows": pa.array(np.zeros(count, int)),
            "validation": pa.array(np.tile(rows.validation, copies)),
            "present": pa.array(np.ones(count, bool)),
            "present_with_test": pa.array(np.ones(count, bool)),
        }
    )
    split = folder / classifier_folder("organ") / "split"
    split.mkdir(parents=True)
    write_rows(split / "train.parquet", table)
    block = {
        "source": {"query": "queries/notes.sql", "label": "organ"},
        "head": {**HEAD, **(head or {})},
    }
    params = {"seed": 7, "classifiers": {"organ": block}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "build" / "embedder").mkdir()
    (folder / "build" / "embedder" / "embedder.json").write_text('{"embedder_id": "words"}')
    (folder / EMBEDDINGS).mkdir(parents=True)
    store_vectors(folder / EMBEDDINGS, cleaned, np.tile(rows.vectors, (copies, 1)), "words")
    return folder


def start(folder: Path, url: str, step: str, study: str, *options: str) -> subprocess.Popen[str]:
    """Start one process of a search."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.tuning", step, "organ", "--study", study, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), DATABASE: url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a process that must succeed."""
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors


def proposals(study: optuna.Study) -> list[tuple]:
    """Return settings and state of each trial, in order."""
    return [(trial.params, trial.state.name) for trial in study.get_trials(deepcopy=False)]
