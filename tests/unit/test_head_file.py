from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from core.errors import HeadRefused
from core.params import Head as HeadParams
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.head_file import Head, _digest, head_digest, load_head, save_head
from pipelines.model.heads import fit_head
from tests.stage_kit import phrases_of, training_rows, vectors_of

KINDS = ("logistic", "hybrid_svm", "majority")


@pytest.fixture(scope="module")
def heads() -> dict[str, Head]:
    return {kind: fit(kind) for kind in KINDS}


def fit(kind: str) -> Head:
    params = TypeAdapter(HeadParams).validate_python({"kind": kind} | ({"buckets": 256} if kind == "hybrid_svm" else {}))
    return fit_head(params, training=training_rows(), embedder_id="words-1", seed=7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_head_answers_as_the_saved_one(kind: str, heads: dict[str, Head], tmp_path: Path) -> None:
    digest = save_head(heads[kind], tmp_path)
    loaded = load_head(tmp_path)
    phrases = [*phrases_of("bone")[:5], "never seen", ""]
    before, after = (PhraseClassifier(head, vectors_of).predict(phrases) for head in (heads[kind], loaded))
    assert before == after
    assert (loaded.labels, loaded.embedder_id, head_digest(tmp_path)) == (heads[kind].labels, "words-1", digest)


def test_equal_heads_give_equal_bytes(heads: dict[str, Head], tmp_path: Path) -> None:
    first, second = save_head(heads["hybrid_svm"], tmp_path / "a"), save_head(fit("hybrid_svm"), tmp_path / "b")
    assert first == second
    for name in ("head.npz", "head.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def edit(folder: Path, change: Callable[[dict], None], *, sign: bool = False) -> None:
    path = folder / "head.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    if sign:
        manifest["digest"] = _digest(manifest, (folder / "head.npz").read_bytes())
    path.write_text(json.dumps(manifest))


def flip_byte(folder: Path) -> None:
    packed = bytearray((folder / "head.npz").read_bytes())
    packed[len(packed) // 2] ^= 1
    (folder / "head.npz").write_bytes(bytes(packed))


SPOILERS: dict[str, Callable[[Path], None]] = {
    "one bit": flip_byte,
    "cut short": lambda folder: (folder / "head.npz").write_bytes((folder / "head.npz").read_bytes()[:100]),
    "no arrays": lambda folder: (folder / "head.npz").unlink(),
    "no manifest": lambda folder: (folder / "head.json").unlink(),
    "no JSON": lambda folder: (folder / "head.json").write_text("{"),
    "a list": lambda folder: (folder / "head.json").write_text("[]"),
    "other labels": lambda folder: edit(folder, lambda said: said["labels"].reverse()),
    "other embedder": lambda folder: edit(folder, lambda said: said.update(embedder_id="other")),
    "other settings": lambda folder: edit(folder, lambda said: said["settings"].update(temperature=9)),
    "other format": lambda folder: edit(folder, lambda said: said.update(format="perennial-head-0"), sign=True),
    "a label too many": lambda folder: edit(folder, lambda said: said["labels"].append("x"), sign=True),
    "unknown kind": lambda folder: edit(folder, lambda said: said.update(kind="magic"), sign=True),
    "another kind": lambda folder: edit(folder, lambda said: said.update(kind="majority"), sign=True),
    "no labels": lambda folder: edit(folder, lambda said: said.pop("labels"), sign=True),
    "no temperature": lambda folder: edit(folder, lambda said: said["settings"].pop("temperature"), sign=True),
    "fewer buckets": lambda folder: edit(folder, lambda said: said["settings"].update(buckets=128), sign=True),
}


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_what_does_not_match_is_refused(spoiler: str, heads: dict[str, Head], tmp_path: Path) -> None:
    save_head(heads["hybrid_svm"], tmp_path)
    load_head(tmp_path)
    SPOILERS[spoiler](tmp_path)
    with pytest.raises(HeadRefused, match="a head file in"):
        load_head(tmp_path)


@pytest.mark.parametrize("name", ["ngram_labels", "ngram_starts"])
def test_sparse_weights_that_point_outside_are_refused(name: str, heads: dict[str, Head], tmp_path: Path) -> None:
    head = heads["hybrid_svm"]
    spoilt = Head(head.kind, head.labels, head.embedder_id, {**head.arrays, name: head.arrays[name] + 1}, head.settings)
    save_head(spoilt, tmp_path)
    with pytest.raises(HeadRefused):
        load_head(tmp_path)


def test_a_pickle_in_the_arrays_is_refused_and_does_not_run(heads: dict[str, Head], tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return shutil.rmtree, (str(tmp_path / "victim"),)

    (tmp_path / "victim").mkdir()
    save_head(heads["logistic"], tmp_path)
    np.savez(tmp_path / "head.npz", **heads["logistic"].arrays, evil=np.array([Evil()], dtype=object))
    edit(tmp_path, lambda said: None, sign=True)
    with pytest.raises(HeadRefused):
        load_head(tmp_path)
    assert (tmp_path / "victim").exists()


def test_the_digest_covers_both_files(heads: dict[str, Head], tmp_path: Path) -> None:
    save_head(heads["logistic"], tmp_path)
    said = json.loads((tmp_path / "head.json").read_text())
    digest = said.pop("digest")
    canonical = json.dumps(said, sort_keys=True).encode() + b"\n" + (tmp_path / "head.npz").read_bytes()
    assert digest == "sha256:" + hashlib.sha256(canonical).hexdigest()
