"""Changes of label that several phrases share: one label then decides over a long past."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from operations.simulation.memory import GivenLabel, RunningMemory
from operations.simulation.world import EPOCH
from pipelines.memory.build import build_memory
from pipelines.memory.relabelled import DAYS

PAST = 40
"""Agreeing labels of each phrase before anybody changes it."""
LATER = timedelta(days=PAST)
OTHERS = 20
"""Further labels, each as frequent as the one that is changed."""

BY_ONE = "double_review"
"""The kind of all labels that one and the same author gives in these tests."""

Entry = tuple[str, str, timedelta, str]
"""Phrase, label, time since the start, kind ("" for a row of the source)."""


def pasts(phrases: Iterable[str], *, label: str = "old", length: int = PAST) -> list[Entry]:
    others = [(f"phrase of {other}", f"label {other}") for other in range(OTHERS)]
    named = [(phrase, label) for phrase in phrases]
    days = range(PAST - length, PAST)
    return [(*pair, timedelta(days=day), "") for day in days for pair in [*others, *named]]


def corrected(phrase: str, *, day: float = 1, label: str = "new") -> Entry:
    return (phrase, label, LATER + timedelta(days=day), "correction")


def given_labels(entries: Sequence[Entry]) -> list[GivenLabel]:
    return [
        GivenLabel(str(row), phrase, label, EPOCH + since, _author(row, kind), kind)
        for row, (phrase, label, since, kind) in enumerate(entries)
    ]


def _author(row: int, kind: str) -> str:
    """Each label of a person has an author of its own, except those of the kind BY_ONE."""
    if kind == BY_ONE:
        return "ann"
    return f"author {row}" if kind else ""


def answers(entries: Sequence[Entry], phrases: Sequence[str]) -> list[str]:
    """The heaviest label of each phrase, by the memory and by the one that is renewed in place."""
    given = given_labels(entries)
    columns = ("cleaned", "label", "received_at", "author", "kind")
    frame = pd.DataFrame([{name: getattr(row, name) for name in columns} for row in given])
    memory = build_memory(frame, classifier="organ", revision=1, as_of=frame["received_at"].max())
    running = RunningMemory()
    for row in given:
        running.add([row])
        if row.kind:
            running.renew()
    running.renew()
    heaviest = []
    for phrase in phrases:
        place = memory.place(phrase)
        assert place is not None
        weights = memory.evidence(place)[1]
        evidence = running.evidence[phrase]
        own = dict(zip(evidence.labels, evidence.weights.tolist(), strict=True))
        assert own == pytest.approx(weights, rel=1e-5)
        heaviest.append(max(weights, key=lambda label: weights[label]))
    return heaviest


def test_one_correction_alone_turns_no_long_past() -> None:
    assert answers([*pasts("ab"), corrected("a")], "ab") == ["old", "old"]


def test_two_phrases_that_are_changed_alike_turn_both() -> None:
    entries = [*pasts("abc"), corrected("a"), corrected("b", day=30)]
    assert answers(entries, "abc") == ["new", "new", "old"]


def test_after_that_one_label_decides_whoever_gave_it() -> None:
    known = [*pasts("abcd"), corrected("a"), corrected("b", day=30)]
    sampled = ("c", "new", LATER + timedelta(days=31), "sample")
    of_source = ("d", "new", LATER + timedelta(days=32), "")
    assert answers([*known, sampled, of_source], "abcd") == ["new"] * 4


@pytest.mark.parametrize("other", ["a", "b"])
def test_changes_to_different_labels_share_nothing(other: str) -> None:
    changes = [corrected("a"), corrected("b", label="third"), corrected(other, day=2, label="new")]
    entries = [*pasts("ab"), *changes[: 2 if other == "a" else 3]]
    assert answers(entries, "a") == ["old"]


def test_changes_too_far_apart_share_nothing() -> None:
    entries = [*pasts("ab"), corrected("a"), corrected("b", day=DAYS + 2)]
    assert answers(entries, "ab") == ["old", "old"]


def test_a_change_that_was_taken_back_counts_no_longer() -> None:
    back = ("a", "old", LATER + timedelta(days=2), "")
    entries = [*pasts("ab"), corrected("a"), back, corrected("b", day=3)]
    assert answers(entries, "ab") == ["old", "old"]


def test_labels_of_the_source_alone_make_no_relabelling() -> None:
    rows = [(phrase, "new", LATER + timedelta(days=1), "") for phrase in "abcd"]
    assert answers([*pasts("abcd"), *rows], "abcd") == ["old"] * 4


def test_one_person_who_changes_many_phrases_at_once_proves_one() -> None:
    many = [(phrase, "new", LATER + timedelta(days=1), BY_ONE) for phrase in "abcd"]
    assert answers([*pasts("abcde"), *many], "abcd") == ["old"] * 4
    other = corrected("e", day=2)
    assert answers([*pasts("abcde"), *many, other], "abcde") == ["new"] * 5


def test_labels_that_people_confuse_both_ways_are_no_relabelling() -> None:
    past = [*pasts("abc"), *pasts("xyz", label="new")]
    there = [corrected(phrase, day=1 + 7 * day) for day, phrase in enumerate("abc")]
    back = [corrected(p, day=2 + 7 * day, label="old") for day, p in enumerate("xyz")]
    assert answers([*past, *there], "abc") == ["new"] * 3
    assert answers([*past, *there, *back], "abc") == ["old"] * 3


def test_slips_of_the_source_long_after_turn_nothing_back() -> None:
    slips = [
        (f"slip {n}", label, LATER + timedelta(days=300 + day), "")
        for n in range(60)
        for day, label in enumerate(["old", "old", "old", "new", "old"])
    ]
    entries = [*pasts("ab"), corrected("a"), corrected("b", day=30), *slips]
    assert answers(entries, "ab") == ["new", "new"]


def past_of(phrase: str, label: str, *, length: int) -> list[Entry]:
    return [(phrase, label, timedelta(days=day), "") for day in range(length)]


def test_mistakes_between_two_labels_make_no_relabelling() -> None:
    """Of two labels, every mistake is of one of two kinds: so many of them are expected."""
    names = [f"phrase {number}" for number in range(100)]
    past = [entry for name in names for entry in past_of(name, "yes", length=PAST)]
    past += [entry for name in names for entry in past_of(f"other {name}", "no", length=PAST)]
    right = [corrected(f"new {n}", day=0.9 * n, label="no") for n in range(97)]
    wrong = [corrected(name, day=29 * n, label="no") for n, name in enumerate(names[:3])]
    assert answers([*past, *right, *wrong], names[:4]) == ["yes"] * 4


def test_wrong_corrections_seldom_share_a_change() -> None:
    """Of 200 corrections in three months, 20 are wrong: thrice as many as are expected."""
    random = np.random.default_rng(1)
    names = [f"phrase {number}" for number in range(20)]
    turned = 0
    for _ in range(20):
        labels = [f"label {number}" for number in random.integers(30, size=20)]
        others = [f"label {number}" for number in random.integers(30, size=20)]
        pairs = list(zip(names, labels, others, strict=True))
        past = [entry for name, label, _ in pairs for entry in past_of(name, label, length=12)]
        wrong = [corrected(name, day=4 * n, label=pairs[n][2]) for n, name in enumerate(names)]
        right = [corrected(f"new {n}", day=0.4 * n, label=labels[n % 20]) for n in range(180)]
        answered = answers([*past, *right, *wrong], names)
        turned += sum(answer != label for answer, label in zip(answered, labels, strict=True))
    assert turned <= 0.02 * 20 * 20
