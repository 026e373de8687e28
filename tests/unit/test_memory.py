"""What a phrase's own labels say: changed rules, wrong labels, phrases of two labels."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import HeadRefused
from pipelines.memory.build import LABEL_COLUMNS, build_memory, count_acts
from pipelines.memory.evidence import (
    SHORT_PAST,
    extend_runs,
    mix_runs,
    no_run,
    repeat_deciding,
    weigh_labels,
)
from pipelines.model.memory import (
    AppliedMemory,
    Memory,
    changed_hashes,
    load_memory,
    phrase_hash,
    save_memory,
)
from pipelines.model.text import MAX_PHRASE_LENGTH

NOON = pd.Timestamp("2026-01-01T12:00", tz="UTC")
LATE = pd.Timestamp("2027-01-01", tz="UTC")


def answer(codes: Sequence[int], *, labels: int, head: dict[int, float]) -> int:
    evidence = weigh_labels(codes, labels=labels)
    shares = evidence.weights + evidence.head_share * np.array(
        [head.get(label, 0.001) for label in range(labels)]
    )
    return int(shares.argmax())


def pasts(random: np.random.Generator, count: int, *, least: int) -> list[list[int]]:
    """Long, agreeing pasts of label 0 in which one label in fifty is another one, 2 to 9."""
    return [
        [0 if random.random() > 0.02 else int(random.integers(2, 10)) for _ in range(length)]
        for length in np.exp(random.uniform(np.log(least), np.log(200), count)).astype(int)
    ]


def test_a_new_rule_is_learnt_from_three_agreeing_labels() -> None:
    random = np.random.default_rng(1)
    flipped = [
        answer([*past, 1, 1, 1], labels=10, head={0: 0.97}) == 1
        for past in pasts(random, 200, least=5)
    ]
    assert np.mean(flipped) >= 0.95


def test_one_wrong_label_flips_no_long_agreeing_past() -> None:
    random = np.random.default_rng(2)
    flipped = [
        answer([*past, 1], labels=10, head={0: 0.97}) == 1 for past in pasts(random, 500, least=10)
    ]
    assert np.mean(flipped) <= 0.01


@pytest.mark.parametrize(
    ("past", "against_the_head", "with_it"),
    [(0, 1, 1), (1, 2, 1), (2, 2, 1), (5, 2, 1), (9, 2, 1), (10, 2, 1), (20, 2, 1), (200, 2, 1)],
)
def test_so_many_labels_turn_an_agreeing_past(
    past: int, against_the_head: int, with_it: int
) -> None:
    """Decision 0016 quotes these figures."""

    def needed(head: dict[int, float]) -> int:
        tried = range(1, 9)
        return next(n for n in tried if answer([0] * past + [1] * n, labels=2, head=head) == 1)

    assert needed({0: 0.97, 1: 0.01}) == against_the_head
    assert needed({0: 0.01, 1: 0.97}) == with_it


@pytest.mark.parametrize("share", [0.6, 0.7, 0.8])
def test_one_wrong_label_turns_no_phrase_of_two_labels(share: float) -> None:
    random = np.random.default_rng(4)
    turned = []
    for length in random.integers(20, 200, 200).tolist():
        past = (random.random(length) > share).astype(int).tolist()
        turned.append(answer([*past, 2], labels=3, head={0: share, 1: 1 - share}) == 2)
    assert np.mean(turned) <= 0.01


@pytest.mark.parametrize("past", range(SHORT_PAST))
def test_one_correction_decides_over_a_short_past(past: int) -> None:
    codes = repeat_deciding([0] * past + [1], [False] * past + [True], [False] * (past + 1))
    assert answer(codes, labels=2, head={0: 0.97, 1: 0.01}) == 1


def test_one_correction_turns_no_long_past() -> None:
    marks = [False] * SHORT_PAST
    codes = repeat_deciding([0] * SHORT_PAST + [1], [*marks, True], [*marks, False])
    assert codes == [0] * SHORT_PAST + [1]
    assert answer(codes, labels=2, head={0: 0.97, 1: 0.01}) == 0


def test_a_memory_counts_a_correction_as_a_correction() -> None:
    past = [("chest", "lung", NOON, "")] * 3
    labelled = rows(*past, ("chest", "heart", NOON + pd.Timedelta(hours=1), "ann"))
    kinds = (("correction", "heart"), ("double_review", "heart"), ("sample", "lung"))
    for kind, best in kinds:
        labels = labelled.assign(kind=["", "", "", kind])
        memory = build_memory(labels, classifier="organ", revision=1, as_of=LATE)
        applied = AppliedMemory.beside(memory, ["heart", "lung"])
        mixed = applied.apply(["chest"], np.array([[0.03, 0.97]], np.float32))
        assert applied.labels[mixed[0].argmax()] == best


def test_one_label_decides_over_a_phrase_that_nobody_labelled_before() -> None:
    assert answer([1], labels=2, head={0: 0.995}) == 1


def test_a_phrase_of_two_labels_keeps_the_more_frequent_one() -> None:
    random = np.random.default_rng(3)
    right, best = [], []
    for _ in range(60):
        share = random.uniform(0.6, 0.9)
        labels = (random.random(140) > share).astype(int).tolist()
        for end in range(100, 140):
            answered = answer(labels[:end], labels=2, head={0: share, 1: 1 - share})
            right.append(answered == labels[end])
            best.append(labels[end] == 0)
    assert np.mean(right) >= np.mean(best) - 0.02


@given(st.lists(st.integers(0, 3), max_size=60))
def test_weights_and_the_share_of_the_head_sum_to_one(codes: list[int]) -> None:
    evidence = weigh_labels(codes, labels=4)
    assert evidence.head_share + evidence.weights.sum() == pytest.approx(1)
    assert evidence.head_share > 0
    assert (evidence.weights >= 0).all()


@given(st.integers(1, 60))
def test_an_agreeing_past_is_weighed_as_any_other(count: int) -> None:
    agreeing = weigh_labels([0] * count, labels=1)
    same = weigh_labels([0] * count, labels=2)
    assert agreeing.head_share == pytest.approx(same.head_share)
    assert agreeing.weights[0] == pytest.approx(same.weights[0])


def rows(*entries: tuple[str, str, pd.Timestamp, str]) -> pd.DataFrame:
    return pd.DataFrame(entries, columns=list(LABEL_COLUMNS[:4])).assign(kind="")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=120), st.integers(0, 120))
def test_a_past_is_weighed_in_parts_as_in_one_go(codes: list[int], cut: int) -> None:
    first = extend_runs(no_run(4), codes[:cut])
    kept = first.log_chance.copy()
    in_parts = mix_runs(extend_runs(first, codes[cut:]))
    whole = weigh_labels(codes, labels=4)
    assert in_parts.head_share == whole.head_share
    assert (in_parts.weights == whole.weights).all()
    assert (first.log_chance == kept).all()


def test_one_act_of_one_author_counts_once_a_day() -> None:
    fixes = [("chest", "lung", NOON + pd.Timedelta(seconds=n), "ann") for n in range(10_000)]
    other_day = ("chest", "lung", NOON + pd.Timedelta(days=1), "ann")
    other_author = ("chest", "heart", NOON, "bob")
    assert len(count_acts(rows(*fixes, other_day, other_author))) == 3


def test_rows_of_the_source_count_one_by_one() -> None:
    assert len(count_acts(rows(*[("chest", "lung", NOON, "")] * 5))) == 5


def test_one_long_phrase_takes_no_room_for_every_row() -> None:
    phrases = [f"phrase {number % 50}" for number in range(20_000)]
    phrases[7] = "x" * MAX_PHRASE_LENGTH
    labels = rows(*[(phrase, "lung", NOON, "") for phrase in phrases])
    tracemalloc.start()
    build_memory(labels, classifier="organ", revision=1, as_of=LATE)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30e6  # 160 MB and more, when each row took the room of the longest


def test_what_comes_after_the_moment_waits() -> None:
    entries = rows(("chest", "lung", NOON, ""), ("chest", "heart", LATE, "ann"))
    memory = build_memory(entries, classifier="organ", revision=1, as_of=NOON)
    assert memory.labels == ("lung",)


def make_memory(*, enabled: bool = True, label: str = "lung", revision: int = 1) -> Memory:
    entries = rows(("chest", label, NOON, "ann"), ("beat", "heart", NOON, ""))
    memory = build_memory(entries, classifier="organ", revision=revision, as_of=LATE)
    return Memory(**{**vars(memory), "enabled": enabled})


def test_a_known_phrase_is_answered_by_its_label_and_a_new_one_by_the_head() -> None:
    applied = AppliedMemory.beside(make_memory(), ["brain", "heart"])
    head = np.array([[0.9, 0.1], [0.9, 0.1]], np.float32)
    mixed = applied.apply(["chest", "new"], head)
    assert applied.labels == ("brain", "heart", "lung")
    assert applied.labels[mixed[0].argmax()] == "lung"
    assert mixed[1].tolist() == pytest.approx([0.9, 0.1, 0.0])
    assert mixed.sum(axis=1) == pytest.approx([1, 1])
    assert head.tolist() == [pytest.approx([0.9, 0.1])] * 2


def test_a_memory_that_is_switched_off_only_knows_which_phrases_are_new() -> None:
    memory = make_memory(enabled=False)
    mixed = AppliedMemory.beside(memory, ["heart", "lung"]).apply(
        ["chest"], np.array([[0.9, 0.1]], np.float32)
    )
    assert mixed.tolist() == [pytest.approx([0.9, 0.1])]
    assert memory.place("chest") is not None
    assert memory.place("new") is None


def test_only_phrases_whose_evidence_differs_have_changed() -> None:
    assert changed_hashes(make_memory(), make_memory(revision=2)) == set()
    assert changed_hashes(make_memory(), make_memory(label="heart")) == {phrase_hash("chest")}
    assert changed_hashes(None, make_memory()) == {phrase_hash("chest"), phrase_hash("beat")}


def test_a_saved_memory_is_the_same_and_equal_ones_have_equal_bytes(tmp_path: Path) -> None:
    digest = save_memory(make_memory(), tmp_path / "a")
    assert save_memory(make_memory(), tmp_path / "b") == digest
    assert (tmp_path / "a/memory.npz").read_bytes() == (tmp_path / "b/memory.npz").read_bytes()
    loaded = load_memory(tmp_path / "a", digest=digest)
    assert changed_hashes(make_memory(), loaded) == set()
    assert loaded.labels == make_memory().labels


def test_a_damaged_memory_is_refused(tmp_path: Path) -> None:
    digest = save_memory(make_memory(), tmp_path)
    (tmp_path / "memory.npz").write_bytes(b"rubbish")
    with pytest.raises(HeadRefused, match="digest"):
        load_memory(tmp_path, digest=digest)
