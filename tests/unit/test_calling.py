"""A drift retrains where labels came; the same cause calls again only when it grows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from core.contracts import Verdict
from monitoring.drift.calling import Called, decide_call, grown, last_call, without_repetition
from monitoring.drift.label_requests import with_request
from monitoring.drift.moved import (
    PHRASES_KEPT,
    beyond_usual,
    label_requests,
    labelled_share,
    moved_phrases,
)
from monitoring.windows.reports import DriftReport

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def frame(counts: dict[str, int]) -> pd.DataFrame:
    cleaned = [phrase for phrase, rows in counts.items() for _ in range(rows)]
    return pd.DataFrame({"cleaned": cleaned, "label": "l", "weight": 1.0})


def labelled(phrases: Sequence[str]) -> np.ndarray:
    return np.array([phrase.startswith("known") for phrase in phrases], dtype=bool)


MOVED = moved_phrases(
    frame({"usual": 100, "known": 30, "new": 60, "newer": 10}), frame({"usual": 500, "known": 5})
)


def test_moved_phrases_are_those_beyond_the_past() -> None:
    assert MOVED["phrase"].tolist() == ["new", "known", "newer"]
    assert MOVED["rows"].tolist() == pytest.approx([60, 30 - 1.98 - 2 * 1.98**0.5, 10], abs=0.01)


def test_rare_known_phrases_do_not_pass_for_the_labels_of_a_drift() -> None:
    """As much moved as in ordinary traffic: 20,000 phrases, and a tenth goes to 20 new ones."""
    random = np.random.default_rng(5)
    frequency = 1 / np.arange(1, 20_001)
    drawn = random.choice(20_000, 18_000, p=frequency / frequency.sum())
    calm = pd.DataFrame({"cleaned": [f"known {number}" for number in drawn], "label": "l"})
    moments = pd.date_range("2026-01-01", periods=18_000, freq="7min")
    calm = calm.assign(weight=1.0, occurred_at=moments)
    baseline, window = calm[:16_000], calm[16_000:].reset_index(drop=True)
    window.loc[:199, "cleaned"] = [f"new {number % 20}" for number in range(200)]

    moved = moved_phrases(window, baseline)
    assert labelled_share(moved, labelled) > 0.3
    beyond = beyond_usual(moved, baseline, size=2_000, labelled=labelled, seed=7)
    assert labelled_share(beyond, labelled) < 0.15
    learnt = labelled_share(beyond, lambda phrases: np.ones(len(phrases), dtype=bool))
    assert learnt == 1.0


def test_so_many_phrases_stand_for_a_drift() -> None:
    many = moved_phrases(frame({f"p{number}": 1 for number in range(999)}), frame({}))
    assert len(many) == PHRASES_KEPT


def test_the_labelled_share_counts_rows() -> None:
    assert labelled_share(MOVED, labelled) == pytest.approx(25.2 / 95.2, abs=0.01)
    assert labelled_share(MOVED.iloc[:0], labelled) == 1.0


def test_requests_name_the_phrases_with_the_most_rows() -> None:
    assert label_requests(MOVED, labelled) == [
        {"phrase": "new", "label": "l", "rows": 60},
        {"phrase": "newer", "label": "l", "rows": 10},
    ]
    assert label_requests(MOVED.iloc[:0], labelled) == []


@pytest.mark.parametrize(("least_share", "kind"), [(0.2, "drift"), (0.3, "needs_labels")])
def test_without_labels_a_drift_asks_for_them(least_share: float, kind: str) -> None:
    verdict = decide_call(MOVED, labelled=labelled, least_share=least_share, reasons=("far",))
    assert verdict.kind == kind
    assert verdict.evidence["labelled_share"] == pytest.approx(0.264, abs=0.01)


def report(number: int, verdict: str, *, version: str = "1", z: float = 5.0) -> DriftReport:
    alarms = () if verdict == "steady" else ("novelty_mean",)
    statistics = {"novelty_mean": {"value": 0.1, "z": z}}
    return DriftReport(version, number, NOW, NOW, None, 500, statistics, alarms, verdict, "file")


def test_a_call_holds_until_a_calm_window() -> None:
    asked = report(1, "needs_labels")
    assert last_call([asked, report(2, "warning")], version="1") == Called(
        "needs_labels", 1, {"novelty_mean": 5.0}
    )
    assert last_call([asked, report(2, "steady"), report(3, "warning")], version="1") is None
    assert last_call([], version="1") is None


def test_a_request_for_labels_holds_across_promotions_and_a_drift_does_not() -> None:
    assert last_call([report(1, "needs_labels")], version="2") is not None
    assert last_call([report(1, "drift")], version="2") is None


@pytest.mark.parametrize(
    ("kind", "z", "expected"),
    [
        ("needs_labels", 7.0, "warning"),
        ("needs_labels", 8.0, "needs_labels"),
        ("drift", 5.0, "drift"),
    ],
)
def test_the_same_cause_calls_again_only_when_it_grows(kind: str, z: float, expected: str) -> None:
    called = Called("needs_labels", 4, {"novelty_mean": 5.0})
    again = without_repetition(
        Verdict(kind, ("far",)), called, alarms=("novelty_mean",), z={"novelty_mean": z}
    )
    assert again.kind == expected


def test_the_watch_says_what_became_of_a_request() -> None:
    steady = Verdict("steady", ("as usual",))
    waiting = Verdict("needs_labels", ("asked",), {"label_requests": [1]})
    due = Verdict("drift", ("came",))
    assert with_request(steady, None) is steady
    assert with_request(due, waiting) is due
    assert with_request(steady, waiting) == Verdict(
        "steady", ("asked", "as usual"), {"label_requests": [1]}
    )
    assert with_request(steady, due) == Verdict("drift", ("came", "as usual"))


def test_alarms_grow_when_they_are_new_or_half_as_high_again() -> None:
    called = Called("drift", 3, {"confidence": 6.0})
    assert not grown(None, alarms=(), z={})
    assert grown(None, alarms=("confidence",), z={"confidence": 3.1})
    assert not grown(called, alarms=("confidence",), z={"confidence": 8.9})
    assert grown(called, alarms=("confidence",), z={"confidence": 9.1})
    assert grown(called, alarms=("embeddings",), z={"confidence": 6.0, "embeddings": 4.6})


def test_a_broken_client_hides_no_earlier_call() -> None:
    drift = report(3, "drift", z=6.0)
    broken = report(4, "broken_client", z=20.0)
    newest = last_call([drift, broken, report(5, "warning", z=7.0)], version="1")
    assert newest is not None and (newest.kind, newest.window) == ("drift", 3)
    alone = last_call([broken], version="1")
    assert alone is not None and alone.kind == "broken_client"
