"""A world of one's own phrases: what is right, what comes, how often, and what events change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from core.errors import TrainingImpossible
from core.params.schema import ClassifierParams, load_params
from operations.simulation.advice import advise
from operations.simulation.events import KINDS, draw_calendar
from operations.simulation.own_events import short_name
from operations.simulation.own_snapshot import Question
from operations.simulation.own_world import OwnWorld
from operations.simulation.phrasebook import Phrasebook, read_phrasebook
from operations.simulation.schedule import fell_due
from operations.simulation.world import EPOCH
from pipelines.source import practice
from tests.support.training import phrases_of

LAST = datetime(2025, 6, 30, 18, tzinfo=UTC)
DAYS = 400
BLOCK = ClassifierParams.model_validate({"source": {"query": "queries/q.sql", "label": "organ"}})
LABELS = {"heart": 0.5, "lung": 0.3, "bone": 0.15, "skin": 0.05}


def snapshot(**extra: tuple[str, list[str]]) -> pa.Table:
    """Ten rows a day; `extra` phrases come once a day, with these labels in turn."""
    random = np.random.default_rng(1)
    rows = []
    for day in range(DAYS):
        evening = LAST - timedelta(days=DAYS - 1 - day)
        for number in range(10):
            label = str(random.choice(list(LABELS), p=list(LABELS.values())))
            known = phrases_of(label) if label != "skin" else [f"skin rash {n}" for n in range(9)]
            rows.append((str(random.choice(known)), label, evening - timedelta(hours=number)))
        rows += [(phrase, turns[day % len(turns)], evening) for phrase, turns in extra.values()]
    phrases, labels, moments = zip(*rows, strict=True)
    return pa.table(
        {
            "id": [str(number) for number in range(len(rows))],
            "phrase": pa.array(phrases, pa.string()),
            "occurred_at": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "region": ["north"] * len(rows),
            "organ": list(labels),
            "origin": ["source"] * len(rows),
        }
    )


@pytest.fixture(scope="module")
def book() -> Phrasebook:
    return read_phrasebook(snapshot(), BLOCK, days=60)


def world_of(book: Phrasebook, *kinds: str, seed: int = 1, days: int = 60) -> OwnWorld:
    calendar = draw_calendar(seed=seed, days=days, kinds=kinds)
    return OwnWorld(book, calendar=calendar, seed=seed, answers_a_day=200.0)


def right(book: Phrasebook, phrase: str) -> tuple[str, str | None, float]:
    place = book.phrases.tolist().index(phrase)
    other = book.other[place]
    second = book.labels[other] if other >= 0 else None
    return book.labels[book.label[place]], second, float(book.share[place])


def test_the_clock_begins_where_that_of_the_demo_does() -> None:
    assert EPOCH == practice.EPOCH


def test_the_newest_rows_come_again_and_the_rest_is_the_past(book: Phrasebook) -> None:
    assert book.a_day == pytest.approx(10)
    past = world_of(book).history()
    assert sum(map(len, past)) == int((book.moment < 0).sum()) == 10 * (DAYS - 90)
    assert [len(day) for day in past[-3:]] == [10, 10, 10]
    assert all(day.second.min() >= 0 and day.second.max() < 86_400 for day in past)


def test_a_long_simulation_leaves_two_thirds_to_the_past() -> None:
    book = read_phrasebook(snapshot(), BLOCK, days=365)
    assert len(book.newest) == 10 * (DAYS // 3)


def test_phrases_come_as_often_as_in_the_newest_rows(book: Phrasebook) -> None:
    judged = world_of(book).judging(0)
    expected = np.bincount(book.label[book.phrase[book.newest]], minlength=4) / len(book.newest)
    frequencies = np.bincount(judged.label, minlength=4) / len(judged)
    assert frequencies == pytest.approx(expected, abs=0.03)
    a_day = np.mean([len(world_of(book).day(day)) for day in range(30)])
    assert a_day == pytest.approx(200, rel=0.05)


def test_equal_arguments_give_equal_worlds(book: Phrasebook) -> None:
    first, second, other = (world_of(book, *KINDS, seed=seed) for seed in (3, 3, 4))
    for day in (0, 30, 59):
        assert first.day(day).cleaned.tolist() == second.day(day).cleaned.tolist()
        assert first.day(day).truth.tolist() == second.day(day).truth.tolist()
    assert first.day(0).cleaned.tolist() != other.day(0).cleaned.tolist()


def test_a_frequent_phrase_may_have_two_labels_and_a_rare_slip_is_a_mistake() -> None:
    two = ("pain of chest", ["heart", "heart", "lung"])
    slip = ("broken rib", ["bone"] * 19 + ["lung"])
    changed = ("old rule", ["heart"])
    table = snapshot(two=two, slip=slip, changed=changed)
    newest = pa.array(
        [moment > LAST - timedelta(days=30) for moment in table["occurred_at"].to_pylist()]
    )
    labels = [
        "bone" if phrase == "old rule" and new else label
        for phrase, label, new in zip(
            table["phrase"].to_pylist(), table["organ"].to_pylist(), newest.to_pylist(), strict=True
        )
    ]
    table = table.set_column(table.column_names.index("organ"), "organ", pa.array(labels))
    book = read_phrasebook(table, BLOCK, days=60)
    label, second, share = right(book, "pain of chest")
    assert (label, second) == ("heart", "lung")
    assert share == pytest.approx(2 / 3, abs=0.02)
    assert right(book, "broken rib") == ("bone", None, 1.0)
    assert right(book, "old rule") == ("bone", None, 1.0)


@pytest.mark.parametrize("kind", ["names", "season", "topic", "broken"])
def test_an_event_takes_its_share_of_the_rows(book: Phrasebook, kind: str) -> None:
    world = world_of(book, kind)
    event = world.calendar[0]
    rows = world.judging(event.first)
    assert (rows.event == 0).mean() == pytest.approx(event.size, rel=0.25)
    assert (world.judging(event.first - 1).event == -1).all()


def test_a_topic_was_never_seen_before_it_begins(book: Phrasebook) -> None:
    world = world_of(book, "topic")
    event = world.calendar[0]
    rows = world.judging(event.first)
    labels = set(rows.label[rows.event == 0].tolist())
    earlier = [*world.history(), *(world.day(day) for day in range(event.first))]
    assert len(labels) == 1
    assert not any(np.isin(day.truth, list(labels)).any() for day in earlier)


def test_local_names_are_new_words_for_known_labels(book: Phrasebook) -> None:
    world = world_of(book, "names")
    rows = world.judging(world.calendar[0].first)
    names = set(rows.cleaned[rows.event == 0].tolist())
    assert 5 <= len(names) <= 40
    assert not names & set(book.phrases.tolist())
    assert short_name("lost card") == "LOSCAR"
    assert short_name("pain of the chest") == "POTC"
    assert short_name("b 12") == ""


@pytest.mark.parametrize("kind", ["rule", "split"])
def test_a_relabelled_phrase_has_another_label_from_that_day_on(
    book: Phrasebook, kind: str
) -> None:
    world = world_of(book, kind)
    event = world.calendar[0]
    before = world.judging(event.first - 1)
    after = world.judging(event.first)
    changed = after.event == 0
    assert before.cleaned.tolist() == after.cleaned.tolist()
    assert (before.label[changed] != after.label[changed]).all()
    assert (before.label[~changed] == after.label[~changed]).all()
    wanted = event.size if kind == "rule" else event.size / 2
    assert changed.mean() == pytest.approx(wanted, rel=0.6)
    new = {world.labels[label] for label in after.label[changed].tolist()}
    assert all(name.endswith(".2") for name in new) == (kind == "split")


def test_a_classifier_of_two_labels_has_no_topic() -> None:
    table = snapshot()
    kept = [label in ("heart", "lung") for label in table["organ"].to_pylist()]
    world = world_of(read_phrasebook(table.filter(pa.array(kept)), BLOCK, days=60), *KINDS)
    assert world.left_out == ("topic",)
    assert [event.kind for event in world.calendar] == [kind for kind in KINDS if kind != "topic"]


def test_rows_without_a_label_are_refused() -> None:
    table = snapshot()
    empty = pa.array([""] * len(table), pa.string())
    with pytest.raises(TrainingImpossible, match="rows of the source"):
        read_phrasebook(table.set_column(4, "organ", empty), BLOCK, days=60)


@pytest.mark.parametrize(
    ("cron", "days"),
    [
        ("0 3 * * 1", [4, 11, 18, 25]),
        ("0 3 1 * ?", [0, 31]),
        ("0 3 l * *", [30]),
        ("0 3 * * mon#2", [11]),
        ("30 7 * * 7", [4, 11, 18, 25]),
        ("0 * * * *", list(range(32))),
    ],
)
def test_a_schedule_comes_due_at_the_next_nightly_look(cron: str, days: list[int]) -> None:
    looks = [EPOCH + timedelta(days=day, hours=6) for day in range(32)]
    assert [day for day, now in enumerate(looks) if fell_due(cron, now=now)] == days


def figures(f1: float, *, without_event: int = 0, lost: bool = False) -> dict[str, object]:
    event = {"kind": "rule", "loss": 0.4, "days": None if lost else 9}
    return {
        "weighted_f1": [f1, None],
        "drift": {"without_event": without_event},
        "events": [event],
    }


def advice_for(answers_a_day: float = 500.0, **policies: dict[str, object]) -> str:
    question = Question("organ", 90, None, 40, tuple(policies), KINDS, 1)
    return "\n".join(advise(policies, block=BLOCK, question=question, answers_a_day=answers_a_day))


def test_the_advice_names_the_setting() -> None:
    worth = advice_for(default=figures(0.95), never=figures(0.91))
    assert worth.startswith("switch it on: `default` gains 0.040")
    equal = advice_for(default=figures(0.95), never=figures(0.949))
    assert equal.startswith("retraining gains +0.001 of weighted F1 over never")
    assert advice_for(default=figures(0.9), weekly=figures(0.92)).startswith("`weekly` answers")
    assert "with drift: {window_days: 13}" in advice_for(100.0, default=figures(0.9))
    assert "lower `max_false_alarms`" in advice_for(default=figures(0.9, without_event=1))
    assert "not won back within 90 days: rule" in advice_for(default=figures(0.9, lost=True))


def test_a_line_is_simulated_on_the_rows_of_its_region(tmp_path: Path) -> None:
    table = snapshot()
    regions = pa.array(["north", "south", "south"] * (len(table) // 3 + 1))[: len(table)]
    table = table.set_column(table.column_names.index("region"), "region", regions)
    (tmp_path / "params.yaml").write_text(
        "classifiers:\n  organ:\n    by: region\n    lines: [north, south]\n"
        "    source: {query: queries/q.sql, label: organ}\n"
    )
    block = load_params(tmp_path / "params.yaml").classifier("organ_north")
    book = read_phrasebook(table, block, days=60)
    assert set(book.region.tolist()) == {"north"}
    assert len(book.phrase) == regions.to_pylist().count("north")
