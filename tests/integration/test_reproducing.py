"""Many classifiers on all cores: the same dvc.lock as `dvc repro`, and the same refusals."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.test_stages import CODE, REPOSITORY, dvc, environment, write_params
from tests.support.dvc_repositories import git
from tests.support.training import save_word_embedder, write_snapshot

SOURCE = {"query": "queries/notes.sql"}
CLASSIFIERS = {
    "organ": {
        "source": {**SOURCE, "label": "organ"},
        "head": {"kind": "hybrid_svm", "buckets": 512},
    },
    "course": {"source": {**SOURCE, "label": "course"}, "head": {"kind": "logistic"}},
}
IMPOSSIBLE = {"source": {**SOURCE, "label": "organ"}, "min_rows_per_label": 100_000}


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedder") / "words"
    save_word_embedder(folder)
    return folder


def repository(folder: Path, embedder: Path, classifiers: dict) -> Path:
    folder.mkdir()
    for name in CODE:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    write_params(folder, embedder, classifiers)
    write_snapshot(folder)
    git(folder, "init", "--quiet")
    dvc(folder, "init", "-q")
    dvc(folder, "add", "-q", "data")
    return folder


def reproduce(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    targets = [f"compare@{name}" for name in params["classifiers"]]
    return subprocess.run(
        [sys.executable, "-m", "pipelines.reproducing", *targets, *options],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=900,
    )


def stages(folder: Path) -> dict:
    return yaml.safe_load((folder / "dvc.lock").read_text())["stages"]


def test_it_makes_what_dvc_repro_makes(tmp_path: Path, embedder: Path) -> None:
    here = repository(tmp_path / "here", embedder, CLASSIFIERS)
    done = reproduce(here)
    assert done.returncode == 0, done.stderr
    assert dvc(here, "status").strip().endswith("up to date.")

    there = repository(tmp_path / "there", embedder, CLASSIFIERS)
    dvc(there, "repro", *(f"compare@{name}" for name in CLASSIFIERS))
    assert (here / "dvc.lock").read_bytes() == (there / "dvc.lock").read_bytes()

    again = reproduce(here)
    assert again.returncode == 0
    assert again.stdout.count("didn't change, skipping") == len(stages(here)) + 1  # and data.dvc
    assert "Running" not in again.stdout

    (here / "build" / "classifiers" / "organ" / "evaluation" / "metrics.json").unlink()
    restored = reproduce(here)
    assert "Running" not in restored.stdout, "the cache of runs has the stage"
    assert (here / "dvc.lock").read_bytes() == (there / "dvc.lock").read_bytes()


def test_a_classifier_that_cannot_be_trained_stops_no_other(tmp_path: Path, embedder: Path) -> None:
    folder = repository(tmp_path / "partly", embedder, {"never": IMPOSSIBLE, **CLASSIFIERS})
    done = reproduce(folder, "--keep-going")
    assert done.returncode == 1
    assert '"code": "training_impossible"' in done.stderr
    assert "failed to reproduce 'split@never'" in done.stderr
    assert {"compare@organ", "compare@course"} <= set(stages(folder))
    assert "split@never" not in stages(folder)

    (folder / "dvc.lock").unlink()
    alone = reproduce(folder)
    assert alone.returncode == 1


def test_a_stage_that_is_killed_is_a_failure(tmp_path: Path, embedder: Path) -> None:
    """Such as by a machine without memory."""
    folder = repository(tmp_path / "killed", embedder, CLASSIFIERS)
    train = folder / "pipelines" / "stages" / "train.py"
    text = train.read_text(encoding="utf-8")
    head = "def run(key: str) -> None:\n"
    assert head in text
    body = "    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    train.write_text(text.replace(head, head + body), encoding="utf-8")
    done = reproduce(folder, "--keep-going")
    assert done.returncode == 1
    assert "failed to reproduce 'train@" in done.stderr
    assert "split@organ" in stages(folder)
