"""The phrases that a version was trained on: which are kept, and which are the nearest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.model import training_phrases
from pipelines.model.training_phrases import (
    PHRASES_FILE,
    TrainingPhrases,
    choose_training_phrases,
    load_training_phrases,
    save_training_phrases,
)
from tests.support.training import training_rows, vectors_of


@pytest.fixture(scope="module")
def phrases() -> TrainingPhrases:
    return choose_training_phrases(training_rows())


def test_the_nearest_are_those_of_the_largest_cosine(phrases: TrainingPhrases) -> None:
    rows = training_rows()
    unit = rows.vectors / np.linalg.norm(rows.vectors, axis=1, keepdims=True)
    for place in range(0, len(unit), 37):
        phrase = str(rows.cleaned[place])
        cosines = unit @ unit[place]
        cosines[rows.cleaned == phrase] = -2
        near = phrases.nearest(rows.vectors[place], besides=phrase)
        assert near[0].similarity == pytest.approx(cosines.max(), abs=0.01)
        assert [found.similarity for found in near] == sorted(
            (found.similarity for found in near), reverse=True
        )
        assert phrase not in {found.phrase for found in near}


def test_a_phrase_has_its_present_label() -> None:
    rows = training_rows()
    twice = replace(
        rows,
        cleaned=np.array([*rows.cleaned, rows.cleaned[0]], dtype=object),
        labels=np.array([*rows.labels, "new"]),
        weights=np.array([*rows.weights, 1.0]),
        vectors=np.concatenate([rows.vectors, rows.vectors[:1]]),
        validation=np.array([*rows.validation, False]),
        present=np.array([False, *[True] * len(rows.cleaned)]),
    )
    [near] = choose_training_phrases(twice).nearest(rows.vectors[0], limit=1)
    assert (near.phrase, near.label) == (rows.cleaned[0], "new")


def test_the_phrases_of_most_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_phrases, "MOST", 3)
    rows = training_rows()
    weights = np.zeros(len(rows.cleaned))
    weights[[4, 8, 200, 300]] = [1.0, 9.0, 5.0, 5.0]
    kept = choose_training_phrases(replace(rows, weights=weights))
    assert kept.text.decode().split("\n") == sorted(rows.cleaned[[8, 200, 300]])


def test_a_file_is_what_was_saved_and_equal_phrases_give_equal_bytes(
    phrases: TrainingPhrases, tmp_path: Path
) -> None:
    save_training_phrases(phrases, tmp_path)
    first = (tmp_path / PHRASES_FILE).read_bytes()
    save_training_phrases(choose_training_phrases(training_rows()), tmp_path)
    assert (tmp_path / PHRASES_FILE).read_bytes() == first
    loaded = load_training_phrases(tmp_path)
    assert loaded is not None
    vector = vectors_of(["acute cardiac murmur"])[0]
    assert [near.phrase for near in loaded.nearest(vector)] == [
        near.phrase for near in phrases.nearest(vector)
    ]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"no archive"])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    assert load_training_phrases(tmp_path) is None
    (tmp_path / PHRASES_FILE).write_bytes(damage)
    assert load_training_phrases(tmp_path) is None
