"""The simulated year: its oracle, its people, and a memory that is renewed in place."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from benchmarks.year.plan import Setting
from benchmarks.year.report import tables_of
from benchmarks.year.world import PracticeWorld
from operations.simulation.answering import Answering
from operations.simulation.arrivals import Arrivals, expected_weighted_f1
from operations.simulation.events import SIZES, draw_calendar
from operations.simulation.figures import answers_broken, count_fits, summarise, windows_until_named
from operations.simulation.memory import GivenLabel, RunningMemory, evidence_of_rows
from operations.simulation.observer import past_of_correction
from operations.simulation.people import LABELS_A_WEEK, People
from pipelines.memory.build import build_memory
from pipelines.memory.evidence_rows import join_labels
from pipelines.source.practice import EPOCH

START = datetime(2026, 1, 1, tzinfo=UTC)


def arrivals_of(labels: list[int], *, other: int = -1, share: float = 1.0) -> Arrivals:
    rows = len(labels)
    names = np.array([f"phrase {number}" for number in range(rows)], dtype=object)
    return Arrivals(
        second=np.linspace(0, 86_000, rows),
        region=np.array(["north"] * rows, dtype=object),
        phrase=names,
        cleaned=names,
        label=np.array(labels),
        other=np.full(rows, other),
        share=np.full(rows, share),
        truth=np.array(labels),
        event=np.full(rows, -1),
    )


def test_weighted_f1_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    truth, answers = random.integers(5, size=(2, 300))
    expected = f1_score(truth, answers, average="weighted")
    assert expected_weighted_f1(arrivals_of(truth.tolist()), answers) == pytest.approx(expected)


def test_an_answer_without_a_known_label_is_wrong() -> None:
    assert expected_weighted_f1(arrivals_of([0, 1]), np.array([-1, -1])) == 0


def test_a_phrase_of_two_labels_is_right_by_share() -> None:
    arrivals = arrivals_of([0, 0], other=1, share=0.7)
    assert arrivals.chance_right(np.array([0, 1])).tolist() == pytest.approx([0.7, 0.3])


def test_four_seeds_give_every_event_every_size() -> None:
    calendars = [draw_calendar(seed=seed, days=365) for seed in range(4)]
    sized = [place for place, event in enumerate(calendars[0]) if event.kind != "silence"]
    for place in sized:
        assert {calendar[place].size for calendar in calendars} == set(SIZES)


def test_a_world_is_a_function_of_its_seed() -> None:
    calendar = draw_calendar(seed=3, days=60)
    first, second = (PracticeWorld(scale="small", seed=3, calendar=calendar) for _ in range(2))
    for day in (0, 20, 40):
        assert first.day(day).cleaned.tolist() == second.day(day).cleaned.tolist()
        assert first.day(day).truth.tolist() == second.day(day).truth.tolist()


def test_events_take_their_share_of_the_traffic() -> None:
    calendar = draw_calendar(seed=2, days=365)
    world = PracticeWorld(scale="small", seed=2, calendar=calendar)
    for number, event in enumerate(calendar):
        if event.kind in ("names", "topic", "broken"):
            rows = world.judging(event.first)
            assert (rows.event == number).mean() == pytest.approx(event.size, rel=0.25)


def test_a_silent_month_has_no_label() -> None:
    calendar = draw_calendar(seed=1, days=365)
    silence = next(event for event in calendar if event.kind == "silence")
    people = People(seed=1, labels=["a", "b"], calendar=calendar, answers_a_week=700)
    rows = arrivals_of([0] * 100)
    ids = [str(number) for number in range(100)]
    given = [
        label
        for day in range(silence.first - 14, silence.last)
        for label in people.look(day, rows, ids, ["b"] * 100)
    ]
    days = [(label.received_at - EPOCH).days for label in given]
    assert days
    assert not any(silence.active(day) for day in days)


def test_people_keep_to_their_budget() -> None:
    people = People(seed=1, labels=["a", "b"], calendar=(), answers_a_week=700)
    rows = arrivals_of([0] * 100)
    ids = [str(number) for number in range(100)]
    given = [label for day in range(70) for label in people.look(day, rows, ids, ["b"] * 100)]
    corrections = [label for label in given if label.kind == "correction"]
    assert len(corrections) == 10 * LABELS_A_WEEK / 2
    assert len(given) == pytest.approx(10 * LABELS_A_WEEK, rel=0.15)


def test_a_memory_renewed_in_place_equals_one_built_anew() -> None:
    random = np.random.default_rng(4)
    source = [
        GivenLabel(
            row=str(number),
            cleaned=f"phrase {random.integers(8)}",
            label=f"label {random.integers(3)}",
            received_at=START + timedelta(hours=float(random.integers(2_000))),
        )
        for number in range(200)
    ]
    given = [
        replace(
            row,
            label=f"label {random.integers(3)}",
            received_at=row.received_at + timedelta(days=2),
            author="coder",
            kind="correction" if random.random() < 0.5 else "sample",
        )
        for row in source[::3]
    ]
    in_source = [row for row in source if random.random() < 0.7]
    labels = [*in_source, *given]
    random.shuffle(labels)
    running = RunningMemory()
    for start in range(0, len(labels), 50):
        running.add(labels[start : start + 50])
        running.renew()
    as_of = cast(pd.Timestamp, pd.Timestamp(START + timedelta(days=365)))
    frame = join_labels(source_frame(in_source), received_frame(given))
    built = build_memory(frame, classifier="label", revision=1, as_of=as_of)
    assert {"phrase 0", "phrase 7"} <= running.evidence.keys()
    for cleaned, evidence in running.evidence.items():
        place = built.place(cleaned)
        assert place is not None
        share, weights = built.evidence(place)
        assert evidence.head_share == pytest.approx(share, rel=1e-5)
        own = dict(zip(evidence.labels, evidence.weights.tolist(), strict=True))
        assert own == pytest.approx(weights, rel=1e-5)


def test_the_log_keeps_what_the_head_said_where_the_memory_answers() -> None:
    head = SimpleNamespace(
        labels=("a", "b"),
        probabilities=lambda cleaned, _: np.tile(
            np.array([0.9, 0.1], np.float32), (len(cleaned), 1)
        ),
    )
    running = RunningMemory()
    running.add(GivenLabel(f"row {row}", "known", "b", START, f"coder {row}") for row in range(3))
    running.renew()
    answering = Answering(
        cast(Any, head),
        lambda phrases: np.zeros((len(phrases), 1), np.float32),
        version="1",
        memory=running.evidence,
    )
    assert [label for label, _ in answering.answer(["known", "new"])] == ["b", "a"]
    assert answering.overruled(["known", "new"]) == ["a", None]


def test_rows_of_the_source_say_what_a_memory_of_them_says() -> None:
    random = np.random.default_rng(5)
    rows = [
        GivenLabel(str(row), f"phrase {row % 5}", f"label {random.integers(1 + row % 3)}", moment)
        for row, moment in enumerate(START + timedelta(hours=hour) for hour in range(2_000))
    ]
    running = RunningMemory()
    running.add(rows)
    running.renew()
    evidence = evidence_of_rows([row.cleaned for row in rows], [row.label for row in rows])
    assert evidence.keys() == running.evidence.keys()
    for cleaned, expected in running.evidence.items():
        assert evidence[cleaned].labels == expected.labels
        assert evidence[cleaned].head_share == expected.head_share
        assert (evidence[cleaned].weights == expected.weights).all()


@pytest.mark.parametrize(
    ("known", "past"),
    [
        ({}, "corrections_fresh"),
        ({"b": 40}, "corrections_fresh"),
        ({"a": 8, "b": 1}, "corrections_short"),
        ({"a": 10}, "corrections_long"),
        ({"a": 39, "b": 1}, "corrections_long"),
        ({"a": 8, "b": 4}, "corrections_mixed"),
        ({"a": 1, "b": 39}, "corrections_mixed"),
    ],
)
def test_corrections_are_distinguished_by_the_past_of_the_phrase(
    known: dict[str, int], past: str
) -> None:
    assert past_of_correction(Counter(known), "b") == past


def test_an_event_is_labelled_when_most_of_its_traffic_has_a_label_of_the_source() -> None:
    year = Setting(scale="small", days=182, label="chapter").draw(1)
    names = next(n for n, event in enumerate(year.world.calendar) if event.kind == "names")
    labelled = year.labelled_day(names)
    assert labelled is not None
    rows = year.world.judging(year.world.calendar[names].first)
    phrases = rows.cleaned[rows.event == names]
    known = year.source.arrives < 86_400 * np.array([[labelled], [labelled + 1]])
    brought = np.concatenate([part.event for part in year.source.parts]) == names
    shares = [np.isin(phrases, year.source.cleaned[brought & then]).mean() for then in known]
    assert shares[0] < 0.8 <= shares[1]


def source_frame(rows: list[GivenLabel]) -> pd.DataFrame:
    return pd.DataFrame(
        [(row.row, row.cleaned, row.label, row.received_at) for row in rows],
        columns=["id", "cleaned", "label", "occurred_at"],
    )


def received_frame(labels: list[GivenLabel]) -> pd.DataFrame:
    columns = ["request_id", "cleaned", "label", "received_at", "author", "kind", "head_label"]
    rows = [
        (one.row, one.cleaned, one.label, one.received_at, one.author, one.kind, "")
        for one in labels
    ]
    return pd.DataFrame(rows, columns=columns).sort_values("received_at", kind="stable")


def test_an_event_is_won_back_when_four_fifths_of_its_loss_are() -> None:
    event = {"kind": "rule", "first": 1, "last": 90, "size": 0.1, "labelled": 38}
    empty = SimpleNamespace(f1=[0.9], probes={}, fits=[], watched=[])
    run = {
        **vars(empty),
        "calm_f1": [0.9],
        "two_labels_lost": [0.0],
        "labels": {},
        "cpu_seconds": 1.0,
        "wall_seconds": 1.0,
        "calendar": [event],
        "events": {"0": {str(day): 1.0 if day < 43 else 0.15 for day in range(1, 90)}},
    }
    bound = {**run, "events": {"0": {"1": 1.0, "2": 0.0}}}
    figures = summarise({"weekly": {1: run}, "bound": {1: bound}})
    won_back = figures["weekly"]["events"][0]
    assert (won_back["days"], won_back["after_labels"]) == (42, 12)
    assert won_back["after_most_labels"] == 5
    late = {**run, "events": {"0": {str(day): 1.0 for day in range(1, 90)}}}
    early = {**run, "events": {"0": {str(day): 1.0 for day in range(1, 35)}}}
    late_event, early_event = (
        summarise({"weekly": {1: seen}, "bound": {1: bound}})["weekly"]["events"][0]
        for seen in (late, early)
    )
    assert (late_event["after_labels"], late_event["after_most_labels"]) == (58, 51)
    assert (early_event["after_labels"], early_event["after_most_labels"]) == (None, None)
    row = "| 1 | rule | 10 % | 7 days | 12 days | 0 days |"
    assert row in tables_of(figures)[-1]


@pytest.mark.parametrize(("began", "counted"), [(None, True), (262, True), (180, False)])
def test_a_retraining_for_an_earlier_drift_answers_no_broken_client(
    began: int | None, counted: bool
) -> None:
    fit = {"day": 273, "reason": "drift", "began": began}
    calendar = [{"kind": "broken", "first": 266, "last": 269, "size": 0.1}]
    assert answers_broken(fit, calendar) == counted
    assert not answers_broken({**fit, "reason": "schedule"}, calendar)


def test_a_candidate_that_was_promoted_without_being_better_was_not_kept_out() -> None:
    fits = [
        {"kind": "keep", "gain": 0.02, "promoted": True},
        {"kind": "keep", "gain": 0.02, "promoted": False},
        {"kind": "undecided", "gain": -0.02, "promoted": True},
        {"kind": "promote", "gain": None, "promoted": True},
    ]
    counts = count_fits([{"fits": fits}])
    assert (counts["retrainings"], counts["better_kept_out"], counts["promoted_worse"]) == (3, 1, 1)


def test_a_broken_client_is_named_within_so_many_windows() -> None:
    watched = [
        [260, "drift", True],
        [267, "warning", False],
        [274, "drift", True],
        [281, "steady", False],
    ]
    run = {"watched": watched}
    assert windows_until_named(run, {"kind": "broken", "first": 266}) == 2
    assert windows_until_named(run, {"kind": "broken", "first": 276}) == 1
