from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bentos.answering.warming import read_phrases, save_phrases
from bentos.embedder.cache import EmbeddingCache
from bentos.embedder.cache_file import EMBEDDINGS, EmbeddingCacheFile
from tests.support.embedders import vector_of

TEXTS = ["a", "b", "broken heart", "lücke"]


def cache_of(maximum: int = 10) -> EmbeddingCache:
    return EmbeddingCache(
        lambda cleaned: np.stack([vector_of(text) for text in cleaned]),
        embedder_id="tiny",
        maximum=maximum,
    )


def filled(texts: list[str] = TEXTS) -> EmbeddingCache:
    cache = cache_of()
    cache.restore([(text, vector_of(text).tobytes()) for text in texts])
    cache.computed = len(texts)
    return cache


def test_what_was_kept_comes_back_bit_by_bit_and_in_order(tmp_path: Path) -> None:
    EmbeddingCacheFile(tmp_path, filled(), embedder_id="tiny").save()
    cache = cache_of()
    assert EmbeddingCacheFile(tmp_path, cache, embedder_id="tiny").restore() == len(TEXTS)
    assert cache.newest() == [(text, vector_of(text).tobytes()) for text in TEXTS]


def test_a_smaller_cache_takes_the_most_recent(tmp_path: Path) -> None:
    EmbeddingCacheFile(tmp_path, filled(), embedder_id="tiny").save()
    cache = cache_of(2)
    EmbeddingCacheFile(tmp_path, cache, embedder_id="tiny").restore()
    assert [text for text, _ in cache.newest()] == TEXTS[:2]


def test_another_embedders_vectors_are_never_used(tmp_path: Path) -> None:
    EmbeddingCacheFile(tmp_path, filled(), embedder_id="tiny").save()
    assert EmbeddingCacheFile(tmp_path, cache_of(), embedder_id="other").restore() == 0


@pytest.mark.parametrize("place", [b"tiny", b"broken heart", b"]", -3, 0])
def test_a_damaged_file_is_a_cold_start(tmp_path: Path, place: bytes | int) -> None:
    EmbeddingCacheFile(tmp_path, filled(), embedder_id="tiny").save()
    data = bytearray((tmp_path / EMBEDDINGS).read_bytes())
    data[place if isinstance(place, int) else data.index(place)] ^= 1
    (tmp_path / EMBEDDINGS).write_bytes(data)
    assert EmbeddingCacheFile(tmp_path, cache_of(), embedder_id="tiny").restore() == 0


def test_a_cut_file_and_no_file_are_cold_starts(tmp_path: Path) -> None:
    kept = EmbeddingCacheFile(tmp_path, filled(), embedder_id="tiny")
    assert kept.restore() == 0
    kept.save()
    data = (tmp_path / EMBEDDINGS).read_bytes()
    (tmp_path / EMBEDDINGS).write_bytes(data[:-100])
    assert EmbeddingCacheFile(tmp_path, cache_of(), embedder_id="tiny").restore() == 0


def test_nothing_new_is_not_written_again_and_only_the_owner_reads(tmp_path: Path) -> None:
    kept = EmbeddingCacheFile(tmp_path, filled(), embedder_id="tiny")
    kept.save()
    assert (tmp_path / EMBEDDINGS).stat().st_mode & 0o777 == 0o600
    (tmp_path / EMBEDDINGS).unlink()
    kept.save()
    assert not (tmp_path / EMBEDDINGS).exists()


def test_phrases_come_back_and_an_empty_cache_keeps_the_old_ones(tmp_path: Path) -> None:
    assert read_phrases(tmp_path) == {}
    save_phrases(tmp_path, {"organ": TEXTS})
    save_phrases(tmp_path, {})
    assert read_phrases(tmp_path) == {"organ": TEXTS}
