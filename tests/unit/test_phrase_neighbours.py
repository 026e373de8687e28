"""The nearest phrases: found as an exact search finds them, kept from update to update."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.contracts import ModelVersion
from monitoring.review import phrase_vectors
from monitoring.review.neighbours import FACT_COLUMNS, phrase_neighbours, store_facts
from monitoring.review.phrase_facts import describe_phrases, wanted_phrases
from monitoring.review.phrase_vectors import open_vectors, update_vectors, vectors_folder
from tests.support.traffic import embed_words

MODEL = ModelVersion("topic", "1", "models/topic/1", "digest", "words-1")
PHRASES = ["broken arm", "broken leg", "broken arm left", "fever", "high fever", "cough"]


def facts(phrases: Sequence[str]) -> pd.DataFrame:
    rows = [
        (phrase, f"label of {phrase}", number % 2 == 0, number)
        for number, phrase in enumerate(phrases)
    ]
    return pd.DataFrame(rows, columns=list(FACT_COLUMNS))


def keep(home: Path, phrases: Sequence[str], model: ModelVersion = MODEL) -> int:
    store_facts(home, model, facts(phrases))
    return update_vectors(vectors_folder(home, model.embedder_id), phrases, embed_words)


def test_the_nearest_phrases_come_with_labels_and_how_often_they_are_asked(tmp_path: Path) -> None:
    assert keep(tmp_path, PHRASES) == 6
    found = phrase_neighbours(tmp_path, MODEL, "broken arm")[:3]
    assert [near.cleaned for near in found] == ["broken arm left", "broken leg", found[2].cleaned]
    assert "broken arm" not in [near.cleaned for near in found]
    assert (found[0].label, found[0].labelled, found[0].asks) == (
        "label of broken arm left", True, 2,
    )  # fmt: skip
    exact = embed_words(["broken arm", "broken leg"])
    assert found[1].similarity == pytest.approx(float(exact[0] @ exact[1]), abs=2e-3)


def test_a_phrase_without_a_vector_has_no_neighbours(tmp_path: Path) -> None:
    assert phrase_neighbours(tmp_path, MODEL, "fever") == []
    keep(tmp_path, PHRASES)
    assert phrase_neighbours(tmp_path, MODEL, "mild fever") == []
    assert phrase_neighbours(tmp_path, MODEL, "fever") != []


def test_classifiers_share_vectors_and_see_their_own_phrases(tmp_path: Path) -> None:
    other = ModelVersion("organ", "1", "models/organ/1", "digest", "words-1")
    keep(tmp_path, PHRASES)
    store_facts(tmp_path, other, facts(["broken leg", "cough"]))
    found = phrase_neighbours(tmp_path, other, "broken arm")
    assert {near.cleaned for near in found} == {"broken leg", "cough"}


def test_an_update_embeds_only_new_phrases_and_drops_the_others(tmp_path: Path) -> None:
    keep(tmp_path, PHRASES)
    asked: list[str] = []

    def embed(cleaned: Sequence[str]) -> np.ndarray:
        asked.extend(cleaned)
        return embed_words(cleaned)

    folder = vectors_folder(tmp_path, "words-1")
    assert update_vectors(folder, [*PHRASES[:3], "new pain"], embed) == 1
    assert asked == ["new pain"]
    stored = open_vectors(folder)
    assert stored is not None
    assert stored.phrases.to_pylist() == sorted([*PHRASES[:3], "new pain"])
    whole = embed_words(stored.phrases.to_pylist())
    assert np.allclose(stored.whole, whole, atol=1e-3)
    assert update_vectors(folder, PHRASES[:3], embed) == 0
    assert len([entry for entry in folder.iterdir() if entry.is_dir()]) == 1


def test_an_update_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phrase_vectors, "NEW_AT_ONCE", 4)
    monkeypatch.setattr(phrase_vectors, "MOST", 5)
    folder = vectors_folder(tmp_path, "words-1")
    assert [update_vectors(folder, PHRASES, embed_words) for _ in range(3)] == [4, 1, 0]
    stored = open_vectors(folder)
    assert stored is not None
    assert stored.phrases.to_pylist() == sorted(PHRASES[:5])


def test_an_unsafe_embedder_id_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the name of a folder"):
        vectors_folder(tmp_path, "../elsewhere")


def test_queued_phrases_are_kept_first_and_a_phrase_needs_a_label() -> None:
    asked = pd.DataFrame({"cleaned": ["a", "b"], "label": ["x", "y"], "asks": [0.4, 7.2]})
    described = describe_phrases(asked, ["c", "a"], None)
    assert described.to_numpy().tolist() == [["b", "y", False, 8], ["a", "x", False, 1]]
    assert wanted_phrases([described], {"q"}) == ["q", "b", "a"]


def clustered(count: int, *, clusters: int, seed: int) -> np.ndarray:
    """Unit vectors (count, 512) around centres whose spectrum falls as that of real embeddings."""
    random = np.random.default_rng(seed)
    spectrum = 1 / np.sqrt(np.arange(1, 513))
    centres = random.normal(size=(clusters, 512)) * spectrum
    vectors = centres[random.integers(0, clusters, count)]
    vectors += 0.5 * random.normal(size=(count, 512)) * spectrum
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_the_search_finds_what_an_exact_search_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phrase_vectors, "NEW_AT_ONCE", 10**9)
    vectors = clustered(30_000, clusters=3000, seed=1)
    phrases = [f"phrase {number:05d}" for number in range(len(vectors))]
    update_vectors(tmp_path, phrases, lambda _: vectors)
    stored = open_vectors(tmp_path)
    assert stored is not None
    among = np.ones(len(vectors), bool)
    hits = 0
    for row in range(0, 30_000, 600):
        places, cosines = stored.nearest(vectors[row], among, limit=10)
        assert np.all(np.diff(cosines) <= 0)
        hits += len(set(places) & set(np.argsort(-(vectors @ vectors[row]))[:10]))
    assert hits >= 0.98 * 500


@pytest.mark.slow
def test_200_000_phrases_are_searched_in_50_ms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phrase_vectors, "NEW_AT_ONCE", 10**9)
    vectors = clustered(200_000, clusters=20_000, seed=2)
    phrases = [f"phrase {number:06d}" for number in range(len(vectors))]
    store_facts(tmp_path, MODEL, facts(phrases))
    update_vectors(vectors_folder(tmp_path, "words-1"), phrases, lambda _: vectors)
    phrase_neighbours(tmp_path, MODEL, phrases[0])
    waited = []
    worked = []  # of this process alone, whatever else the machine does
    for row in range(0, 200_000, 5000):
        began = time.perf_counter(), time.process_time()
        found = phrase_neighbours(tmp_path, MODEL, phrases[row])
        waited.append(time.perf_counter() - began[0])
        worked.append(time.process_time() - began[1])
        assert len(found) == 8
    print(f"median {1000 * statistics.median(waited):.1f} ms", end=", ")
    print(f"of which {1000 * statistics.median(worked):.1f} ms of work")
    assert statistics.median(worked) <= 0.050
