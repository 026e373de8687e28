from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import EmbedderUnusable, StageFailed
from pipelines.model.embedder import RUNTIMES, Runtime, _batches, load_embedder, read_embedder
from pipelines.model.embedder_building import use_id
from pipelines.stages.embed import STEADY_BATCH, distinct_phrases, embed_steadily, merge_vectors
from pipelines.stages.vectors import read_vectors, store_vectors, stored_vectors
from tests.support.training import DIMENSIONS, vectors_of


class CountingEmbed:
    def __init__(self) -> None:
        self.phrases: list[str] = []

    def __call__(self, cleaned: Sequence[str]) -> np.ndarray:
        self.phrases += cleaned
        return vectors_of(cleaned)


def test_only_new_phrases_are_embedded_and_old_ones_keep_their_vectors() -> None:
    embed = CountingEmbed()
    known = ["a", "c", "gone"]
    marked = vectors_of(known) + 1
    merged = merge_vectors(["a", "b", "c", "d"], known, marked, embed=embed, width=DIMENSIONS)
    assert embed.phrases == ["b", "d"]
    assert np.array_equal(
        merged, np.stack([marked[0], vectors_of(["b"])[0], marked[1], vectors_of(["d"])[0]])
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_refused_with_its_phrase(bad: float) -> None:
    def broken(cleaned: Sequence[str]) -> np.ndarray:
        return np.where(np.array(cleaned)[:, None] == "b", bad, 1.0).astype(np.float32)

    with pytest.raises(StageFailed, match="got NaN or infinity for 'b', 1 phrases in all"):
        merge_vectors(["a", "b"], [], np.empty((0, 0), np.float32), embed=broken, width=1)


def test_stored_vectors_that_are_not_finite_train_nothing(tmp_path: Path) -> None:
    vectors = np.array([[1.0], [np.nan]], np.float32)
    store_vectors(tmp_path, ["a", "b"], vectors, "words-1")
    assert read_vectors(["a"], tmp_path).tolist() == [[1.0]]
    with pytest.raises(StageFailed, match=r"finite numbers from the embedder, got NaN .* 'b'"):
        read_vectors(["a", "b"], tmp_path)


def test_nothing_new_asks_no_embedder() -> None:
    def refuse(cleaned: Sequence[str]) -> np.ndarray:
        raise AssertionError(cleaned)

    assert np.array_equal(
        merge_vectors(["b"], ["a", "b"], np.eye(2, dtype=np.float32), embed=refuse, width=2),
        [[0, 1]],
    )


def test_without_stored_vectors_all_are_embedded() -> None:
    merged = merge_vectors(
        ["a", "b"], [], np.empty((0, 0), np.float32), embed=vectors_of, width=DIMENSIONS
    )
    assert np.array_equal(merged, vectors_of(["a", "b"]))


def test_stored_vectors_are_reused_for_the_same_embedder_only(tmp_path: Path) -> None:
    store_vectors(tmp_path, ["a", "b"], vectors_of(["a", "b"]), "words-1")
    phrases, vectors = stored_vectors(tmp_path, "words-1")
    assert phrases == ["a", "b"] and np.array_equal(vectors, vectors_of(["a", "b"]))
    assert stored_vectors(tmp_path, "words-2")[0] == []
    assert stored_vectors(tmp_path / "nothing", "words-1")[0] == []


def test_files_linked_to_a_cache_are_replaced_not_written_into(tmp_path: Path) -> None:
    folder = tmp_path / "embeddings"
    cache = tmp_path / "cache.npy"
    store_vectors(folder, ["a"], vectors_of(["a"]), "words-1")
    cache.hardlink_to(folder / "vectors.npy")
    before = cache.read_bytes()
    for path in folder.iterdir():
        path.chmod(0o444)
    store_vectors(folder, ["a", "b"], vectors_of(["a", "b"]), "words-1")
    assert cache.read_bytes() == before
    assert np.array_equal(read_vectors(["b", "a", "b"], folder), vectors_of(["b", "a", "b"]))
    assert sorted(path.name for path in folder.iterdir()) == [
        "embedder.json",
        "phrases.parquet",
        "vectors.npy",
    ]


def test_a_phrase_never_embedded_is_named(tmp_path: Path) -> None:
    store_vectors(tmp_path, ["a"], vectors_of(["a"]), "words-1")
    with pytest.raises(StageFailed, match="'lost one', 2 in all"):
        read_vectors(["a", "lost one", "other"], tmp_path)


def test_phrases_of_all_snapshots_are_distinct_cleaned_and_sorted(tmp_path: Path) -> None:
    for name, phrases in {"one": ["B  b", "a", None, " "], "two": ["b B", "é", "Z"]}.items():
        (tmp_path / name).mkdir()
        pq.write_table(
            pa.table({"phrase": pa.array(phrases, pa.string())}), tmp_path / name / "rows.parquet"
        )
    assert distinct_phrases(tmp_path) == ["a", "b b", "z", "é"]
    with pytest.raises(StageFailed):
        distinct_phrases(tmp_path / "nothing")


def test_steady_batches_have_one_size_and_end_with_a_filler() -> None:
    sizes: list[int] = []

    def embed(cleaned: Sequence[str]) -> np.ndarray:
        sizes.append(len(cleaned))
        assert cleaned[-1] not in phrases
        return vectors_of(cleaned)

    phrases = [f"word{number}" for number in range(600)]
    assert np.array_equal(embed_steadily(phrases, embed=embed), vectors_of(phrases))
    assert sizes == [STEADY_BATCH] * 3


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_batches_keep_order_and_bound_phrases_and_characters(runtime: Runtime) -> None:
    most = runtime.characters
    limits = {"phrases": runtime.phrases, "characters": runtime.characters}
    phrases = ["x" * length for length in (most + 5, 1, 2, *([40] * 700), most, 3)]
    batches = list(_batches(phrases, **limits))
    assert [phrase for batch in batches for phrase in batch] == phrases
    assert all(len(batch) <= runtime.phrases for batch in batches)
    assert all(len(batch) == 1 or sum(map(len, batch)) <= most for batch in batches)
    assert list(_batches([], **limits)) == []


def test_a_steady_batch_is_whole_calls_of_every_runtime() -> None:
    assert all(STEADY_BATCH % runtime.phrases == 0 for runtime in RUNTIMES.values())


def test_an_embedder_says_its_runtime_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnusable, match=r"embedder\.json in"):
        load_embedder(tmp_path)
    (tmp_path / "embedder.json").write_text('{"embedder_id": "old"}')
    assert read_embedder(tmp_path)["runtime"] == "tensorflow"
    (tmp_path / "embedder.json").write_text('{"embedder_id": "new", "runtime": "abacus"}')
    with pytest.raises(
        EmbedderUnusable, match="one of the runtimes tensorflow, litert, got abacus"
    ):
        load_embedder(tmp_path)


def test_the_same_weights_are_another_embedder_in_another_runtime() -> None:
    assert len({use_id(runtime) for runtime in RUNTIMES}) == len(RUNTIMES)
