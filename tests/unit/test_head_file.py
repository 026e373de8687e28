from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from core.errors import HeadRefused
from core.params.heads import Head as HeadParams
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.head_file import Head, _digest, head_digest, load_head, save_head
from pipelines.model.heads import fit_head
from pipelines.model.text import clean_phrase
from tests.support.heads import ensemble_of
from tests.support.training import DIMENSIONS, phrases_of, training_rows, vectors_of

KINDS = ("logistic", "hybrid_svm", "tfidf_svm", "mlp", "ensemble", "majority")


@pytest.fixture(scope="module")
def heads() -> dict[str, Head]:
    fitted = {kind: fit(kind) for kind in KINDS if kind not in ("mlp", "ensemble")}
    ensemble = ensemble_of(fitted["hybrid_svm"], fitted["logistic"])
    return {**fitted, "mlp": perceptron(hidden=16, seed=7), "ensemble": ensemble}


def fit(kind: str) -> Head:
    params = TypeAdapter(HeadParams).validate_python(
        {"kind": kind} | ({"buckets": 256} if kind.endswith("svm") else {})
    )
    return fit_head(params, training=training_rows(), embedder_id="words-1", seed=7)


def perceptron(*, hidden: int, seed: int, labels: int = 3) -> Head:
    """One of arbitrary weights: fitting one takes TensorFlow."""
    random = np.random.default_rng(seed)
    shapes = {
        "hidden_weights": (DIMENSIONS, hidden),
        "hidden_bias": (hidden,),
        "weights": (hidden, labels),
        "bias": (labels,),
    }
    arrays = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["centroids"] = random.normal(size=(labels, DIMENSIONS)).astype(np.float16)
    return Head(
        "mlp",
        tuple(f"label {number}" for number in range(labels)),
        "words-1",
        arrays,
        {"temperature": 0.5},
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_head_answers_as_the_saved_one(
    kind: str, heads: dict[str, Head], tmp_path: Path
) -> None:
    digest = save_head(heads[kind], tmp_path)
    loaded = load_head(tmp_path)
    phrases = [*phrases_of("bone")[:5], "never seen", ""]
    before, after = (
        PhraseClassifier(head, vectors_of).predict(phrases) for head in (heads[kind], loaded)
    )
    assert before == after
    assert (loaded.labels, loaded.embedder_id, head_digest(tmp_path)) == (
        heads[kind].labels,
        "words-1",
        digest,
    )


def test_equal_heads_give_equal_bytes(heads: dict[str, Head], tmp_path: Path) -> None:
    first = save_head(heads["hybrid_svm"], tmp_path / "a")
    second = save_head(fit("hybrid_svm"), tmp_path / "b")
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


SPOILERS: dict[str, Callable[[Path], object]] = {
    "one bit": flip_byte,
    "cut short": lambda folder: (folder / "head.npz").write_bytes(
        (folder / "head.npz").read_bytes()[:100]
    ),
    "no arrays": lambda folder: (folder / "head.npz").unlink(),
    "no manifest": lambda folder: (folder / "head.json").unlink(),
    "no JSON": lambda folder: (folder / "head.json").write_text("{"),
    "a list": lambda folder: (folder / "head.json").write_text("[]"),
    "other labels": lambda folder: edit(folder, lambda manifest: manifest["labels"].reverse()),
    "other embedder": lambda folder: edit(
        folder, lambda manifest: manifest.update(embedder_id="other")
    ),
    "other settings": lambda folder: edit(
        folder, lambda manifest: manifest["settings"].update(temperature=9)
    ),
    "other format": lambda folder: edit(
        folder, lambda manifest: manifest.update(format="perennial-head-0"), sign=True
    ),
    "a label too many": lambda folder: edit(
        folder, lambda manifest: manifest["labels"].append("x"), sign=True
    ),
    "unknown kind": lambda folder: edit(
        folder, lambda manifest: manifest.update(kind="magic"), sign=True
    ),
    "another kind": lambda folder: edit(
        folder, lambda manifest: manifest.update(kind="majority"), sign=True
    ),
    "no labels": lambda folder: edit(folder, lambda manifest: manifest.pop("labels"), sign=True),
    "no temperature": lambda folder: edit(
        folder, lambda manifest: manifest["settings"].pop("temperature"), sign=True
    ),
    "a list for a kind": lambda folder: edit(
        folder, lambda manifest: manifest.update(kind=["hybrid_svm"]), sign=True
    ),
    "a text for labels": lambda folder: edit(
        folder, lambda manifest: manifest.update(labels="abc"), sign=True
    ),
    "a list for settings": lambda folder: edit(
        folder, lambda manifest: manifest.update(settings=[1]), sign=True
    ),
    "fewer buckets": lambda folder: edit(
        folder, lambda manifest: manifest["settings"].update(buckets=128), sign=True
    ),
}


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_what_does_not_match_is_refused(
    spoiler: str, heads: dict[str, Head], tmp_path: Path
) -> None:
    save_head(heads["hybrid_svm"], tmp_path)
    load_head(tmp_path)
    SPOILERS[spoiler](tmp_path)
    with pytest.raises(HeadRefused, match="a head file in"):
        load_head(tmp_path)


@pytest.mark.parametrize("kind", ["hybrid_svm", "tfidf_svm", "ensemble"])
@pytest.mark.parametrize("name", ["ngram_labels", "ngram_starts"])
def test_sparse_weights_that_point_outside_are_refused(
    kind: str, name: str, heads: dict[str, Head], tmp_path: Path
) -> None:
    save_head(
        replace(heads[kind], arrays={**heads[kind].arrays, name: heads[kind].arrays[name] + 1}),
        tmp_path,
    )
    with pytest.raises(HeadRefused, match="n-gram weights that do not fit together"):
        load_head(tmp_path)


ARRAYS = {
    "logistic": ("weights", "bias", "centroids"),
    "hybrid_svm": (
        "weights",
        "bias",
        "idf",
        "ngram_values",
        "ngram_labels",
        "ngram_starts",
        "centroids",
    ),
    "tfidf_svm": ("bias", "idf", "ngram_values", "ngram_labels", "ngram_starts", "centroids"),
    "mlp": ("hidden_weights", "hidden_bias", "weights", "bias", "centroids"),
    "ensemble": (
        "weights",
        "bias",
        "idf",
        "ngram_values",
        "ngram_labels",
        "ngram_starts",
        "hidden_weights",
        "hidden_bias",
        "output_weights",
        "output_bias",
        "centroids",
    ),
    "majority": ("log_prior", "centroids"),
}
EVERY_ARRAY = [(kind, name) for kind, names in ARRAYS.items() for name in names]


def test_a_head_holds_the_arrays_that_its_kind_needs_and_no_others(heads: dict[str, Head]) -> None:
    assert {kind: set(head.arrays) for kind, head in heads.items()} == {
        kind: set(names) for kind, names in ARRAYS.items()
    }


@pytest.mark.parametrize(("kind", "name"), EVERY_ARRAY)
def test_an_array_cut_short_flat_missing_or_of_text_is_refused(
    kind: str, name: str, heads: dict[str, Head], tmp_path: Path
) -> None:
    head = heads[kind]
    array = heads[kind].arrays[name]
    spoilt = [{name: array[:-1]}, {name: array[None]}, {name: array.astype(str)}]
    left = {other: value for other, value in head.arrays.items() if other != name}
    for arrays in [left, *({**head.arrays, **change} for change in spoilt)]:
        save_head(replace(head, arrays=arrays), tmp_path)
        with pytest.raises(HeadRefused, match="a head file in"):
            load_head(tmp_path)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, name in EVERY_ARRAY if name not in ("ngram_labels", "ngram_starts")],
)
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_what_is_no_number_is_refused(
    kind: str, name: str, number: float, heads: dict[str, Head], tmp_path: Path
) -> None:
    array = heads[kind].arrays[name].copy()
    array.flat[array.size // 2] = number
    save_head(replace(heads[kind], arrays={**heads[kind].arrays, name: array}), tmp_path)
    with pytest.raises(HeadRefused, match=f"{name} with a value that is not a finite number"):
        load_head(tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "majority"])
@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf"), "1", None, True, [1]])
def test_a_temperature_that_is_no_positive_number_is_refused(
    kind: str, temperature: object, heads: dict[str, Head], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {**heads[kind].settings, "temperature": temperature}
    save_head(replace(heads[kind], settings=settings), tmp_path)
    with pytest.raises(HeadRefused, match="temperature of"):
        load_head(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "labels", [(), ("a", "a", "b"), ("a", "b"), ("a", "b", 3), ("a", "b", "c", "d")]
)
def test_another_label_set_is_refused(
    kind: str, labels: tuple, heads: dict[str, Head], tmp_path: Path
) -> None:
    save_head(replace(heads[kind], labels=labels), tmp_path)
    with pytest.raises(HeadRefused):
        load_head(tmp_path)


@settings(deadline=None)
@given(
    hidden=st.integers(1, 40),
    labels=st.integers(1, 9),
    seed=st.integers(0, 2**32),
    phrases=st.lists(st.text(max_size=20), max_size=8),
)
def test_a_loaded_perceptron_answers_as_the_saved_one(
    hidden: int, labels: int, seed: int, phrases: list[str]
) -> None:
    head = perceptron(hidden=hidden, labels=labels, seed=seed)
    with TemporaryDirectory() as folder:
        save_head(head, Path(folder))
        loaded = load_head(Path(folder))
    answers = [PhraseClassifier(one, vectors_of).predict(phrases) for one in (head, loaded)]
    assert answers[0] == answers[1]
    cleaned = [clean_phrase(phrase) for phrase in phrases]
    probabilities = loaded.probabilities(cleaned, vectors_of(cleaned))
    assert probabilities.shape == (len(phrases), labels) and np.allclose(
        probabilities.sum(axis=1), 1, atol=1e-6
    )


def test_a_pickle_in_the_arrays_is_refused_and_does_not_run(
    heads: dict[str, Head], tmp_path: Path
) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return shutil.rmtree, (str(tmp_path / "victim"),)

    (tmp_path / "victim").mkdir()
    save_head(heads["logistic"], tmp_path)
    evil: dict[str, Any] = {"evil": np.array([Evil()], dtype=object)}
    np.savez(tmp_path / "head.npz", **{**heads["logistic"].arrays, **evil})
    edit(tmp_path, lambda manifest: None, sign=True)
    with pytest.raises(HeadRefused):
        load_head(tmp_path)
    assert (tmp_path / "victim").exists()


def test_the_digest_covers_both_files(heads: dict[str, Head], tmp_path: Path) -> None:
    save_head(heads["logistic"], tmp_path)
    manifest = json.loads((tmp_path / "head.json").read_text())
    digest = manifest.pop("digest")
    canonical = (
        json.dumps(manifest, sort_keys=True).encode() + b"\n" + (tmp_path / "head.npz").read_bytes()
    )
    assert digest == "sha256:" + hashlib.sha256(canonical).hexdigest()


def test_a_perceptron_is_applied_without_tensorflow(tmp_path: Path) -> None:
    save_head(perceptron(hidden=8, seed=1), tmp_path)
    code = f"""
import sys
from pathlib import Path
import numpy as np
from pipelines.model.head_file import load_head
head = load_head(Path({str(tmp_path)!r}))
assert head.probabilities(["a"], np.zeros((1, {DIMENSIONS}), np.float32)).shape == (1, 3)
assert not {{"tensorflow", "keras", "sklearn"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
