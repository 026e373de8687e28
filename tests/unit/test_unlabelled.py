"""The unlabelled phrases of a snapshot: none with a label, and the file that the facts name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StageFailed
from pipelines.model.text import clean_learnable
from pipelines.snapshot_files import UNLABELLED, UNLABELLED_FACT
from pipelines.stages.embed import distinct_phrases
from pipelines.stages.unlabelled import read_unlabelled_part, write_unlabelled_part
from pipelines.unlabelled import (
    NOT_DRAWN,
    Drawn,
    UnlabelledPhrases,
    by_frequency,
    labelled_phrases,
    read_unlabelled,
    write_unlabelled,
)
from tests.support.training import write_snapshot

phrases = st.text("ab ", max_size=4)


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    return write_snapshot(tmp_path, rows=200)


def drawn(*pairs: tuple[str, int], most: int = 100, problem: str = "") -> dict[str, Drawn]:
    asked = UnlabelledPhrases(tuple(p for p, _ in pairs), tuple(n for _, n in pairs), problem)
    return {"organ": Drawn(asked, label="organ", most=most)}


@given(st.dictionaries(phrases, st.integers(1, 9)), st.sets(phrases), st.integers(1, 5))
def test_what_is_left_has_no_label_and_is_what_is_asked_most(
    counts: dict[str, int], labelled: set[str], most: int
) -> None:
    every = by_frequency(list(counts.items()))
    left = every.without(labelled, most=most)
    possible = [
        phrase
        for phrase in every.cleaned
        if phrase not in labelled and clean_learnable(phrase) == phrase
    ]
    assert list(left.cleaned) == possible[:most]
    assert not labelled & set(left.cleaned)
    assert list(left.asks) == sorted(left.asks, reverse=True)
    assert all(counts[phrase] == asks for phrase, asks in zip(left.cleaned, left.asks, strict=True))


def test_phrases_with_a_label_in_the_snapshot_are_left_out(snapshot: Path) -> None:
    known = sorted(labelled_phrases(snapshot, "organ"))
    write_unlabelled(snapshot, drawn((known[0], 9), ("new phrase", 3), (known[1], 2), ("rare", 1)))
    asked = read_unlabelled(snapshot, "organ")
    assert (asked.cleaned, asked.asks, asked.problem) == (("new phrase", "rare"), (3, 1), "")
    facts = json.loads((snapshot / "snapshot.json").read_text())
    described = {"phrases": 2, "asks": 4, "problem": ""}
    assert facts[UNLABELLED_FACT]["classifiers"] == {"organ": described}
    assert {"new phrase", "rare"} <= set(distinct_phrases(snapshot.parent))


def test_two_snapshots_of_the_same_phrases_have_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("first", "second"):
        folder = write_snapshot(tmp_path / name, rows=50)
        write_unlabelled(folder, drawn(("b", 3), ("a", 3)))
        files.append([(folder / file).read_bytes() for file in (UNLABELLED, "snapshot.json")])
    assert files[0] == files[1]


def test_a_snapshot_without_the_file_opens_and_says_so(snapshot: Path) -> None:
    assert read_unlabelled(snapshot, "organ") == UnlabelledPhrases(problem=NOT_DRAWN)
    write_unlabelled(snapshot, drawn(("new", 1)))
    assert read_unlabelled(snapshot, "course").problem == NOT_DRAWN


def test_a_snapshot_that_draws_nothing_keeps_no_earlier_file(snapshot: Path) -> None:
    write_unlabelled(snapshot, drawn(("new", 1)))
    write_unlabelled(snapshot, {})
    assert not (snapshot / UNLABELLED).exists()
    assert "new" not in distinct_phrases(snapshot.parent)


@pytest.mark.parametrize("damage", ["removed", "altered"])
def test_another_file_than_the_snapshot_names_is_refused(snapshot: Path, damage: str) -> None:
    write_unlabelled(snapshot, drawn(("new", 1)))
    file = snapshot / UNLABELLED
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(StageFailed, match="dvc checkout"):
        read_unlabelled(snapshot, "organ")


def test_no_test_phrase_is_ever_unlabelled_whatever_the_file_says(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The stage leaves out every phrase with a label, those that test among them."""
    monkeypatch.chdir(tmp_path)
    write_unlabelled(snapshot, drawn(("held out", 9), ("new", 1)))
    labelled = np.array(["held out", "known"], dtype=object)
    write_unlabelled_part("organ", snapshot, labelled=labelled)
    assert read_unlabelled_part("organ").cleaned == ("new",)


def test_a_log_that_was_away_leaves_no_phrase_and_its_reason(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write_unlabelled(snapshot, drawn(problem="the log could not be read: gone"))
    assert pq.read_table(snapshot / UNLABELLED).num_rows == 0
    write_unlabelled_part("organ", snapshot, labelled=np.array([], dtype=object))
    assert read_unlabelled_part("organ").problem == "the log could not be read: gone"
