"""Whether a memory improves the answers: earlier labels predict later ones, beside the head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from flows.memory import make_memory
from pipelines.memory import judge
from pipelines.memory.evidence import Runs, extend_runs
from pipelines.memory.judge import MOST_PER_PHRASE, Forecast, forecast_labels

FIT = pd.Timestamp("2026-01-01", tz="UTC")
HOUR = pd.Timedelta(hours=1)
DAY = pd.Timedelta(days=1)


def received(labels: Sequence[str], *, head: str, author: str | None = None) -> pd.DataFrame:
    """Labels of one phrase, an hour apart from the fit on; by default each of another author."""
    count = len(labels)
    return pd.DataFrame(
        {
            "cleaned": ["chest"] * count,
            "label": list(labels),
            "received_at": pd.date_range(FIT + HOUR, periods=count, freq=HOUR),
            "author": [author or f"author {number}" for number in range(count)],
            "kind": "sample",
            "head_label": [head] * count,
        }
    )


@pytest.mark.parametrize(("label", "head"), [("lung", "heart"), ("heart", "lung")])
def test_a_memory_that_predicts_corrections_stays(label: str, head: str) -> None:
    forecast = forecast_labels(received([label] * 5, head=head), since=FIT)
    assert forecast == Forecast(labels=5, memory_right=4, head_right=0, only_memory=4, only_head=0)
    assert not forecast.loses


def test_a_memory_that_the_head_alone_beats_loses() -> None:
    past = received(["lung"] * 30, head="").assign(author="")
    now = received(["heart"] * 12, head="heart")
    now["cleaned"] = [f"chest {number}" for number in range(len(now))]
    pasts = [past.assign(cleaned=phrase) for phrase in now["cleaned"]]
    past_first = pd.concat([*pasts, now.assign(received_at=now["received_at"] + 99 * HOUR)])
    forecast = forecast_labels(past_first, since=FIT + 99 * HOUR)
    assert (forecast.only_head, forecast.only_memory) == (12, 0)
    assert forecast.loses


def signs(only_head: int, only_memory: int) -> Forecast:
    labels = only_head + only_memory
    return Forecast(labels, only_memory, only_head, only_memory, only_head)


def test_a_memory_as_good_as_the_head_is_seldom_switched_off_however_often_it_is_judged() -> None:
    heads = np.random.default_rng(1).random((400, 200)) < 0.5
    ever = [
        any(signs(int(row[look]), look + 1 - int(row[look])).loses for look in range(4, 200, 5))
        for row in heads.cumsum(axis=1)
    ]
    assert np.mean(ever) <= 0.05


@pytest.mark.parametrize(("only_head", "only_memory"), [(7, 0), (12, 1), (33, 12)])
def test_a_worse_memory_is_switched_off(only_head: int, only_memory: int) -> None:
    assert signs(only_head, only_memory).loses
    assert not signs(only_memory, only_head).loses


def test_only_labels_received_since_the_fit_judge() -> None:
    labels = received(["lung"] * 5, head="heart")
    assert forecast_labels(labels, since=FIT + 3 * HOUR).labels == 2


@pytest.mark.parametrize("labels", [[], ["lung"]])
def test_without_labels_for_answers_nothing_is_predicted(labels: list[str]) -> None:
    forecast = forecast_labels(received(labels, head=""), since=FIT)
    assert forecast.labels == 0
    assert not forecast.loses


def test_one_author_who_repeats_a_label_on_a_day_is_predicted_once() -> None:
    labels = received(["lung"] * 20, head="heart", author="ann")
    assert forecast_labels(labels, since=FIT).labels == 1


def test_a_phrase_of_ten_thousand_labels_decides_as_one_of_twenty() -> None:
    labels = received(["lung", "heart"] * 5_000, head="heart")
    forecast = forecast_labels(labels, since=FIT)
    assert (forecast.labels, forecast.head_right) == (MOST_PER_PHRASE, MOST_PER_PHRASE // 2)


def test_a_past_is_weighed_once_however_often_it_predicts(monkeypatch: pytest.MonkeyPatch) -> None:
    weighed = []

    def counting(runs: Runs, codes: Sequence[int]) -> Runs:
        weighed.append(len(codes))
        return extend_runs(runs, codes)

    monkeypatch.setattr(judge, "extend_runs", counting)
    forecast = forecast_labels(received(["lung"] * 500, head="lung"), since=FIT)
    assert forecast.memory_right == MOST_PER_PHRASE
    assert sum(weighed) < 500


@pytest.mark.parametrize(("judging", "enabled"), [(False, True), (True, False)])
def test_only_unselected_labels_switch_a_memory_off(judging: bool, enabled: bool) -> None:
    """People correct an answer that the memory has wrong and the head right, and never one that it
    has right: by corrections alone, a memory that is right nine times in ten would lose.
    """
    names = [f"chest {number}" for number in range(12)]
    past = [(f"s {name} {row}", name) for name in names for row in range(20)]
    source = pd.DataFrame(past, columns=["id", "cleaned"]).assign(label="lung", occurred_at=FIT)
    labels = received(["heart"] * len(names), head="heart").assign(
        id=range(len(names)), request_id=names, cleaned=names
    )
    made = make_memory(
        source,
        labels,
        classifier="organ",
        revision=1,
        as_of=FIT + 99 * HOUR,
        judged_since=FIT,
        judging=names if judging else (),
    )
    assert made.memory.enabled is enabled
    assert made.forecast.labels == (len(names) if judging else 0)


def changed_alike(*, first_asked: int, truth: Sequence[str]) -> pd.DataFrame:
    """Long pasts of "a", "b" and "c". People change "a" on day 5 and "b" on day 8.

    Samples ask "c" on day `first_asked` after the fit, and every third day after that.
    """
    moments = pd.date_range(FIT - 40 * DAY, periods=40, freq="D")
    past = [(phrase, "lung", at, "", "", "") for at in moments for phrase in "abc"]
    others = [(f"other {at}", f"kind {at.day}", at, "", "", "") for at in moments for _ in range(3)]
    corrected = [
        ("a", "heart", FIT + 5 * DAY, "ann", "correction", ""),
        ("b", "heart", FIT + 8 * DAY, "bob", "correction", ""),
    ]
    sampled = [
        ("c", label, FIT + (first_asked + 3 * number) * DAY, "eve", "sample", "lung")
        for number, label in enumerate(truth)
    ]
    columns = ["cleaned", "label", "received_at", "author", "kind", "head_label"]
    return pd.DataFrame([*past, *others, *corrected, *sampled], columns=columns)


@pytest.mark.parametrize(("first_asked", "right"), [(1, 0), (6, 1), (10, 1)])
def test_a_memory_is_judged_by_the_relabellings_that_it_knew(first_asked: int, right: int) -> None:
    labels = changed_alike(first_asked=first_asked, truth=["heart", "heart"])
    forecast = forecast_labels(labels, since=FIT)
    assert (forecast.labels, forecast.memory_right) == (2, right)


@pytest.mark.parametrize(("label", "right"), [("heart", 1), ("lung", 0)])
def test_a_label_does_not_take_part_in_its_own_prediction(label: str, right: int) -> None:
    """It says whether the change before it was taken back."""
    labels = changed_alike(first_asked=10, truth=["heart", label])
    assert forecast_labels(labels, since=FIT).memory_right == right
