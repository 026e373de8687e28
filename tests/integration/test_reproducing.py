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
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the stages that all classifiers share have run."""
    folder = tmp_path_factory.mktemp("base") / "repository"
    folder.mkdir()
    for name in CODE:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    save_word_embedder(folder.parent / "words")
    write_params(folder, folder.parent / "words", CLASSIFIERS)
    write_snapshot(folder)
    git(folder, "init", "--quiet")
    dvc(folder, "init", "-q")
    dvc(folder, "config", "cache.type", "hardlink,copy")
    dvc(folder, "add", "-q", "data")
    dvc(folder, "repro", "check", "embed")
    return folder


def copied(embedded: Path, folder: Path, classifiers: dict | None = None) -> Path:
    shutil.copytree(embedded, folder, symlinks=True)
    if classifiers:
        write_params(folder, embedded.parent / "words", classifiers)
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


def test_it_makes_what_dvc_repro_makes(tmp_path: Path, embedded: Path) -> None:
    here = copied(embedded, tmp_path / "here")
    done = reproduce(here)
    assert done.returncode == 0, done.stderr
    targets = [f"compare@{name}" for name in CLASSIFIERS]
    assert dvc(here, "status", *targets).strip().endswith("up to date.")

    there = copied(embedded, tmp_path / "there")
    dvc(there, "repro", *targets)
    assert (here / "dvc.lock").read_bytes() == (there / "dvc.lock").read_bytes()

    again = reproduce(here)
    assert again.returncode == 0
    assert again.stdout.count("didn't change, skipping") == len(stages(here)) + 1  # and data.dvc
    assert "Running" not in again.stdout

    (here / "build" / "classifiers" / "organ" / "evaluation" / "metrics.json").unlink()
    restored = reproduce(here)
    assert "Running" not in restored.stdout, "the cache of runs has the stage"
    assert (here / "dvc.lock").read_bytes() == (there / "dvc.lock").read_bytes()


def test_a_classifier_that_cannot_be_trained_stops_no_other(tmp_path: Path, embedded: Path) -> None:
    folder = copied(embedded, tmp_path / "partly", {"never": IMPOSSIBLE, **CLASSIFIERS})
    done = reproduce(folder, "--keep-going")
    assert done.returncode == 1
    assert '"code": "training_impossible"' in done.stderr
    assert "failed to reproduce 'split@never'" in done.stderr
    assert {"compare@organ", "compare@course"} <= set(stages(folder))
    assert "split@never" not in stages(folder)


def test_a_stage_that_cannot_be_saved_is_a_failure_and_the_others_are_kept(
    tmp_path: Path, embedded: Path
) -> None:
    """Its output is gone when DVC hashes it."""
    folder = copied(embedded, tmp_path / "unsaved")
    train = folder / "pipelines" / "stages" / "train.py"
    lose = """

run_stage = run


def run(key: str) -> None:
    import shutil

    run_stage(key)
    if key == "organ":
        shutil.rmtree(classifier_folder(key) / "model")
"""
    train.write_text(train.read_text(encoding="utf-8") + lose, encoding="utf-8")
    done = reproduce(folder, "--keep-going")
    assert done.returncode == 1
    assert "failed to reproduce 'train@organ'" in done.stderr
    assert "Traceback" not in done.stderr
    assert {"split@organ", "train@course", "compare@course"} <= set(stages(folder))
    assert "train@organ" not in stages(folder)


def test_a_stage_that_is_killed_is_a_failure(tmp_path: Path, embedded: Path) -> None:
    """Such as by a machine without memory."""
    folder = copied(embedded, tmp_path / "killed")
    train = folder / "pipelines" / "stages" / "train.py"
    text = train.read_text(encoding="utf-8")
    head = "def run(key: str) -> None:\n"
    assert head in text
    body = "    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    train.write_text(text.replace(head, head + body), encoding="utf-8")
    done = reproduce(folder, "--keep-going")
    assert done.returncode == 1
    assert "failed to reproduce 'train@" in done.stderr
    assert any(name.startswith("split@") for name in stages(folder)), "what ended is kept"
