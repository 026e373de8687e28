"""The real universal-sentence-encoder-multilingual-3, and embedders that are not it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import EmbedderUnusable
from pipelines.model.embedder import USE, Embed, build_use, fetch_embedder, load_embedder, reference_embed, use_id
from pipelines.model.text import clean_phrase
from pipelines.stages.embed import embed_steadily
from pipelines.stages.embedder import PARITY_PHRASES
from tests.stage_kit import DIMENSIONS, ENDINGS, WORDS, save_word_embedder

PHRASES = [f"{word} {ending}" for words in WORDS.values() for word in words for ending in ENDINGS]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("use") / "saved_model"
    assert build_use(folder) == use_id()
    return folder


@pytest.fixture(scope="module")
def embed(saved: Path) -> Embed:
    return load_embedder(saved)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words") / "saved_model"
    save_word_embedder(folder)
    return folder


def test_it_agrees_with_the_reference(embed: Embed) -> None:
    phrases = [*PARITY_PHRASES, *PHRASES[:100]]
    assert np.abs(embed(phrases) - reference_embed(phrases)).max() < 1e-4


def test_vectors_are_unit_float32_one_a_phrase(embed: Embed) -> None:
    vectors = embed(PHRASES)
    assert (vectors.shape, vectors.dtype) == ((len(PHRASES), 512), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embed([]).shape == (0, 512)


def test_meaning_is_near_across_languages(embed: Embed) -> None:
    kidney, niere, bank = embed(["kidney disease", "nierenerkrankung", "exchange rate of my bank card"])
    assert kidney @ niere > 0.6 > 0.3 > kidney @ bank


def test_an_increment_equals_a_fresh_start_bit_for_bit(embed: Embed) -> None:
    whole = embed_steadily(PHRASES, embed=embed)
    shuffled = np.random.default_rng(0).permutation(len(PHRASES))
    parts = [embed_steadily([PHRASES[place] for place in some], embed=embed) for some in np.split(shuffled, [1, 40])]
    assert np.array_equal(np.concatenate(parts), whole[shuffled])
    assert np.abs(embed(PHRASES[:3]) - whole[:3]).max() < 1e-6


def test_any_text_is_embedded(embed: Embed) -> None:
    odd = ["", "\u0007", "\U0001f600" * 50, "x" * 2000, clean_phrase("\ud800 lone"), "<s>", "\u2581", "𒀀 𒀁"]
    vectors = embed(odd)
    assert np.isfinite(vectors).all() and vectors.shape == (8, 512)


def test_the_saved_model_is_small_and_also_takes_token_ids(saved: Path, embed: Embed) -> None:
    import tensorflow as tf
    import tensorflow_hub as hub

    assert sum(path.stat().st_size for path in saved.rglob("*") if path.is_file()) < 90_000_000
    signatures = hub.load(str(saved)).signatures
    by_string = signatures["serving_default"](phrases=tf.constant(["a"]))["embeddings"]
    by_id = signatures["from_ids"](ids=tf.constant([1, 0, 2]), lens=tf.constant([3]))["embeddings"]
    assert np.allclose(by_string, embed(["a"]), atol=1e-6)
    assert np.allclose(by_id, embed([""]), atol=1e-6)  # nothing is [begin, unknown, end]


def test_loading_is_quiet(words: Path) -> None:
    code = f"from pipelines.model.embedder import load_embedder; print(load_embedder({str(words)!r})(['heart valve']).shape)"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "OMP_", "CUDA_"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120, check=True)
    assert (done.stdout.strip(), done.stderr) == (f"(1, {DIMENSIONS})", "")


def test_any_saved_model_that_maps_strings_to_vectors_serves(words: Path, tmp_path: Path) -> None:
    identity = fetch_embedder(str(words), tmp_path / "copy")
    embed = load_embedder(tmp_path / "copy")
    assert embed(["heart valve", "lung"]).shape == (2, DIMENSIONS) and embed([]).shape == (0, DIMENSIONS)
    assert identity == fetch_embedder(str(words), tmp_path / "again") != use_id()


def test_other_files_behind_the_same_path_are_another_embedder(words: Path, tmp_path: Path) -> None:
    first = fetch_embedder(str(words), tmp_path / "first")
    (words / "assets" / "extra").parent.mkdir(exist_ok=True)
    (words / "assets" / "extra").write_text("x")
    try:
        assert fetch_embedder(str(words), tmp_path / "second") != first
    finally:
        (words / "assets" / "extra").unlink()


def save_module(folder: Path, function: object) -> Path:
    import tensorflow as tf

    module = tf.Module()
    if function is not None:
        module.__call__ = tf.function(function, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(folder))
    return folder


def test_what_is_no_embedder_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    wrong = {
        "missing": tmp_path / "missing",
        "no call": save_module(tmp_path / "no_call", None),
        "integers": save_module(tmp_path / "integers", lambda phrases: tf.strings.length(phrases)[:, None]),
        "one vector": save_module(tmp_path / "one", lambda phrases: tf.ones([1, 5])),
    }
    for location in wrong.values():
        with pytest.raises(EmbedderUnusable) as refusal:
            load_embedder(location)
        assert str(location) in refusal.value.came
    with pytest.raises(EmbedderUnusable):
        fetch_embedder(str(tmp_path / "missing"), tmp_path / "copy")


def test_the_default_of_params_is_the_one_that_is_built() -> None:
    from core.params import EmbedderParams

    assert EmbedderParams().handle == USE
