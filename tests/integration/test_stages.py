"""The stages as processes, by hand and through DVC, on a small snapshot and a small SavedModel."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.model.abstention import load_abstention
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import load_embedder
from pipelines.model.head_file import load_head
from pipelines.unlabelled import Drawn, UnlabelledPhrases, write_unlabelled
from tests.support.training import (
    DIMENSIONS,
    WORDS,
    phrases_of,
    save_word_embedder,
    write_snapshot,
)

REPOSITORY = Path(__file__).parents[2]
CODE = ("core", "pipelines", "queries", "dvc.yaml")
ORGAN = {
    "source": {"query": "queries/notes.sql", "label": "organ"},
    "head": {"kind": "hybrid_svm", "buckets": 512},
}


def environment() -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("GIT_", "OMP_", "OPENBLAS_")) and key != "PYTHONPATH"
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    author = {
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@localhost",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@localhost",
    }
    return {**kept, **author, "PATH": path, "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "true"}


def call(folder: Path, *command: str, fails: bool = False) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=900
    )
    assert (done.returncode != 0) == fails, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def stage(folder: Path, *arguments: str, fails: bool = False) -> str:
    return call(folder, sys.executable, "-m", "pipelines", *arguments, fails=fails)


def dvc(folder: Path, *arguments: str) -> str:
    return call(folder, sys.executable, "-m", "dvc", *arguments)


def write_params(folder: Path, embedder: Path, classifiers: dict) -> None:
    params = {
        "seed": 7,
        "embedder": {"handle": str(embedder)},
        "checks": {"max_age_days": 36500},
        "classifiers": classifiers,
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedder") / "words"
    save_word_embedder(folder)
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, embedder: Path) -> Iterator[Path]:
    """A scratch repository after its first `dvc repro`."""
    folder = tmp_path_factory.mktemp("repository")
    for name in CODE:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    write_params(folder, embedder, {"organ": ORGAN})
    write_snapshot(folder)
    call(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    dvc(folder, "config", "cache.type", "hardlink,copy")
    dvc(folder, "add", "-q", "data")
    dvc(folder, "repro")
    yield folder


def outputs(folder: Path) -> dict[str, str]:
    """Output -> hash, of every stage in dvc.lock."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {
        f"{name}: {out['path']}": out["md5"]
        for name, entry in lock.items()
        for out in entry.get("outs", [])
    }


def test_a_repeated_run_does_nothing(repository: Path) -> None:
    before = (repository / "dvc.lock").read_bytes()
    output = dvc(repository, "repro")
    assert "Running stage" not in output
    assert (repository / "dvc.lock").read_bytes() == before


def test_two_forced_runs_give_one_lock(repository: Path) -> None:
    before = (repository / "dvc.lock").read_bytes()
    output = dvc(repository, "repro", "--force")
    assert output.count("Running stage") == 11
    assert (repository / "dvc.lock").read_bytes() == before


def test_one_key_runs_only_what_it_changes(repository: Path, embedder: Path) -> None:
    before = outputs(repository)
    write_params(
        repository,
        embedder,
        {"organ": {**ORGAN, "head": {"kind": "logistic"}, "gate": {"min_weighted_f1": 0.1}}},
    )
    output = dvc(repository, "repro")
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert ran == {
        "resolve",
        "train@organ",
        "evaluate@organ",
        "compare@organ",
        "errors@organ",
        "bias@organ",
    }
    changed = {name for name, digest in outputs(repository).items() if before[name] != digest}
    assert "train@organ: build/classifiers/organ/model" in changed
    assert not any(name.startswith(("split", "embed", "check")) for name in changed)


def test_rules_are_judged_and_travel_with_the_heads(repository: Path, embedder: Path) -> None:
    rules = [
        {"pattern": "murmur|valve", "label": "heart"},
        {"pattern": "murmur|valve", "label": "bone"},
        {"pattern": "fracture", "label": "lung"},
    ]
    write_params(repository, embedder, {"organ": {**ORGAN, "rules": rules}})
    dvc(repository, "repro")
    folder = repository / "build" / "classifiers" / "organ"
    judged = json.loads((folder / "evaluation" / "evaluation.json").read_text())["rules"]
    assert [rule["state"].partition(":")[0] for rule in judged] == ["on", "off", "off"]
    assert judged[0]["precision"] == 1.0
    for head in (load_head(folder / "model"), load_head(folder / "model" / "judged")):
        assert [(rule.pattern, rule.label) for rule in head.rules] == [("murmur|valve", "heart")]

    write_params(repository, embedder, {"organ": ORGAN})
    dvc(repository, "repro")
    assert not (folder / "model" / "rules.json").exists()


def test_self_training_learns_the_phrases_of_the_snapshot(
    repository: Path, embedder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "repository"
    shutil.copytree(repository, folder, symlinks=True)
    phrases = tuple(phrase for label in WORDS for phrase in phrases_of(label))
    unlabelled = UnlabelledPhrases(phrases, (1,) * len(phrases))
    write_unlabelled(
        folder / "data" / "notes", {"organ": Drawn(unlabelled, label="organ", most=1000)}
    )
    teaching = {**ORGAN, "self_training": {"min_confidence": 0.5}}
    write_params(folder, embedder, {"organ": teaching})
    dvc(folder, "add", "-q", "data")
    dvc(folder, "repro", "evaluate@organ")
    evaluation = folder / "build" / "classifiers" / "organ" / "evaluation" / "evaluation.json"
    report = json.loads(evaluation.read_text())["self_training"]
    assert 0 < report["joined"] <= report["phrases"]

    before = outputs(folder)
    dvc(folder, "repro", "--force", "--single-item", "train@organ")
    assert outputs(folder) == before

    write_params(folder, embedder, {"organ": ORGAN})
    dvc(folder, "repro", "evaluate@organ")
    assert "self_training" not in json.loads(evaluation.read_text())
    assert not (evaluation.parent.parent / "model" / "self_training.json").exists()


def test_a_rule_of_abstention_fits_no_head_again(repository: Path, embedder: Path) -> None:
    evaluation = repository / "build" / "classifiers" / "organ" / "evaluation"
    assert load_abstention(evaluation) is None
    assert json.loads((evaluation / "evaluation.json").read_text())["abstention"] == {"rule": None}
    refusing = {**ORGAN, "head": {"kind": "logistic"}, "abstain": {"max_false": 0.2}}
    write_params(repository, embedder, {"organ": refusing})
    output = dvc(repository, "repro")
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert ran == {"resolve", "evaluate@organ", "compare@organ"}
    rule = load_abstention(evaluation)
    assert rule is not None
    report = json.loads((evaluation / "evaluation.json").read_text())["abstention"]
    assert report["rule"] == dataclasses.asdict(rule)
    assert report["unseen"]["answered"] >= 0.8
    metrics = json.loads((evaluation / "metrics.json").read_text())
    assert metrics["answered_share"] == report["all"]["answered"]
    assert metrics["unseen_answered_precision"] == report["unseen"]["precision"]


def test_outputs_are_what_the_other_rooms_read(repository: Path) -> None:
    folder = repository / "build" / "classifiers" / "organ"
    assert pq.read_schema(folder / "split" / "train.parquet").names == [
        "cleaned",
        "label",
        "rows",
        "test_rows",
        "validation",
        "present",
        "present_with_test",
    ]
    labels = ["id", "cleaned", "label", "occurred_at", "from_source", "test", "region"]
    assert pq.read_schema(folder / "split" / "labels.parquet").names == labels
    assert {path.name for path in (folder / "model" / "judged").iterdir()} == {
        "head.json",
        "head.npz",
    }
    recent = ["id", "cleaned", "label", "occurred_at", "region", "part", "seen", "seen_before"]
    assert pq.read_schema(folder / "split" / "recent.parquet").names == recent
    predictions = pq.read_table(folder / "evaluation" / "predictions.parquet")
    assert predictions.column_names == [
        "id",
        "cleaned",
        "label",
        "occurred_at",
        "seen",
        "predicted",
        "probability",
    ]
    reference = ["occurred_at", "region", "cleaned", "predicted", "probability", "weight"]
    assert pq.read_schema(folder / "evaluation" / "reference.parquet").names == reference
    evaluation = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    assert (
        evaluation["rows"]
        == predictions.num_rows
        == json.loads((folder / "split" / "report.json").read_text())["test_rows"]
    )
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert (
        all(isinstance(value, int | float) for value in metrics.values())
        and metrics["weighted_f1"] > 0.8
    )
    for name in ("reliability", "confusions", "f1_by_support"):
        assert (folder / "evaluation" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads((repository / "build" / "embedder" / "embedder.json").read_text())
    assert facts["dimensions"] == DIMENSIONS and facts["parity"] is None


def test_the_trained_head_answers_as_the_evaluation_says(repository: Path) -> None:
    folder = repository / "build" / "classifiers" / "organ"
    classifier = PhraseClassifier(
        load_head(folder / "model"), load_embedder(repository / "build" / "embedder")
    )
    rows = pq.read_table(folder / "evaluation" / "predictions.parquet").slice(0, 50).to_pylist()
    answers = classifier.predict([row["cleaned"].upper() for row in rows])
    assert [answer.label for answer in answers] == [row["predicted"] for row in rows]
    assert np.allclose(
        [answer.probability for answer in answers], [row["probability"] for row in rows], atol=1e-5
    )


def test_the_error_report_agrees_with_the_evaluation_and_its_limit_reruns_it_alone(
    repository: Path, embedder: Path
) -> None:
    folder = repository / "build" / "classifiers" / "organ"
    write_params(repository, embedder, {"organ": ORGAN})
    dvc(repository, "repro")
    report = json.loads((folder / "errors" / "errors.json").read_text())
    evaluation = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    assert report["rows"] == evaluation["rows"]
    assert report["accuracy"] == evaluation["metrics"]["accuracy"]
    tested = {row["label"]: row["support"] for row in report["labels"] if row["support"]}
    assert tested == evaluation["support_by_label"]
    assert "phrases are held out, 30 are needed" in report["curve"]["reason"]
    assert report["gap"]["parts"][0]["right"] > 0.8 and report["gap"]["limit"] == 0.2

    strict = {**ORGAN, "errors": {"max_gap": 0.0}}
    write_params(repository, embedder, {"organ": strict})
    output = dvc(repository, "repro")
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert ran == {"resolve", "errors@organ"}
    changed = json.loads((folder / "errors" / "errors.json").read_text())
    assert changed["gap"]["limit"] == 0.0
    assert changed["curve"] == report["curve"] and changed["labels"] == report["labels"]


def test_heads_asked_for_are_compared_on_the_same_rows_twice_alike(
    repository: Path, embedder: Path
) -> None:
    folder = repository / "build" / "classifiers" / "organ"
    comparison = folder / "comparison" / "scores.json"
    metrics = folder / "evaluation" / "metrics.json"
    assert (
        json.loads(comparison.read_text())["heads"] == {}
        and not (folder / "comparison" / "table.md").read_bytes()
    )
    listed = ["tfidf_svm", {"kind": "mlp", "epochs": 4, "hidden": 16}, "majority"]
    write_params(repository, embedder, {"organ": {**ORGAN, "compare": listed}})
    dvc(repository, "repro", "compare@organ")
    before = outputs(repository)
    heads = json.loads(comparison.read_text())["heads"]
    assert list(heads) == [
        "hybrid_svm buckets=512",
        "majority",
        "mlp hidden=16 epochs=4",
        "tfidf_svm",
    ]
    assert heads["hybrid_svm buckets=512"].items() >= json.loads(metrics.read_text()).items()
    assert len({scores["rows"] for scores in heads.values()}) == 1
    assert heads["majority"]["weighted_f1"] < heads["tfidf_svm"]["weighted_f1"]
    dvc(repository, "repro", "--force", "--single-item", "compare@organ")
    assert outputs(repository) == before


def test_new_rows_embed_only_new_phrases(repository: Path) -> None:
    rows = repository / "data" / "notes" / "rows.parquet"
    table = pq.read_table(rows)
    added = table.slice(0, 1).set_column(1, "phrase", [["lung something never said"]])
    before = pq.read_table(repository / "build" / "embeddings" / "phrases.parquet")[
        "cleaned"
    ].to_pylist()
    rows.unlink()
    pq.write_table(pa.concat_tables([table, added.cast(table.schema)]), rows)
    output = stage(repository, "embed")
    assert '"new": 1' in output and f'"reused": {len(before)}' in output
    after = pq.read_table(repository / "build" / "embeddings" / "phrases.parquet")[
        "cleaned"
    ].to_pylist()
    assert after == sorted([*before, "lung something never said"])


@pytest.fixture
def scratch(tmp_path: Path, embedder: Path) -> Path:
    write_params(tmp_path, embedder, {"organ": ORGAN})
    shutil.copytree(REPOSITORY / "pipelines", tmp_path / "pipelines")
    shutil.copytree(REPOSITORY / "core", tmp_path / "core")
    stage(tmp_path, "resolve")
    return tmp_path


def last_line(output: str) -> dict:
    assert "Traceback" not in output
    return json.loads(output.strip().splitlines()[-1])


def test_a_failed_check_stops_the_split(scratch: Path) -> None:
    (scratch / "build" / "check").mkdir(parents=True)
    check = {
        "name": "phrases",
        "dataset": "notes",
        "column": "phrase",
        "severity": "critical",
        "passed": False,
        "observed": 1,
        "limit": 0,
    }
    content = {"verdict": "fail", "checks": [{**check, "rows": 1, "examples": []}]}
    (scratch / "build" / "check" / "result.json").write_text(json.dumps(content))
    write_snapshot(scratch)
    assert last_line(stage(scratch, "split", "organ", fails=True))["code"] == "data_check_failed"


def test_a_missing_file_is_one_clear_line(scratch: Path) -> None:
    output = last_line(stage(scratch, "train", "organ", fails=True))
    assert (
        output["code"] == "stage_failed"
        and "build/embeddings/embedder.json" in output["wanted"]
        and output["do"]
    )


def test_wrong_params_are_one_clear_line(scratch: Path) -> None:
    (scratch / "params.yaml").write_text("classifiers: {organ: {sauce: 1}}")
    assert last_line(stage(scratch, "resolve", fails=True))["code"] == "params_invalid"


@pytest.mark.parametrize("arguments", [("split",), ("resolve", "organ"), ("nothing",), ()])
def test_misuse_is_reported(scratch: Path, arguments: tuple[str, ...]) -> None:
    assert "usage: python -m pipelines" in stage(scratch, *arguments, fails=True)
