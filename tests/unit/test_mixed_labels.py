"""Corrections of phrases that truly have two labels turn no answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from pipelines.memory.build import build_memory
from pipelines.memory.evidence_rows import join_labels
from pipelines.memory.mixed_labels import habitual_labels

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("labels", "habits"),
    [
        ("aabab", {"a", "b"}),
        ("aaaaabbb", set()),
        ("aaabaaa", {"a"}),
        ("abab" + 20 * "a", {"a"}),
        (20 * "ab" + 100 * "a", set()),
        ("aaaabaaaabaaaaaaaaaa", {"a"}),
        ("", set()),
    ],
)
def test_a_habitual_label_comes_goes_and_comes_back(labels: str, habits: set[str]) -> None:
    assert habitual_labels(list(labels)) == habits


def test_the_habit_of_a_label_with_a_fifth_of_the_past_is_seldom_missed() -> None:
    random = np.random.default_rng(7)
    pasts = [random.choice(["a", "b"], 900, p=[0.8, 0.2]).tolist() for _ in range(400)]
    assert sum("b" in habitual_labels(past) for past in pasts) >= 396


def source_of(labels: str) -> pd.DataFrame:
    moments = [START + timedelta(days=day) for day in range(len(labels))]
    ids = [f"r{number}" for number in range(len(labels))]
    columns = {"id": ids, "cleaned": "cyst", "label": list(labels), "occurred_at": moments}
    return pd.DataFrame(columns)


def corrections(*labels: str, kind: str = "correction", ids: str = "new") -> pd.DataFrame:
    rows = [
        (f"{ids}{number}", "cyst", label, START + timedelta(days=90 + number), "coder", kind, "a")
        for number, label in enumerate(labels)
    ]
    names = ["request_id", "cleaned", "label", "received_at", "author", "kind", "head_label"]
    return pd.DataFrame(rows, columns=names)


def answer(source: pd.DataFrame, received: pd.DataFrame) -> str:
    labels = join_labels(source, received)
    memory = build_memory(labels, classifier="organ", revision=1, as_of=labels["received_at"].max())
    place = memory.place("cyst")
    assert place is not None
    _, weights = memory.evidence(place)
    return max(weights, key=lambda label: weights[label])


MIXED = "aabaabaababaaabaabaabab"


def test_corrections_do_not_turn_a_phrase_of_two_labels() -> None:
    assert answer(source_of(MIXED), corrections(*"b" * 12)) == "a"


def test_samples_do() -> None:
    assert answer(source_of(MIXED), corrections(*"b" * 12, kind="sample")) == "b"


def test_corrections_still_teach_a_new_rule() -> None:
    assert answer(source_of("a" * 20), corrections("b", "b", "b")) == "b"
    assert answer(source_of(MIXED), corrections("c", "c", "c")) == "c"


def test_a_wrong_correction_can_be_taken_back() -> None:
    """One correction decides over a short past, the wrong one and the one that takes it back."""
    assert answer(source_of("ababa"), corrections("w")) == "w"
    assert answer(source_of("ababa"), corrections("w", "a")) == "a"


def test_behind_it_corrections_between_the_habits_say_nothing_again() -> None:
    assert answer(source_of(MIXED), corrections("w", *"b" * 12)) == "a"


def test_a_rule_that_goes_back_is_learnt() -> None:
    assert answer(source_of("a" * 20 + "b" * 20), corrections("a", "a", "a")) == "a"


def test_a_corrected_row_of_the_source_counts_with_its_new_label() -> None:
    source = source_of(MIXED)
    labels = join_labels(source, corrections("b", "b", ids="r"))
    assert len(labels) == len(source)
    assert labels.set_index("received_at").loc[START, "label"] == "b"
